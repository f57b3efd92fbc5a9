"""What this server is called, and that it stays called so."""

from __future__ import annotations

import pytest

from orgs import issuer_name
from orgs.models import AuditEvent, Issuer
from orgs.registries.problems import Failed, Refused
from orgs.services.identity import issuer, signing
from tests.support.identity import AUDIENCE, URL, fetched, judged

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("issuing")]
LABEL = "a" * 63


@pytest.mark.once
@pytest.mark.parametrize(
    "url",
    [
        "https://registries.example.com",
        "https://registries.example.com/oidc",
        "https://a.b/~x/y_z/1.2-3",
        "https://xn--bcher-kva.example",
        "https://storage.googleapis.com/acme-issuer",
        f"https://{LABEL}.example.com",
        "https://example.com/.well",
        "https://1.example.com",
        "https://example.com/" + "a" * (255 - 20),
    ],
)
def test_names_that_clouds_take(url) -> None:
    assert issuer.fault(url) == ""


@pytest.mark.once
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "isn't https"),
        ("http://registries.example.com", "isn't https"),
        ("HTTPS://registries.example.com", "isn't https"),
        (" https://registries.example.com", "isn't https"),
        ("registries.example.com", "isn't https"),
        ("//registries.example.com", "isn't https"),
        ("javascript:alert(1)", "isn't https"),
        ("https://registries.example.com:443", "port"),
        ("https://registries.example.com:", "port"),
        ("https://registries.example.com:8443/x", "port"),
        ("https://[2001:db8::1]", "port"),
        ("https://registries.example.com/", "slash"),
        ("https://registries.example.com/x/", "slash"),
        ("https://", "slash"),
        ("https://registries.example.com?", "more than a path"),
        ("https://registries.example.com?x=https://y:1", "more than a path"),
        ("https://registries.example.com/x?y=z", "more than a path"),
        ("https://registries.example.com#x", "more than a path"),
        ("https://user@registries.example.com", "user"),
        ("https://user:password@registries.example.com", "user"),
        ("https://example.com/" + "a" * (256 - 20), "longer than 255"),
        ("https://localhost", "full name"),
        ("https://127.0.0.1", "full name"),
        ("https://10.0.0.1/x", "full name"),
        ("https://0x7f.1", "full name"),
        ("https://Registries.example.com", "full name"),
        ("https://registries.example.com.", "full name"),
        ("https://.example.com", "full name"),
        ("https://a..example.com", "full name"),
        ("https://-a.example.com", "full name"),
        ("https://a-.example.com", "full name"),
        ("https://a_b.example.com", "full name"),
        (f"https://{LABEL}a.example.com", "full name"),
        (f"https://{'.'.join(['a' * 60] * 4)}.{'a' * 10}.ex", "longer"),
        ("https://bücher.example", "full name"),
        ("https://registries.example.com/a b", "full name"),
        ("https://registries.example.com/a%20b", "full name"),
        ("https://registries.example.com/ä", "full name"),
        ("https://registries.example.com//x", "full name"),
        ("https://registries.example.com/../x", "full name"),
        ("https://registries.example.com/x/..", "full name"),
        ("https://registries.example.com/./x", "full name"),
        ("https://registries.example.com/.", "full name"),
        ("https://registries.example.com\\x", "full name"),
        ("https://registries.example.com\n", "full name"),
        ("https://registries.example.com/x\0", "full name"),
        ("https://regıstries.example.com", "full name"),
    ],
)
def test_names_that_they_do_not(url, why) -> None:
    assert why in issuer.fault(url)


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("OIDC_ISSUER", "", None),
        ("OIDC_ISSUER", "https://keys.example.com/acme", None),
        ("OIDC_ISSUER", "https://keys.example.com:8443", "orgs.E017"),
        ("OIDC_ISSUER", "keys.example.com", "orgs.E017"),
        ("OIDC_DROPPED_KEYS", ["a" * 43, "-_" + "Z" * 41], None),
        ("OIDC_DROPPED_KEYS", ["a" * 43, "b" * 42], "orgs.E018"),
        ("OIDC_DROPPED_KEYS", ["a" * 43 + " " + "b" * 43], "orgs.E018"),
    ],
)
def test_settings_are_judged_before_the_start(name, value, number, settings) -> None:
    setattr(settings, name, value)
    assert [message.id for message in issuer_name.issuer(None)] == ([number] if number else [])


@pytest.mark.once
def test_plain_http_is_no_fault_where_nothing_asks_for_more(settings) -> None:
    settings.BASE_URL = "http://127.0.0.1:8000"
    assert issuer_name.issuer(None) == [] and not issuer.works()


# --- stored at first use --------------------------------------------------------------


def test_it_is_stored_by_the_first_token(make_entry) -> None:
    assert issuer.stored() == ""
    fetched()
    assert issuer.stored() == ""
    signing.signed(make_entry(), AUDIENCE)
    assert issuer.stored() == URL


def test_another_one_refuses_to_sign_until_it_is_changed(make_entry, settings) -> None:
    entry = make_entry()
    signing.signed(entry, AUDIENCE)
    settings.OIDC_ISSUER = ""
    settings.BASE_URL = "https://other.example.com"
    with pytest.raises(Failed) as failed:
        signing.signed(entry, AUDIENCE)
    assert failed.value.code == "issuer_unreachable"
    assert URL in failed.value.what and "https://other.example.com" in failed.value.what
    assert "change_issuer" in failed.value.fix
    assert issuer.change() == URL
    claims = judged(signing.signed(entry, AUDIENCE), fetched())
    assert claims["iss"] == "https://other.example.com"
    told = AuditEvent.objects.get(action="issuer.changed")
    assert (told.subject, told.properties["former"]) == ("https://other.example.com", URL)
    # and back, nothing having to be asked of anybody
    settings.BASE_URL = URL
    with pytest.raises(Failed):
        signing.signed(entry, AUDIENCE)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "https://x.example.com:8443"])
def test_a_name_that_no_cloud_takes_signs_nothing_and_is_not_stored(
    url, make_entry, settings
) -> None:
    settings.BASE_URL = url
    with pytest.raises(Failed) as failed:
        signing.signed(make_entry(), AUDIENCE)
    assert failed.value.code == "issuer_unreachable" and "BASE_URL" in failed.value.fix
    with pytest.raises(Refused) as refused:
        issuer.change()
    assert refused.value.code == "invalid_issuer"
    assert not Issuer.objects.exists()


def test_what_is_the_name_already_is_not_changed(make_entry) -> None:
    signing.signed(make_entry(), AUDIENCE)
    with pytest.raises(Refused) as refused:
        issuer.change()
    assert refused.value.code == "invalid_issuer" and "already" in str(refused.value)
    assert not AuditEvent.objects.filter(action="issuer.changed").exists()


def test_a_change_forgets_who_fetched_the_former_ones_keys(make_entry, settings) -> None:
    Issuer.objects.create(url=URL, fetched_from="8.8.8.8", fetched_by="x")
    settings.OIDC_ISSUER = "https://keys.example.com"
    issuer.change()
    row = Issuer.objects.get()
    assert (row.url, row.fetched_from, row.fetched_by) == ("https://keys.example.com", None, "")


def test_those_that_rest_on_it(make_entry, trusting_type, umbrella, acme) -> None:
    make_entry()
    theirs = make_entry("b.example/*", registry_type=trusting_type, config={}, secrets={},
        organization=umbrella)  # fmt: skip
    ours = make_entry("a.example/*", registry_type=trusting_type, config={}, secrets={})
    assert list(issuer.trusting()) == [ours, theirs]
