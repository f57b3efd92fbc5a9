"""The keys, from one to the next: what is published, what signs, what never comes back."""

from __future__ import annotations

import json
import logging
import threading
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from joserfc.errors import InvalidKeyIdError

from orgs.models import AuditEvent, SigningKey
from orgs.registries.problems import Failed, Refused
from orgs.services.audit.clock import database_now
from orgs.services.bulk.rotation import rotate_secrets
from orgs.services.identity import documents, keys, signing
from tests.support.identity import AUDIENCE, fetched, forget, judged, kids, later
from tests.test_canary import database_bytes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("issuing")]
State = SigningKey.State


@pytest.fixture
def signed(make_entry):
    """Sign for one entry and say with which key."""
    entry = make_entry()

    def sign() -> str:
        token = signing.signed(entry, AUDIENCE)
        judged(token, fetched())
        return keys.signing().kid

    return sign


def states() -> dict[str, str]:
    return dict(SigningKey.objects.values_list("kid", "state"))


# --- from one to the next -------------------------------------------------------------


def test_the_first_is_made_when_it_is_wanted_and_published_at_once(signed) -> None:
    assert not SigningKey.objects.exists()
    published = kids(fetched())
    assert len(published) == 1 and {signed()} == published
    assert AuditEvent.objects.filter(action__startswith="signing_key").count() == 0


def test_the_next_is_published_a_day_before_it_signs(signed) -> None:
    first = signed()
    coming = keys.rotate()
    assert kids(fetched()) == {first, coming.kid} and signed() == first
    until = coming.signs_from - database_now()
    assert timedelta(hours=23, minutes=59) < until <= timedelta(days=1)
    later(hours=23, minutes=59)
    assert signed() == first
    later(minutes=2)
    assert signed() == coming.kid
    assert states() == {first: State.FORMER, coming.kid: State.SIGNING}
    assert SigningKey.objects.get(pk=first).private is None


def test_the_former_one_is_published_until_its_last_token_is_dead(signed) -> None:
    first = signed()
    coming = keys.rotate()
    later(days=1, seconds=1)
    signed()
    later(minutes=14)
    assert kids(fetched()) == {first, coming.kid}
    later(minutes=2)
    assert kids(fetched()) == {coming.kid}
    keys.rotate()  # makes away with its row, too
    assert first not in states()


def test_only_one_comes_at_a_time(signed) -> None:
    signed()
    coming = keys.rotate()
    with pytest.raises(Refused) as refused:
        keys.rotate()
    assert refused.value.code == "key_coming" and coming.kid in str(refused.value)
    later(days=1, seconds=1)
    assert keys.rotate().kid != coming.kid
    assert states()[coming.kid] == State.SIGNING


@pytest.mark.parametrize("state", [State.SIGNING, State.COMING])
def test_one_signs_and_one_comes_by_constraint(state) -> None:
    keys._make(state, database_now())
    with pytest.raises(IntegrityError), transaction.atomic():
        keys._make(state, database_now())


def test_who_does_what_stands_in_the_log(signed) -> None:
    signed()
    coming = keys.rotate()
    later(days=1, seconds=1)
    signed()
    _, new = keys.drop_all()
    told = AuditEvent.objects.filter(action__startswith="signing_key").order_by("id")
    made, signs, *dropped = told.values_list("action", "subject", "actor")
    assert made == ("signing_key.made", coming.kid, "command line")
    assert signs == ("signing_key.signs", coming.kid, "this server")
    assert {action for action, *_ in dropped} == {"signing_key.dropped"} and len(dropped) == 2
    assert told.last().properties["new"] == new.kid


# --- several at once ------------------------------------------------------------------


def at_once(work, many: int = 6) -> list[object]:
    """What each of so many processes came to, or its error."""
    found: list[object] = []
    start = threading.Barrier(many)

    def run() -> None:
        try:
            connection.ensure_connection()
            start.wait()
            found.append(work())
        except Exception as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_many_want_the_first_and_there_is_one() -> None:
    signers = at_once(lambda: keys.signing().kid)
    assert set(signers) == {SigningKey.objects.get().kid}


def test_many_have_the_next_sign_and_it_does_once(signed) -> None:
    signed()
    coming = keys.rotate()
    later(days=1, seconds=1)
    assert set(at_once(lambda: keys.signing().kid)) == {coming.kid}
    assert AuditEvent.objects.filter(action="signing_key.signs").count() == 1
    assert sorted(states().values()) == [State.FORMER, State.SIGNING]


def test_many_rotate_and_one_comes(signed) -> None:
    signed()
    found = at_once(keys.rotate)
    made = [one for one in found if isinstance(one, SigningKey)]
    assert len(made) == 1
    assert {getattr(one, "code", "") for one in found if one is not made[0]} == {"key_coming"}


@pytest.mark.parametrize("before", [True, False], ids=["keys", "none"])
def test_many_drop_all_and_one_signs(before, signed) -> None:
    if before:
        signed()
    found = at_once(keys.drop_all)
    assert all(isinstance(one, tuple) for one in found), found
    assert list(states().values()).count(State.SIGNING) == 1
    assert list(states().values()).count(State.DROPPED) == len(found) - (not before)
    signed()


# --- dropped --------------------------------------------------------------------------


def test_a_dropped_key_is_gone_at_once_private_part_and_all(make_entry, signed) -> None:
    stolen = signing.signed(make_entry("quay.io/x/*", registry_type="docker",
        config={"username": "u"}, secrets={"password": "p"}), AUDIENCE)  # fmt: skip
    coming = keys.rotate()
    first = keys.signing().kid
    dropped, new = keys.drop_all()
    assert set(dropped) == {first, coming.kid} and kids(fetched()) == {new.kid}
    assert signed() == new.kid
    with pytest.raises(InvalidKeyIdError):
        judged(stolen, fetched())
    rows = SigningKey.objects.filter(kid__in=dropped)
    assert {(row.state, row.private) for row in rows} == {(State.DROPPED, None)}


def put_back(rows: list[SigningKey]) -> None:
    """An older database, as far as keys are concerned."""
    SigningKey.objects.all().delete()
    for row in rows:
        row.save(force_insert=True)
    forget()


def test_a_database_that_is_put_back_revives_none_that_the_settings_bar(signed, settings) -> None:
    signed()
    keys.rotate()
    older = list(SigningKey.objects.all())
    dropped, _ = keys.drop_all()
    settings.OIDC_DROPPED_KEYS = dropped
    put_back(older)
    published = kids(fetched())
    assert published.isdisjoint(dropped) and len(published) == 1
    assert {signed()} == published
    assert not SigningKey.objects.filter(kid__in=dropped, private__isnull=False).exists()
    assert AuditEvent.objects.filter(action="signing_key.dropped", actor="this server").count() == 2


def test_one_that_signed_before_and_came_later_are_barred_alike(signed, settings) -> None:
    first = signed()
    coming = keys.rotate()
    later(days=1, seconds=1)
    assert signed() == coming.kid
    older = list(SigningKey.objects.all())
    settings.OIDC_DROPPED_KEYS = [first]  # the one that was published only
    put_back(older)
    assert kids(fetched()) == {coming.kid} and signed() == coming.kid


def test_a_database_that_is_put_back_goes_on_with_its_own(signed) -> None:
    """Nothing was dropped since: what clouds have still counts."""
    first = signed()
    older = list(SigningKey.objects.all())
    keys.rotate()
    put_back(older)
    assert signed() == first


# --- sealed ---------------------------------------------------------------------------


def test_the_private_part_stands_nowhere(signed, caplog, capsys, tmp_path) -> None:
    caplog.set_level(logging.DEBUG)
    signed()
    row = SigningKey.objects.get()
    pem = row.private.reveal(row.sealed_for)
    key = load_pem_private_key(pem.encode(), None)
    der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    numbers = key.private_numbers()
    parts = [
        *pem.splitlines()[1:-1],
        *(keys._base64(n) for n in (numbers.d, numbers.p, numbers.q, numbers.dmp1)),
        *(str(n) for n in (numbers.d, numbers.p)),
    ]
    keys.rotate()
    call_command("dumpdata", "orgs")
    call_command("export_issuer", str(tmp_path))
    told = capsys.readouterr()
    said = caplog.text + told.out + told.err + json.dumps([documents.discovery(), fetched()])
    said += repr(keys.signing()) + repr(row) + repr(row.__dict__)
    said += str(list(AuditEvent.objects.values()))
    said += "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    stored = database_bytes()
    assert not [part for part in parts if part in said or part.encode() in stored]
    assert der not in stored
    assert {name for key in fetched()["keys"] for name in key} == {
        *("kty", "use", "alg", "kid", "n", "e")
    }


def test_no_token_is_logged_or_stored(make_entry, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    token = signing.signed(make_entry(), AUDIENCE)
    signature = token.rpartition(".")[2]
    assert signature not in caplog.text and signature.encode() not in database_bytes()


def test_it_is_resealed_under_a_new_key(signed, settings) -> None:
    first = signed()
    keys.rotate()
    old = settings.FERNET_KEYS
    settings.FERNET_KEYS = [Fernet.generate_key().decode(), *old]
    assert not rotate_secrets().unreadable
    settings.FERNET_KEYS = settings.FERNET_KEYS[:1]
    forget()
    assert signed() == first
    later(days=1, seconds=1)
    assert signed() != first


def test_one_that_does_not_open_is_told(signed, settings, make_entry) -> None:
    signed()
    settings.FERNET_KEYS = [Fernet.generate_key().decode()]
    forget()
    with pytest.raises(Failed) as failed:
        keys.signing()
    assert failed.value.code == "issuer_unreachable" and "FERNET_KEYS" in failed.value.what
    # As the sentence has it: whoever lost the key goes on with new ones.
    keys.drop_all()
    signed()


def test_a_private_part_of_another_row_does_not_open(signed) -> None:
    first = signed()
    coming = keys.rotate()
    SigningKey.objects.filter(pk=first).update(private=coming.private)
    forget()
    with pytest.raises(Failed) as failed:
        keys.signing()
    assert failed.value.code == "issuer_unreachable"
