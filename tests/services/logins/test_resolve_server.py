"""A server alone is served only where every image on it would be served by one entry."""

import pytest

from orgs.models import Environment
from orgs.registries.images import InvalidImage, Server
from orgs.registries.problems import Failed
from orgs.services.logins.resolve import resolve_server
from tests.conftest import HOST

pytestmark = pytest.mark.django_db

WILD = f"*{HOST[12:]}"


@pytest.fixture
def found(acme):
    """The pattern that serves HOST as a whole, None, or the code of the refusal."""

    def found(server=HOST, environment=None):
        try:
            served = resolve_server(acme, Server.parse(server), environment)
        except Failed as error:
            return error.code
        return served.pattern if served else None

    return found


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], None),
        ([[f"{HOST.replace('1234', '9999')}/*"]], None),
        ([[f"{HOST}/*"]], f"{HOST}/*"),
        ([[f"{WILD}/*"]], f"{WILD}/*"),
        ([[f"{HOST}/*"], [f"{WILD}/*"]], f"{HOST}/*"),
        # narrower ones of the same entry give the same login
        ([[f"{HOST}/*", f"{HOST}/team/*"]], f"{HOST}/*"),
        # nothing under a wildcard host wins over the literal one
        ([[f"{HOST}/*"], [f"{WILD}/team/*"]], f"{HOST}/*"),
        ([[f"{HOST}/*"], [f"{HOST}/team/*"]], "ambiguous_server"),
        ([[f"{HOST}/*"], [f"{HOST}/team"]], "ambiguous_server"),
        ([[f"{HOST}/*"], [f"{HOST}/*/x"]], "ambiguous_server"),
        ([[f"{WILD}/*"], [f"{HOST}/team"]], "ambiguous_server"),
        ([[f"{WILD}/*"], [f"{WILD}/team"]], "ambiguous_server"),
        ([[f"{HOST}/team/*"]], "ambiguous_server"),
        ([[f"{HOST}/te*"]], "ambiguous_server"),
        ([[f"{HOST}/*/*"]], "ambiguous_server"),
    ],
)
def test_who_covers_the_host(make_entry, found, entries, expected):
    for patterns in entries:
        make_entry(patterns)
    assert found() == expected


def test_disabled_and_foreign_entries_do_not_count(make_entry, found, umbrella):
    make_entry(f"{HOST}/*")
    make_entry(f"{HOST}/team/*", enabled=False)
    make_entry(f"{HOST}/team/*", organization=umbrella)
    assert found() == f"{HOST}/*"


def test_environments(make_entry, found, gpu, acme):
    cpu = Environment.objects.create(organization=acme, name="CPU", slug="cpu")
    everyone = make_entry(f"{HOST}/*")
    limited = make_entry(f"{HOST}/*", environments=[gpu])
    make_entry(f"{HOST}/team/*", environments=[cpu])

    def entry(environment):
        return resolve_server(acme, Server.parse(HOST), environment).entry

    assert entry(None) == everyone
    assert entry(gpu) == limited
    assert found(environment=cpu) == "ambiguous_server"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (HOST, HOST),
        (HOST.upper(), HOST.upper()),
        (f"https://{HOST}/v2/", HOST),
        (f"{HOST}:443", f"{HOST}:443"),
    ],
)
def test_as_the_client_writes_it(text, written):
    server = Server.parse(text)
    assert (str(server), server.written_server) == (HOST, written)


def test_docker_hub_and_ports():
    assert str(Server.parse("https://index.docker.io/v1/")) == "docker.io"
    assert str(Server.parse("registry:5000")) == "registry:5000"
    for wrong in ("nonsense", "", "a b", "ftp://x.example.com", "x.example.com:0"):
        with pytest.raises(InvalidImage):
            Server.parse(wrong)


def test_two_queries(make_entry, acme, django_assert_num_queries):
    make_entry(f"{HOST}/*")
    for number in range(20):
        make_entry(f"{HOST.replace('1234', '9999')}/team-{number}/*")
    with django_assert_num_queries(2):
        assert resolve_server(acme, Server.parse(HOST))
