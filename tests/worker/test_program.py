"""The program's own text: one file, an old Python's words, the standard library, a fast start."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import os
import sys
from typing import Any

import pytest

from orgs.registries import ecr_hosts
from orgs.registries.images import ImageReference, InvalidImage

from .conftest import HELPER, PROVIDER, Worker

pytestmark = pytest.mark.once


def load() -> Any:
    """The program as a module, for what is easier asked of its functions."""
    loader = importlib.machinery.SourceFileLoader("docker_credential_valohai", str(HELPER))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


helper = load()


def test_both_names_are_one_program_and_each_is_whole() -> None:
    assert HELPER.read_bytes() == PROVIDER.read_bytes()
    assert os.access(HELPER, os.X_OK) and os.access(PROVIDER, os.X_OK)
    assert HELPER.read_text().startswith("#!/bin/sh\n")


def test_it_is_python_3_9_and_needs_the_standard_library_only() -> None:
    tree = ast.parse(HELPER.read_text(), feature_version=(3, 9))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
    others = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert others == {"botocore.session", "botocore.config", "botocore.exceptions"}


def test_a_kept_login_imports_little(worker: Worker) -> None:
    """What a pull costs is what is imported: network, TLS and threads only on a miss."""
    worker.password()
    worker.forget_answers()
    worker.env["PYTHONPROFILEIMPORTTIME"] = "1"
    imported = worker.get().stderr
    assert "json" in imported
    for heavy in ("ssl", "socket", "http.client", "urllib.request", "threading", "hashlib"):
        assert f" {heavy}\n" not in imported, heavy


def test_an_unforeseen_error_is_told_in_a_line(worker: Worker) -> None:
    """Without a traceback, whose words could be anybody's."""
    broken = worker.home / "docker-credential-valohai"
    text = HELPER.read_text().replace(
        "def read_stdin() -> str:", "def read_stdin() -> str:\n    1 / 0"
    )
    broken.write_text(text)
    broken.chmod(0o755)
    done = worker.run("get", program=broken)
    assert done.returncode == 1
    assert done.stdout == done.stderr
    assert done.stdout.startswith("internal_error: ") and "ZeroDivisionError" in done.stdout


def test_its_idea_of_ecr_hosts_is_the_servers() -> None:
    """Every region botocore knows, in every form, and what only resembles one."""
    hosts = 0
    for partition in ecr_hosts.partitions():
        for region in partition.regions:
            for dual_stack in (False, partition.name in ecr_hosts.DUAL_STACK_SUFFIXES):
                for fips in {False, region in partition.fips_regions}:
                    parts = ("123456789012", region, partition.name, fips, dual_stack)
                    host = str(ecr_hosts.EcrHost(*parts))
                    assert ecr_hosts.parse_ecr_host(host), host
                    assert helper.ecr_region(host) == region, host
                    for wrong in (f"{host}.evil.com", f"x{host}", f"1{host}", host[1:], f"{host}."):
                        assert helper.ecr_region(wrong) is None, wrong
                    hosts += 1
    assert hosts > 50


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com.cn",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com",
        "123456789012.dkr.ecr.us-east-1.on.aws",
        "123456789012.dkr-ecr.us-east-1.amazonaws.com",
        "123456789012.dkr-ecr.eusc-de-east-1.on.aws",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com\n",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com:5000",
        "123456789012.dkr.ecr.us-east-1.evil.amazonaws.com",
        "123456789012.dkr.ecr.amazonaws.com",
        "١23456789012.dkr.ecr.us-east-1.amazonaws.com",
        "*.dkr.ecr.us-east-1.amazonaws.com",
        "public.ecr.aws",
        "docker.io",
        "",
    ],
)
def test_what_is_no_ecr_host(host: str) -> None:
    assert helper.ecr_region(host) is None


@pytest.mark.parametrize(
    "image",
    [
        "ubuntu",
        "ubuntu:22.04",
        "me/app",
        "docker.io/ubuntu",
        "index.docker.io/me/app:1",
        "localhost/app",
        "localhost:443/app",
        "h:443/app",
        "HOST.example.com/app",
        "HOST.example.com:443/a/b/c:v1",
        "HOST:5000/app:v1",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/my-ml-image:v1.0",
        f"example.com/app@sha256:{'0' * 64}",
        f"example.com:5000/app:v1@sha256:{'0' * 64}",
    ],
)
def test_it_reads_images_as_the_server_does(image: str) -> None:
    theirs = ImageReference.parse(image)
    ours = helper.Question(image=image)
    assert ours.host == theirs.authority
    assert ours.path == theirs.path
    assert ours.written == theirs.written_server


@pytest.mark.parametrize(
    "image", ["https://example.com/app", "a b", "example.com/*", "@x", "example.com/"]
)
def test_what_it_refuses_the_server_refuses_too(image: str) -> None:
    with pytest.raises(helper.Failure):
        helper.Question(image=image)
    with pytest.raises(InvalidImage):
        ImageReference.parse(image)
