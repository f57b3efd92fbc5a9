"""Add and edit: every bad input at its field, what was typed kept, the secret never."""

from __future__ import annotations

import re

import pytest
from django.db.models.functions import Now
from django.urls import reverse

from orgs.models import RegistryEntry
from orgs.registries.catalogue import TYPES, groups
from orgs.registries.pattern_help import example_of
from orgs.services.entries.validating import secrets_of
from tests.conftest import CANARY, HOST
from tests.web.conftest import NEW, TYPED, Page, url

KEY = "AKIAIOSFODNN7EXAMPLE"
NEW_KEY = "AKIAI44QH8DHBEXAMPLE"
LONG = "x" * 501


def typed(**changed: str) -> dict[str, str]:
    return {**TYPED, **changed}


def test_labels_and_order(look, alice) -> None:
    page = look(alice, NEW)
    labels = page.texts["label"]
    wanted = ["Match pattern", "Registry type", "Access Key ID", "Secret Access Key", "Region"]
    assert labels[:5] == wanted
    assert page.fields["access_key_id"]["autocomplete"] == "off"
    assert page.fields["secret_access_key"]["autocomplete"] == "new-password"
    types = ["AWS ECR (IAM credentials)", "AWS ECR (Instance Role)"]
    assert page.texts["option"][:2] == types
    assert page.texts["option"][len(TYPES)] == "From the pattern"
    role = look(alice, NEW, type="aws-ecr-role")
    assert role.texts["label"][:4] == ["Match pattern", "Registry type", "Role name", "Region"]
    assert "secret_access_key" not in role.fields


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.slug)
def test_the_chosen_types_examples_and_when_each_fits(kind, look, alice, staff, acme) -> None:
    admins = f"{reverse('admin:orgs_registryentry_add')}?organization={acme.pk}&"
    for who, address in ((alice, f"{NEW}?"), (staff, admins)):
        page = look(who, f"{address}type={kind.slug}")
        shown = re.findall(r'<optgroup label="([^"]+)">', page.html)
        assert shown == list(groups())
        chosen = re.findall(r'<option value="([^"]+)" selected>', page.html)
        assert chosen[0] == kind.slug
        assert page.by_id["pattern-example"] == f"Example: {kind.example_pattern}"
        assert page.by_id["image-example"] == f"Example: {example_of(kind)}"
        # All of them without a hover, the chosen one's once more under the select.
        for other in TYPES:
            assert page.text.count(other.summary) == (2 if other is kind else 1)
        assert kind.label in page.texts["b"] and kind.group in page.texts["p"]
        swapped = look(who, f"{address}type={kind.slug}&fields=1").html
        assert (
            swapped.count("data-example=") == 2 and example_of(kind).rpartition(":")[2] in swapped
        )


def test_enter_means_save(look, alice) -> None:
    html = look(alice, NEW).html
    form = html[html.index('id="entry-form"') :]
    assert form.index('value="Save"') < form.index('name="show_fields"')


def test_save(client, alice) -> None:
    client.force_login(alice)
    answer = client.post(NEW, TYPED)
    entry = RegistryEntry.objects.get()
    assert answer.url == url("entry", entry)
    page = Page(client.get(answer.url))
    assert f"{HOST}/my-repo/* is saved." in page.text
    assert entry.config == {"access_key_id": KEY, "region": "us-east-1"}
    assert entry.created_by == alice and entry.note == "typed by hand"


@pytest.mark.parametrize(
    ("wrong", "field", "sentences"),
    [
        ({"patterns": ""}, "patterns", "Match pattern is empty."),
        ({"patterns": HOST}, "patterns", f"names a registry but no images. Write {HOST}/*"),
        ({"patterns": f"https://{HOST}/a"}, "patterns", f"Write {HOST}/a."),
        ({"patterns": f"{HOST}/a:v1"}, "patterns", f"Write {HOST}/a; it covers every tag."),
        (
            {"patterns": f"{HOST}.evil.com/*"},
            "patterns",
            f"{HOST}.evil.com resembles an Amazon ECR host but isn't one, so no AWS login will "
            f"go there. Write {HOST}/*",
        ),
        ({"region": "eu-west-1"}, "region", "is in us-east-1, but Region says eu-west-1."),
        ({"region": "cn-north-1"}, "region", "is in us-east-1, but Region says cn-north-1."),
        ({"region": "nowhere"}, "region", "This isn't in the list. Choose one that is."),
        ({"access_key_id": ""}, "access_key_id", "Access Key ID is empty."),
        ({"access_key_id": "AKIA"}, "access_key_id", "Key ID: 4 characters, 16 short. Copy"),
        ({"access_key_id": "AIDAIOSFODNN7EXAMPLEX"}, "access_key_id", "the ID of an IAM user, not"),
        ({"access_key_id": "akiaiosfodnn7example"}, "access_key_id", "in capital letters"),
        ({"access_key_id": "A" * 2000}, "access_key_id", ""),
        (
            {"access_key_id": "ASIAIOSFODNN7EXAMPLE"},
            "access_key_id",
            "This key is temporary and will expire. Use one that begins with AKIA.",
        ),
        ({"secret_access_key": ""}, "secret_access_key", "Secret Access Key is empty. Enter it."),
        ({"secret_access_key": "pass"}, "secret_access_key", "Access Key: 4 characters, 36"),
        (
            {"secret_access_key": f"'{CANARY[:-1]}'"},
            "secret_access_key",
            "41 characters, quotation marks around it. Copy the 40 characters that AWS showed",
        ),
        (
            {"secret_access_key": f"{CANARY}abc="},
            "secret_access_key",
            "44 characters, which is the length of an SES password. An SES password only sends",
        ),
        ({"note": LONG}, "note", ""),
        ({"registry_type": "nonsense"}, "registry_type", "This isn't in the list."),
        (
            {"registry_type": "aws-ecr-role", "role_name": "arn:aws:iam::123456789012:user/x"},
            "role_name",
            "This is the ARN of a user, not of a role. Write the role's name or its ARN",
        ),
        (
            {
                "registry_type": "docker",
                "patterns": "us-docker.pkg.dev/acme/*",
                "username": "oauth2accesstoken",
                "password": CANARY,
            },
            "username",
            "This username stands for a Google access token, which ends after an hour. "
            "Choose GCP Artifact Registry as the registry type",
        ),
        (
            {
                "registry_type": "docker",
                "patterns": "ghcr.io/acme/*",
                "username": "x-access-token",
                "password": f"ghs_{CANARY}",
            },
            "password",
            "which ends with its job or after an hour. Use a classic personal access token",
        ),
    ],
)
def test_bad_input(wrong, field, sentences, send, alice) -> None:
    page = send(alice, NEW, typed(**wrong))
    assert page.status == 200 and not RegistryEntry.objects.exists()
    assert page.wrong == {field}
    assert sentences in page.error(field)
    # The sentence once; the summary, linked, has the field and a word; the title says so too.
    assert page.title.startswith("Error: Add a new entry")
    assert page.texts["h2"][0] == "1 error"
    label, _, short = page.brief(field).partition(": ")
    assert label in page.texts["label"] and 0 < len(short) <= 40
    assert page.text.count(page.error(field)) == 1
    assert (
        page.attributes["errors"]["tabindex"] == "-1" and "autofocus" in page.attributes["errors"]
    )
    shown = page.fields[field]
    assert shown["aria-invalid"] == "true"
    assert f"id_{field}_error" in (shown["aria-describedby"] or "")
    # All that was typed is there, the secret isn't.
    kept = typed(**wrong)
    for name in ("access_key_id", "note", "role_name"):
        if name in page.fields and name in kept:
            assert (page.fields[name].get("value") or "") == kept[name]
    assert page.by_id["id_patterns"] == kept["patterns"]
    assert CANARY not in page.html
    if wrong.get("secret_access_key") != "" and "secret_access_key" in page.fields:
        assert "value" not in page.fields["secret_access_key"]
        assert page.by_id["id_secret_access_key_again"].endswith("Enter it again before saving.")


def test_the_summary_says_each_thing_once(send, alice, make_entry) -> None:
    make_entry(f"{HOST}/taken")
    patterns = f"{HOST}/a:v1 {HOST}/b:v2 {HOST}/c:v3 {HOST}"
    page = send(alice, NEW, typed(patterns=patterns, access_key_id="", note=LONG))
    told = {text: to for text, to in page.links.items() if to.startswith("#id_")}
    assert told == {
        "Match pattern: a tag in the pattern, 3 times": "#id_patterns",
        "Match pattern: a host without a path": "#id_patterns",
        "Access Key ID: empty": "#id_access_key_id",
        "Note: too long": "#id_note",
    }
    assert list(told) == [text for text in page.texts["a"] if text in told]
    assert page.texts["h2"][0] == "6 errors"
    assert page.error("patterns").count("Patterns match repositories, not tags") == 3
    page = send(alice, NEW, typed(patterns=f"{HOST}/taken"))
    assert page.brief("patterns") == "Match pattern: taken by another entry"
    # What the field says, the help beside doesn't.
    assert page.text.count("has this pattern already") == 1


def test_what_is_of_no_field_stands_whole_above_all(look, send, alice, make_entry) -> None:
    entry = make_entry(note="before")
    shown = look(alice, url("entry_edit", entry)).fields["shown"]["value"]
    RegistryEntry.objects.update(note="meanwhile", updated_at=Now())
    data = typed(shown=shown, note="mine", patterns=f"{HOST}/*")
    page = send(alice, url("entry_edit", entry), {**data, "secret_access_key": ""})
    (said,) = [text for text in page.links if "changed this entry since you opened it" in text]
    assert said.endswith("save again.")


def test_what_came_along_is_taken_off(client, alice) -> None:
    client.force_login(alice)
    pasted = {
        "access_key_id": f"aws_access_key_id = {KEY}",
        "secret_access_key": f'"SecretAccessKey": "{CANARY}",',
    }
    client.post(NEW, typed(**pasted))
    entry = RegistryEntry.objects.get()
    assert entry.config == {"access_key_id": KEY, "region": "us-east-1"}
    assert secrets_of(entry) == {"secret_access_key": CANARY}


def test_a_secret_in_the_id_field(send, alice) -> None:
    page = send(alice, NEW, typed(access_key_id=CANARY))
    assert "This looks like a Secret Access Key." in page.error("access_key_id")
    assert CANARY not in page.html
    assert "wasn't kept" in page.by_id["id_access_key_id_again"]
    page = send(alice, NEW, typed(access_key_id=CANARY, secret_access_key="", show_fields="1"))
    assert CANARY not in page.html


def test_a_role_arn_is_reduced_to_its_name(client, alice) -> None:
    client.force_login(alice)
    arn = "arn:aws:iam::123456789012:role/service/ValohaiWorkerRole"
    client.post(NEW, typed(registry_type="aws-ecr-role", role_name=arn))
    entry = RegistryEntry.objects.get()
    assert entry.config == {"role_name": "ValohaiWorkerRole", "region": "us-east-1"}
    assert not entry.secrets


def test_a_duplicate_names_the_entry_that_has_it(send, alice, make_entry) -> None:
    entry = make_entry(f"{HOST}/my-repo/*")
    page = send(alice, NEW, TYPED)
    sentence = f"The enabled entry {HOST}/my-repo/* (AWS ECR (IAM credentials), all environments)"
    assert sentence in page.error("patterns") and page.wrong == {"patterns"}
    assert page.links["Open that entry"] == url("entry", entry)


def test_several_errors_are_counted(send, alice) -> None:
    page = send(alice, NEW, typed(patterns=f"{HOST}\n{HOST}/a:v1", access_key_id="x"))
    assert page.texts["h2"][0] == "3 errors"


def test_show_fields_keeps_what_was_typed_and_saves_nothing(send, alice) -> None:
    data = typed(registry_type="aws-ecr-role", region="us-east-1", show_fields="1")
    del data["enabled"]
    page = send(alice, NEW, data)
    assert page.title.startswith("Add a new entry") and not RegistryEntry.objects.exists()
    assert not page.wrong and "errors" not in page.by_id
    assert "role_name" in page.fields and "secret_access_key" not in page.fields
    assert page.by_id["id_patterns"] == TYPED["patterns"]
    assert page.fields["note"]["value"] == "typed by hand"
    assert "checked" not in page.fields["enabled"]
    assert '<option value="us-east-1" selected>' in page.html
    assert CANARY not in page.html
    back = send(alice, NEW, typed(show_fields="1"))
    assert back.fields["access_key_id"]["value"] == KEY
    assert "value" not in back.fields["secret_access_key"] and CANARY not in back.html
    assert "wasn't kept" in back.by_id["id_secret_access_key_again"]


def test_only_the_fields_of_a_type(look, bob, alice) -> None:
    page = look(alice, NEW, type="aws-ecr-role", fields="1")
    assert set(page.fields) == {"role_name", "region", "pull_through"} and "h1" not in page.texts
    assert look(bob, NEW, type="aws-ecr-role", fields="1").status == 403
    assert "access_key_id" in look(alice, NEW, type="nonsense", fields="1").fields


def test_pattern_from_the_address(look, alice) -> None:
    assert look(alice, NEW, pattern=f"{HOST}/a/*").by_id["id_patterns"] == f"{HOST}/a/*"


def test_markup_in_what_was_typed_is_text(send, alice) -> None:
    page = send(alice, NEW, typed(patterns="<script>x</script>", note='"><b>'))
    assert "<script>x" not in page.html and '"><b>' not in page.html


# --- edit -----------------------------------------------------------------------


def edited(**changed: str) -> dict[str, str]:
    data = typed(patterns=f"{HOST}/*", **changed)
    if "secret_access_key" not in changed:
        del data["secret_access_key"]
    return data


def test_the_secret_is_behind_replace(look, alice, make_entry) -> None:
    entry = make_entry()
    page = look(alice, url("entry_edit", entry))
    assert "secret_access_key" not in page.fields
    assert "Replace" in page.texts["button"] and "a new one needs its own secret" in page.text
    assert page.fields["access_key_id"]["value"] == KEY
    page = look(alice, url("entry_edit", entry), replace="1")
    assert "value" not in page.fields["secret_access_key"] and CANARY not in page.html
    assert "Leave it empty to keep the one that's stored." in page.text


def test_edit_keeps_the_secret(client, alice, make_entry, new_keys_work) -> None:
    entry = make_entry()
    before = RegistryEntry.objects.get().secrets.reveal(entry.sealed_for)
    client.force_login(alice)
    assert client.post(url("entry_edit", entry), edited(note="new")).status_code == 302
    after = RegistryEntry.objects.get()
    assert after.note == "new" and after.secrets.reveal(entry.sealed_for) == before
    replaced = edited(secret_access_key="b" * 40)
    assert client.post(url("entry_edit", entry) + "?replace=1", replaced).status_code == 302
    assert "b" * 40 in RegistryEntry.objects.get().secrets.reveal(entry.sealed_for)


def test_a_changed_key_id_brings_back_the_secrets_field(
    client, send, alice, make_entry, new_keys_work
) -> None:
    entry = make_entry()
    page = send(alice, url("entry_edit", entry), edited(access_key_id=NEW_KEY))
    assert page.wrong == {"secret_access_key"} and page.title.startswith("Error: Edit")
    assert "Access Key ID changed, so its Secret Access Key is needed too." in page.error(
        "secret_access_key"
    )
    assert page.fields["access_key_id"]["value"] == NEW_KEY
    assert page.fields["secret_access_key"]["aria-invalid"] == "true"
    assert RegistryEntry.objects.get().config["access_key_id"] == KEY
    again = edited(access_key_id=NEW_KEY, secret_access_key="b" * 40)
    assert client.post(url("entry_edit", entry), again).status_code == 302
    assert RegistryEntry.objects.get().config["access_key_id"] == NEW_KEY


def test_replace_keeps_what_was_typed(send, alice, make_entry) -> None:
    entry = make_entry()
    data = edited(access_key_id=NEW_KEY, show_fields="1")
    page = send(alice, url("entry_edit", entry) + "?replace=1", data)
    assert page.fields["access_key_id"]["value"] == NEW_KEY
    assert "secret_access_key" in page.fields and not page.wrong


def test_the_type_may_change(client, look, alice, make_entry) -> None:
    entry = make_entry()
    fields = look(alice, url("entry_edit", entry), type="aws-ecr-role", fields="1").fields
    assert set(fields) == {"role_name", "region", "pull_through"}
    client.force_login(alice)
    answer = client.post(url("entry_edit", entry), edited(registry_type="aws-ecr-role"))
    assert "Role name is empty." in Page(answer).error("role_name")
    data = edited(registry_type="aws-ecr-role", role_name="Worker")
    assert client.post(url("entry_edit", entry), data).status_code == 302
    changed = RegistryEntry.objects.get()
    assert changed.registry_type == "aws-ecr-role" and not changed.secrets
    back = Page(client.post(url("entry_edit", entry), edited()))
    assert back.wrong == {"secret_access_key"}


def test_environments_are_the_organizations_own(look, send, alice, gpu, umbrella) -> None:
    from orgs.models import Environment

    other = Environment.objects.create(organization=umbrella, name="Theirs", slug="theirs")
    page = look(alice, NEW)
    assert "GPU" in page.text and "Theirs" not in page.text
    page = send(alice, NEW, typed(environments=str(other.pk)))
    assert page.wrong == {"environments"} and not RegistryEntry.objects.exists()
    assert page.brief("environments") == "Environments: not in the list"
