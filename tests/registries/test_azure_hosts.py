"""Which hosts Azure's logins go to: as many look-alikes as hosts, and more."""

import pytest

from orgs.registries.azure_acr import AzureRegistry
from orgs.registries.azure_hosts import (
    SIGN_IN_HOSTS,
    corrected_azure_host,
    parse_azure_host,
)
from orgs.registries.patterns import MatchPattern
from orgs.registries.problems import Failed
from orgs.services.upstream import calls
from tests.support.effort import at_most

pytestmark = pytest.mark.once

TYPE = AzureRegistry()


@pytest.mark.parametrize(
    ("host", "name", "sign_in"),
    [
        ("acmeml.azurecr.io", "acmeml", "login.microsoftonline.com"),
        ("a1234.azurecr.io", "a1234", "login.microsoftonline.com"),
        ("x" * 50 + ".azurecr.io", "x" * 50, "login.microsoftonline.com"),
        ("12345.azurecr.io", "12345", "login.microsoftonline.com"),
        ("acmeml-f8b2c4d6e8a0.azurecr.io", "acmeml", "login.microsoftonline.com"),
        ("acmeml.azurecr.cn", "acmeml", "login.chinacloudapi.cn"),
        ("acmeml.azurecr.us", "acmeml", "login.microsoftonline.us"),
        ("acmeml-f8b2c4d6e8a0.azurecr.us", "acmeml", "login.microsoftonline.us"),
    ],
)
def test_hosts(host, name, sign_in):
    found = parse_azure_host(host)
    assert found is not None and (found.name, found.sign_in_host) == (name, sign_in)
    assert TYPE.refused_patterns([MatchPattern.parse(f"{host}/team/*")]) == []
    assert corrected_azure_host(host) is None


def test_the_clouds_sign_in_where_azures_own_client_does():
    from azure.identity import AzureAuthorityHosts as Hosts

    theirs = {Hosts.AZURE_PUBLIC_CLOUD, Hosts.AZURE_CHINA, Hosts.AZURE_GOVERNMENT}
    assert set(SIGN_IN_HOSTS.values()) == theirs


LOOK_ALIKES = [
    "acmeml.azurecr.io.evil.com",
    "evil.com.acmeml.azurecr.io",
    "a.acmeml.azurecr.io",
    "acmeml.azurecr.io.",
    "acmeml.azurecr.iox",
    "acmeml.azurecr.i",
    "acmeml.azurecr.com",
    "acmeml.azurecr.de",
    "acmeml.azurecr.io.cn",
    "acmeml.azurecr-io.com",
    "acmeml-azurecr.io",
    "acmeml-azurecr-io.evil.com",
    "acmemlazurecr.io",
    "azurecr.io",
    ".azurecr.io",
    "acme.azurecr.io",
    "ab.azurecr.io",
    "x" * 51 + ".azurecr.io",
    "acme_ml.azurecr.io",
    "acme-ml-x.azurecr.io",
    "-acmeml.azurecr.io",
    "acmeml-.azurecr.io",
    "acmeml--f8b2c4.azurecr.io",
    "acmeml.azurecr.io:443x",
    "acmeml.azurecr.io:5000",
    "acmeml.azurecr.io@evil.com",
    "acmeml.azurecr.io/",
    " acmeml.azurecr.io",
    "acmeml.azurecr.io\n",
    "acmeml.azurecr.ıo",
    "аcmeml.azurecr.io",
    "ACMEML.azurecr.io",
    "acmeml.azurecr。io",
    "xn--acmeml.azurecr.io",
    "acmeml.westeurope.data.azurecr.io",
    "acmeml.westeurope.geo.azurecr.io",
    "acmeml.azure.cr.io",
    "acmeml.azure-cr.io",
    "acmeml.privatelink.azurecr.io",
    "login.microsoftonline.com",
    "containerregistry.azure.net",
    "management.azure.com",
    "acmeml.blob.core.windows.net",
    "mcr.microsoft.com",
    "*.azurecr.io",
    "azurecr.io.acmeml",
    "acmeml.azurecr.us.com",
    "acmeml.azurecr.cn.evil.cn",
    "123456789012.dkr.ecr.us-east-1.amazonaws.com",
    "ghcr.io",
    "docker.io",
    "localhost",
    "",
    "https://acmeml.azurecr.io",
    "//acmeml.azurecr.io",
    "acmeml.azurecr.io,evil.com",
    "acmeml.azurecr.io%00",
    "acmeml%2eazurecr.io",
    "acmeml.azurecr.io?x",
    "acmeml.azurecr.io#x",
    "acmeml..azurecr.io",
    "acmeml.azurecr..io",
    "acmeml.azurecr.io:",
    "acmeml.AZURECR.io",
    "ａcmeml.azurecr.io",
    "acmeml.azurecr.io\0",
]


@pytest.mark.parametrize("host", LOOK_ALIKES)
def test_look_alikes_get_no_login(host):
    assert parse_azure_host(host) is None
    secrets = {"client_secret": "s" * 40}
    config = {"tenant_id": "t", "client_id": "c"}
    with pytest.raises(Failed) as failed:
        TYPE.login(config, secrets, calls.asked(TYPE, host, 0.0))
    assert failed.value.code == "entry_unusable"


PATTERNS = [h for h in LOOK_ALIKES if h.isascii() and h.strip(" \n./") == h and "." in h]


@pytest.mark.parametrize("host", [h for h in PATTERNS if not set("@_ ") & set(h)])
def test_look_alikes_are_refused_at_save(host):
    try:
        pattern = MatchPattern.parse(f"{host}/team/*")
    except ValueError:
        return  # no host at all
    if pattern.host.islower() and parse_azure_host(pattern.host) and pattern.port is None:
        return  # small letters are what was meant
    (problem,) = TYPE.refused_patterns([pattern])
    assert problem.field == "patterns" and problem.code in {"lookalike_host", "wildcard_host"}
    if problem.suggestion:
        assert TYPE.refused_patterns([MatchPattern.parse(problem.suggestion)]) == []


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("acmeml.azurecr.io.evil.com", "acmeml.azurecr.io"),
        ("acmeml-azurecr.io", "acmeml.azurecr.io"),
        ("acmeml.azure-cr.io", "acmeml.azurecr.io"),
        ("acmeml.azurecr.us.com", "acmeml.azurecr.us"),
        # What stands behind the first part may be another's registry.
        ("a.acmeml.azurecr.io", None),
        ("acmeml.westeurope.azurecr.io", None),
        ("acmeml.privatelink.azurecr.io", "acmeml.azurecr.io"),
        ("acmeml.westeurope.privatelink.azurecr.io", None),
        ("privatelink.azurecr.io.evil.com", "privatelink.azurecr.io"),
        ("azurecr.io", None),
        ("acmeml.azurecr.com", None),
        ("acmeml.azurecr.io.other1.azurecr.io", "acmeml.azurecr.io"),
        ("evil.com", None),
    ],
)
def test_what_seems_to_be_meant(host, meant):
    assert corrected_azure_host(host) == meant


@pytest.mark.parametrize(("kind", "says"), [("data", "layers"), ("geo", "one region's endpoint")])
def test_another_endpoint_names_its_registry(kind, says):
    for zone in ("azurecr.io", "privatelink.azurecr.io"):
        pattern = MatchPattern.parse(f"acmeml.westeurope.{kind}.{zone}/team/*")
        (problem,) = TYPE.refused_patterns([pattern])
        assert problem.suggestion == "acmeml.azurecr.io/team/*" and says in problem.what


def test_one_cloud_an_entry():
    patterns = [MatchPattern.parse(f"acmeml.azurecr.{end}/*") for end in ("io", "us")]
    (problem,) = TYPE.refused_patterns(patterns)
    assert problem.code == "partition_mismatch" and "azurecr.io, azurecr.us" in problem.what
    more = [MatchPattern.parse(f"{name}.azurecr.io/*") for name in ("acmeml", "othername")]
    assert TYPE.refused_patterns(more) == []


@pytest.mark.parametrize("text", ["a" * 100_000, "acmeml-azurecr-" * 10_000, "-" * 100_000])
def test_no_host_takes_long(text):
    with at_most(250):
        corrected_azure_host(text), parse_azure_host(text)
