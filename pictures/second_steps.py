"""Tess, who has every second step, and her sessions: one midway, one that may change them."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from allauth.account.models import Login
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db.models.functions import Now

from orgs.models import User
from orgs.services.tenancy import second_steps
from orgs.web.accounts.adapters import PENDING
from tests.support.passkey import Passkey

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19 like Mac OS X) Version/19.0 Safari/604.1"
LATER = 24 * 3600  # seconds; what is open for minutes stays open while pictures are taken
TOTP_KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def session(user: User) -> str:
    """The key of a session in which they are signed in, and showed just now that it's them."""
    made = SessionStore()
    made[SESSION_KEY] = str(user.pk)
    made[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    made[HASH_SESSION_KEY] = user.get_session_auth_hash()
    shown = {"method": "password", "at": time.time() + LATER, "reauthenticated": True}
    made["account_authentication_methods"] = [shown]
    made["account_authentication_methods_user"] = str(user.pk)
    made.create()
    key = str(made.session_key)
    _placed(user, key, FIREFOX, "198.51.100.4", 2)
    return key


def midway(user: User) -> str:
    """The key of a session whose password was right."""
    made = SessionStore()
    login = Login(
        user=user,
        redirect_url="/",
        state={"stages": {"current": "mfa_authenticate"}},
        initiated_at=time.time() + LATER,
    )
    made["account_login"] = login.serialize()
    made[PENDING] = user.get_session_auth_hash()
    made.create()
    return str(made.session_key)


def set_up(user: User) -> Authenticator:
    """An app, a passkey and recovery codes; gives the passkey."""
    with second_steps.of(user):
        app = Authenticator(user=user, type="totp", data={"secret": second_steps.sealed(TOTP_KEY)})
        app.save()
        seed = second_steps.sealed(RecoveryCodes.generate_seed())
    data = {"seed": seed, "used_mask": 0b101, "viewed_at": time.time()}
    Authenticator(user=user, type="recovery_codes", data=data).save()
    asked: dict[str, Any] = {"publicKey": {"challenge": "AAAA", "user": {"id": "MQ"}}}
    data = {"name": "Work laptop", "credential": Passkey().create(asked)}
    passkey = Authenticator(user=user, type="webauthn", data=data)
    passkey.save()
    Authenticator.objects.filter(user=user).update(
        created_at=Now() - timedelta(days=40), last_used_at=Now() - timedelta(hours=3)
    )
    elsewhere = SessionStore()
    elsewhere.create()
    _placed(user, str(elsewhere.session_key), PHONE, "203.0.113.80", 5)
    return passkey


def _placed(user: User, key: str, agent: str, address: str, days: int) -> None:
    UserSession.objects.create(user=user, session_key=key, user_agent=agent, ip=address)
    UserSession.objects.filter(session_key=key).update(created_at=Now() - timedelta(days=days))
