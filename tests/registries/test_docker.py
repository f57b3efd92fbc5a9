"""Type docker: what it takes, what it refuses, and where its password may go."""

import json

import pytest

from orgs.models import AuditEvent, IndexedPattern, RegistryEntry
from orgs.registries.catalogue import BY_SLUG
from orgs.registries.docker import DockerRegistry
from orgs.registries.images import ImageReference
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed, Refused
from orgs.registries.types import Ask, DockerLogin
from orgs.services.audit.events import Actor
from orgs.services.entries import door
from orgs.services.entries.validating import EntrySpec
from orgs.services.logins import issuing
from tests.conftest import CANARY, changed_to

TYPE = DockerRegistry()
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def clean(patterns="registry.example.com/*", username="robot", password=CANARY):
    parsed = [MatchPattern.parse(text) for text in patterns.split()]
    return TYPE.clean({"username": username}, {"password": password}, parsed)


@pytest.mark.parametrize(
    "pattern",
    [
        "registry.example.com/*",
        "registry.example.com:5000/team/*",
        "me/*",
        "localhost:5000/x",
        # A load balancer of AWS may run any registry.
        "my-registry-1.us-east-1.elb.amazonaws.com:5000/*",
    ],
)
def test_it_takes_any_literal_host(pattern):
    assert clean(pattern) == ({"username": "robot"}, {"password": CANARY})


@pytest.mark.parametrize(
    ("pattern", "code", "says"),
    [
        ("*.example.com/*", "wildcard_host", "in full"),
        (f"{ECR}/*", "ecr_host", f"Choose AWS ECR as the registry type, with {ECR}/*."),
        (f"*.{ECR[13:]}/*", "ecr_host", "Choose AWS ECR"),
        (f"{ECR}:8443/team/*", "ecr_host", f"with {ECR}/team/*"),
        (f"{ECR}.evil.com/*", "lookalike_host", f"with {ECR}/*"),
        ("public.ecr.aws/*", "ecr_host", "public images need no entry"),
    ],
)
def test_hosts_where_the_password_must_not_go(pattern, code, says):
    with pytest.raises(Refused) as refused:
        clean(f"registry.example.com/* {pattern}")
    (problem,) = refused.value.problems
    assert (problem.code, problem.field) == (code, "patterns")
    assert says in str(problem)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"username": ""}, "required"),
        ({"username": "  "}, "required"),
        ({"username": "robot:x"}, "username_shape"),
        ({"username": "robot\nx"}, "username_shape"),
        ({"username": "u" * 256}, "username_shape"),
        ({"password": f"{CANARY}\n"}, "secret_shape"),
        ({"password": f"{CANARY}\0"}, "secret_shape"),
        ({"password": CANARY * 300}, "too_long"),
    ],
)
def test_what_cannot_be_sent_is_refused_without_repeating_it(given, code):
    with pytest.raises(Refused) as refused:
        clean(**given)
    assert refused.value.code == code
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("password", ["  blanks stay  ", "a:b", "$pass=wörd\"'", " "])
def test_a_password_is_never_stripped(password):
    assert clean(password=password) == ({"username": "robot"}, {"password": password})


def test_a_username_is_stripped_and_may_hold_what_registries_use():
    for username in ("robot$team+pull", "_json_key_base64", "me@example.com", "ünı"):
        assert clean(username=f" {username} ")[0] == {"username": username}


def test_login_is_the_stored_one_and_does_not_expire():
    ask = Ask("registry.example.com", 0.0)
    login = TYPE.login({"username": "robot"}, {"password": CANARY}, ask)
    assert login == DockerLogin("robot", CANARY, None)
    assert CANARY not in repr(login)


@pytest.mark.parametrize(
    ("config", "secrets", "host"),
    [
        ({}, {"password": CANARY}, "registry.example.com"),
        ({"username": "robot"}, {}, "registry.example.com"),
        ({"username": "robot"}, {"password": CANARY}, ECR),
        ({"username": "robot"}, {"password": CANARY}, "public.ecr.aws"),
    ],
)
def test_login_refuses_again_what_saving_refuses(config, secrets, host):
    with pytest.raises(Failed) as error:
        TYPE.login(config, secrets, Ask(host, 0.0))
    assert error.value.code == "entry_unusable"
    assert CANARY not in str(error.value)


# --- through the door and out again -----------------------------------------------


@pytest.fixture
def entry(make_entry):
    return make_entry(
        ["registry.example.com:5000/team/*", "me/*"],
        registry_type="docker",
        config={"username": "robot"},
        secrets={"password": f" {CANARY} "},
    )


def change(entry, actor, **changes):
    given = {
        "registry_type": "docker",
        "patterns": ["registry.example.com:5000/team/*", "me/*"],
        "config": {"username": "robot"},
        **changes,
    }
    return door.entry_update(entry=entry, actor=actor, change=changed_to(EntrySpec(**given)))


def ask(project, image):
    return issuing.login_for(
        project=project, image=ImageReference.parse(image), actor=Actor("worker")
    )


@pytest.mark.django_db(transaction=True)
def test_a_worker_gets_the_password_as_it_was_entered(entry, project):
    answer = ask(project, "registry.example.com:5000/team/train:v1")
    assert answer.server == "registry.example.com:5000"
    assert answer.login == DockerLogin("robot", f" {CANARY} ", None)
    assert ask(project, "me/train").server == "docker.io"
    event = AuditEvent.objects.filter(action="login.issued").first()
    assert CANARY not in json.dumps(event.properties)


@pytest.mark.django_db(transaction=True)
def test_other_ports_and_paths_get_nothing(entry, project):
    for image in ("registry.example.com/team/train", "registry.example.com:5000/other/train"):
        with pytest.raises(Failed) as error:
            ask(project, image)
        assert error.value.code == "no_match"


@pytest.mark.django_db(transaction=True)
def test_a_pattern_that_leaves_the_host_open_gets_no_password(entry, project):
    """As saving never makes one, it is made behind its back."""
    IndexedPattern.objects.filter(entry=entry, position=0).update(
        text="*.example.com:5000/*",
        normalized="*.example.com:5000/*",
        host="*.example.com:5000",
        prefix="",
        wildcard_host=True,
    )
    with pytest.raises(Failed) as error:
        ask(project, "evil.example.com:5000/team/train")
    assert error.value.code == "entry_unusable"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"patterns": ["me/*"]}, True),
        ({"patterns": ["me/*", "registry.example.com:5000/*"]}, True),
        ({"note": "new"}, True),
        ({"patterns": ["registry.example.com/*"]}, False),
        ({"patterns": ["me/*", "evil.example.com/*"]}, False),
        ({"config": {"username": "other"}}, False),
    ],
)
def test_a_blank_password_stays_only_with_its_username_and_hosts(entry, actor, changes, kept):
    if kept:
        changed = change(entry, actor, **changes)
        stored = RegistryEntry.objects.get(pk=changed.pk)
        assert json.loads(stored.secrets.reveal(stored.sealed_for)) == {"password": f" {CANARY} "}
        return
    with pytest.raises(Refused) as refused:
        change(entry, actor, **changes)
    assert [p.code for p in refused.value.problems] == ["secret_required"]


@pytest.mark.django_db
def test_another_type_forgets_the_password(entry, actor):
    changed = change(
        entry,
        actor,
        registry_type="aws-ecr-role",
        patterns=[f"{ECR}/*"],
        config={"role_name": "Worker"},
    )
    assert changed.secrets is None
    with pytest.raises(Refused) as refused:
        change(changed, actor)
    assert {p.code for p in refused.value.problems} == {"secret_required"}


def test_it_is_in_the_catalogue_under_its_name():
    assert BY_SLUG["docker"].label == "Docker registry (username and password)"
    assert [f.name for f in TYPE.secret_fields] == ["password"]
