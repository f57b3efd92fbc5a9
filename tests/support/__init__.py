"""Real peers for the tests: a fake AWS, a real registry, a real PostgreSQL.

Nothing here leaves loopback, needs an account, or keeps anything after it is stopped.
"""

import os
import shutil
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]

DEBIAN_PACKAGES = {
    "chromium": "chromium",
    "docker-registry": "docker-registry",
    "mount": "mount",
    "nginx": "nginx",
    "pgbouncer": "pgbouncer",
    "promtool": "prometheus",
    "skopeo": "skopeo",
    "unshare": "util-linux",
}


def skip_or_fail(reason: str) -> None:
    """Skip the running test with a reason; under `CI=true` fail it: CI never skips silently."""
    import pytest  # not at the top: the fake AWS also runs outside pytest

    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (skipping is not allowed under CI=true)")
    pytest.skip(reason)


def require_program(name: str) -> str:
    """Return the path of an outside program, or skip naming the Debian package that has it."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        skip_or_fail(f"needs {name}: apt-get install {DEBIAN_PACKAGES.get(name, name)}")
    assert path is not None
    return path


def tied_to_us(command: list[str]) -> list[str]:
    """Wrap a command so that the kernel stops it when we die, even by SIGKILL.

    Where `setpriv` exists; elsewhere the command stays as it is. «We» is the thread that starts
    it: start peers from a thread that lives as long as they should.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "INT", *command] if setpriv else command
