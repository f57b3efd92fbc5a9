"""Image references and servers: what parses to what, and what must not parse."""

import pytest

from orgs.registries.images import ImageReference, InvalidImage, parse_server
from orgs.registries.problems import Refused
from tests.support import effort

pytestmark = pytest.mark.once

HEX = "0123456789abcdef" * 4
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"

# Written, normalized, server as written.
NORMALIZED = [
    # Docker Hub: no host, one name, aliases.
    ("ubuntu", "docker.io/library/ubuntu", "docker.io"),
    ("ubuntu:22.04", "docker.io/library/ubuntu:22.04", "docker.io"),
    ("me/app", "docker.io/me/app", "docker.io"),
    ("me/deep/app:v1", "docker.io/me/deep/app:v1", "docker.io"),
    ("docker.io/ubuntu", "docker.io/library/ubuntu", "docker.io"),
    ("docker.io/library/ubuntu", "docker.io/library/ubuntu", "docker.io"),
    ("index.docker.io/ubuntu", "docker.io/library/ubuntu", "index.docker.io"),
    ("Index.Docker.IO:443/me/app", "docker.io/me/app", "Index.Docker.IO:443"),
    ("docker.io:443/ubuntu", "docker.io/library/ubuntu", "docker.io:443"),
    ("DOCKER.IO/ubuntu", "docker.io/library/ubuntu", "DOCKER.IO"),
    # Another port or name is another registry.
    ("docker.io:5000/ubuntu", "docker.io:5000/ubuntu", "docker.io:5000"),
    ("index.docker.io:5000/ubuntu", "index.docker.io:5000/ubuntu", "index.docker.io:5000"),
    ("registry-1.docker.io/me/app", "registry-1.docker.io/me/app", "registry-1.docker.io"),
    # What is a host, and what only looks like one.
    ("a:b", "docker.io/library/a:b", "docker.io"),
    ("host:5000", "docker.io/library/host:5000", "docker.io"),
    ("example.com", "docker.io/library/example.com", "docker.io"),
    ("localhost", "docker.io/library/localhost", "docker.io"),
    ("host:5000/x", "host:5000/x", "host:5000"),
    ("HOST:5000/x", "host:5000/x", "HOST:5000"),
    ("localhost/x", "localhost/x", "localhost"),
    ("localhost/x/y:v1", "localhost/x/y:v1", "localhost"),
    ("localhosts/x", "docker.io/localhosts/x", "docker.io"),
    ("10.0.0.1:5000/x", "10.0.0.1:5000/x", "10.0.0.1:5000"),
    ("[::1]/x", "[::1]/x", "[::1]"),
    ("[2001:DB8::1]:5000/x:v1", "[2001:db8::1]:5000/x:v1", "[2001:DB8::1]:5000"),
    # Ports.
    ("registry.example.com:443/x", "registry.example.com/x", "registry.example.com:443"),
    ("registry.example.com:0443/x", "registry.example.com/x", "registry.example.com:0443"),
    ("registry.example.com:4433/x", "registry.example.com:4433/x", "registry.example.com:4433"),
    ("localhost:443/x", "localhost/x", "localhost:443"),
    ("h:443/x", "h:443/x", "h:443"),
    ("H:443/x", "h:443/x", "H:443"),
    ("[::1]:443/x", "[::1]:443/x", "[::1]:443"),
    ("h:1/x", "h:1/x", "h:1"),
    ("h:65535/x", "h:65535/x", "h:65535"),
    # Case and characters.
    (f"{ECR.upper()}/my-repo:V1", f"{ECR}/my-repo:V1", ECR.upper()),
    (f"{ECR}/a.b_c__d---e/f", f"{ECR}/a.b_c__d---e/f", ECR),
    # Tags and digests.
    (f"{ECR}/app:_v1.0-rc", f"{ECR}/app:_v1.0-rc", ECR),
    (f"{ECR}/app:{'t' * 128}", f"{ECR}/app:{'t' * 128}", ECR),
    (f"{ECR}/app@sha256:{HEX}", f"{ECR}/app@sha256:{HEX}", ECR),
    (f"{ECR}/app:v1@sha256:{HEX}", f"{ECR}/app:v1@sha256:{HEX}", ECR),
    (f"app@sha512:{HEX}{HEX}", f"docker.io/library/app@sha512:{HEX}{HEX}", "docker.io"),
    (f"app@sha384:{HEX}{HEX[:32]}", f"docker.io/library/app@sha384:{HEX}{HEX[:32]}", "docker.io"),
    # 64 hexadecimal digits are an ID only when they stand alone.
    (f"{HEX}:v1", f"docker.io/library/{HEX}:v1", "docker.io"),
    (f"me/{HEX}", f"docker.io/me/{HEX}", "docker.io"),
    (HEX[:63], f"docker.io/library/{HEX[:63]}", "docker.io"),
    # The path alone counts towards 255, library/ included.
    (f"{ECR}/{'a' * 255}", f"{ECR}/{'a' * 255}", ECR),
    ("a" * 247, f"docker.io/library/{'a' * 247}", "docker.io"),
]


@pytest.mark.parametrize(("text", "normalized", "written"), NORMALIZED)
def test_normalized(text: str, normalized: str, written: str) -> None:
    image = ImageReference.parse(text)
    assert str(image) == normalized
    assert image.written_server == written
    assert ImageReference.parse(str(image)) == image


INVALID = [
    # Blanks, line ends, other scripts: ASCII, in full.
    *("", " ", " ubuntu", "ubuntu ", "ubuntu\n", "ub untu", "ubuntu\t", "ubuntu\x00", "ubuntu\x7f"),
    *(
        "\u00fcbuntu",
        "ubuntu:v\u0661",
        "app\uff1av1",
        "a.com:5\u0660/x",
        "a\u2010b.com/x",
        "a\u200b",
    ),
    # Dot-less hosts in upper case, which lower-cased would be a Docker Hub name.
    *("HOST/x", "Host/x", "hOST/x"),
    # Hosts.
    *("-a.com/x", "a-.com/x", "a..com/x", ".com/x", "a.com./x", "a_b.com/x", "*.a.com/x", "a!.b/x"),
    *("user@a.com/x", "user:pw@a.com/x", "[::1/x", "::1/x", "[fe80::1%eth0]/x", "[1.2.3.4]/x"),
    f"{'a' * 250}.com/x",
    # Ports.
    *(
        "a.com:/x",
        "a.com:0/x",
        "a.com:65536/x",
        "a.com:99999/x",
        "a.com:443443/x",
        "a.com:123456/x",
        "a.com:x/y",
        "a.com:1:2/x",
        ":5/x",
    ),
    f"a.com:{'0' * 900}1/x",
    # Paths.
    *("/x", "a.com/", "a.com//x", "a.com/x/", "a.com/x//y", "a.com/.x", "a.com/x.", "a.com/x..y"),
    *("a.com/x___y", "a.com/_x", "a.com/x-", "a.com/x._y", "a.com/x*", "a.com/../x", "a.com/x?y"),
    *("App", "me/App", "a.com/App", "a.com/app/X:v1", f"a.com/{'a' * 256}", "a" * 248),
    # Tags.
    *("app:", "app:.v1", "app:-v1", "app:v 1", "app:v1:v2", "app:v/1", "app:*", f"app:{'t' * 129}"),
    # Digests.
    *("app@", "app@sha256", "app@sha256:", f"app@sha256:{HEX[:63]}", f"app@sha256:{HEX}0"),
    *(f"app@sha256:{HEX[:63]}g", f"app@sha512:{HEX}", f"app@x:{HEX[:31]}", f"app@1x:{HEX}"),
    # The grammar has more algorithms and upper case; no client takes them.
    *(f"app@SHA256:{HEX}", f"app@sha256:{HEX.upper()}", f"app@foo+bar.b:{HEX[:32]}"),
    *(f"app@sha1:{HEX[:40]}", f"app@md5:{HEX[:32]}", f"app@sha384:{HEX}", f"app@blake3:{HEX}"),
    *(f"app@sha256:{HEX}:v1", f"@sha256:{HEX}", f"app@sha256:{HEX}@sha256:{HEX}"),
    # An image's ID.
    HEX,
    # Schemes.
    *("https://a.com/x", "http://a.com/x", "docker://a.com/x", "oci:/a.com/x", "//a.com/x"),
    f"a.com/x:{'y' * 2000}",
]


@pytest.mark.parametrize("text", INVALID)
def test_invalid(text: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        ImageReference.parse(text)
    problem = caught.value.problem
    assert problem.code == "invalid_image"
    assert problem.what.endswith(".")
    assert problem.fix.endswith(".")
    assert isinstance(caught.value, Refused)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("https://a.com/x:v1", "a.com/x:v1"),
        ("docker://A.com:443/x", "A.com:443/x"),
        ("http://https://a.com/x/", "a.com/x"),
        ("https://a.com/App:V1", "a.com/app:V1"),
        ("App.com/App/X:V1", "App.com/app/x:V1"),
        ("https://a.com", None),  # would be read as a Docker Hub name
        ("https://", None),
        ("https://a.com/_x", None),
        (f"a.com/{'A' * 256}", None),
        ("wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY", None),  # what may be a secret isn't echoed
        ("HOST/x", None),
    ],
)
def test_corrected_form(text: str, suggestion: str | None) -> None:
    with pytest.raises(InvalidImage) as caught:
        ImageReference.parse(text)
    assert caught.value.problem.suggestion == suggestion
    if suggestion:
        assert suggestion in caught.value.problem.fix
        ImageReference.parse(suggestion)
    elif "://" not in text:
        assert text.lower() not in str(caught.value).lower()


def test_a_host_in_upper_case_is_told_apart_from_a_path() -> None:
    with pytest.raises(InvalidImage, match="host of a registry has a dot"):
        ImageReference.parse("HOST/x")
    with pytest.raises(InvalidImage, match="path of a repository is in lower case"):
        ImageReference.parse("HOST")


def test_parts() -> None:
    image = ImageReference.parse(f"Registry.Example.COM:5000/team/app:v1@sha256:{HEX}")
    assert (image.host, image.port, image.path) == ("registry.example.com", 5000, "team/app")
    assert (image.tag, image.digest) == ("v1", f"sha256:{HEX}")
    assert image.authority == "registry.example.com:5000"
    assert image.repository == "registry.example.com:5000/team/app"
    assert image.segments == ("team", "app")
    assert image.written_server == "Registry.Example.COM:5000"


def test_equality_is_of_the_normal_form() -> None:
    one, other = ImageReference.parse("A.com:443/x"), ImageReference.parse("a.com/x")
    assert one == other
    assert hash(one) == hash(other)
    assert one.written_server != other.written_server
    assert other != ImageReference.parse("a.com/x:v1")


@pytest.mark.parametrize(
    ("text", "authority", "written"),
    [
        ("https://index.docker.io/v1/", "docker.io", "index.docker.io"),
        ("docker.io", "docker.io", "docker.io"),
        ("A.com:443", "a.com", "A.com:443"),
        ("http://a.com:5000", "a.com:5000", "a.com:5000"),
        ("HTTPS://a.com/", "a.com", "a.com"),
        ("localhost", "localhost", "localhost"),
        ("h:5000", "h:5000", "h:5000"),
        ("[::1]:5000/v2/", "[::1]:5000", "[::1]:5000"),
        (ECR, ECR, ECR),
    ],
)
def test_server(text: str, authority: str, written: str) -> None:
    assert parse_server(text) == (authority, written)


@pytest.mark.parametrize(
    "text",
    [
        *("", "https://", "/v1/", "ftp://a.com", " a.com", "a.com\n", "a.com/v1/\n"),
        *(
            "host",
            "HOST",
            "a.com:",
            "a.com:0",
            "a.com:65536",
            "https://a.com:70000/v2/",
            "user@a.com",
            "a.com?x",
            "*.a.com",
            "a.com@x",
            "\u00e4.com",
        ),
    ],
)
def test_not_a_server(text: str) -> None:
    with pytest.raises(InvalidImage):
        parse_server(text)


@pytest.mark.parametrize("piece", ["a", "a-", "a.", "a/", "a__", "a:", "://", "a://", "A/", "[:"])
def test_hostile_text_costs_little(piece: str) -> None:
    with effort.at_most(500):
        for text in (piece * 100_000, (piece * 1000)[:1023] + "!"):
            with pytest.raises(InvalidImage):
                ImageReference.parse(text)
