"""Mails, sent beside the request, which hardly waits for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from django.conf import settings
from django.core.mail import EmailMessage

from orgs.registries.turns import turns

# Seconds: a mail server that answers has taken it by then; a slow one is left to itself.
PATIENCE = 1.0
LATER = 0.5  # seconds
_NOWHERE = ("console", "dummy")

log = logging.getLogger(__name__)
_pool = ThreadPoolExecutor(1, thread_name_prefix="mails")
_sending: set[Future[None]] = set()
_late: set[threading.Timer] = set()


def go_out() -> bool:
    """Whether there is somewhere to send mails to (EMAIL_URL)."""
    return settings.EMAIL_BACKEND.split(".")[-2] not in _NOWHERE


@dataclass(frozen=True)
class Mail:
    """Sentences, and below them an address of ours (a path, or the whole of it). `about` is
    what the log calls it where it couldn't be sent; no text of it stands there."""

    subject: str
    sentences: Sequence[str]
    address: str
    to: Sequence[str]
    about: str


def send(*mails: Mail) -> None:
    """Have them sent, one after the other."""
    sending = [_pool.submit(_send, mail) for mail in mails]
    for one in sending:
        _sending.add(one)
        one.add_done_callback(_sending.discard)
    with turns.given_up():  # others compute meanwhile
        wait(sending, timeout=PATIENCE)


def send_later(mail: Mail) -> None:
    """Have it sent once the answer has left, so that the answer tells nothing of it."""

    def leave() -> None:
        try:
            send(mail)
        finally:
            _late.discard(timer)  # with the mail, which may hold a link

    timer = threading.Timer(LATER, leave)
    timer.daemon = True
    _late.add(timer)
    timer.start()


def drain() -> None:
    """Wait until nothing is being sent (tests, shutdown)."""
    for timer in list(_late):
        timer.join()
    wait(list(_sending))


def _send(mail: Mail) -> None:
    link = mail.address if "://" in mail.address else f"{settings.BASE_URL}{mail.address}"
    lines = [*filter(None, mail.sentences), "", link]
    try:
        EmailMessage(mail.subject, "\n".join(lines), to=mail.to).send()
    except Exception as error:
        # Its text may hold addresses and what the mail server said.
        log.error("the mail about %s wasn't sent: %s", mail.about, type(error).__name__)
