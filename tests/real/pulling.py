"""What skopeo and podman do on a worker that has a token of ours, the helper and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from orgs.models import Project
from orgs.services.audit.events import Actor
from orgs.services.tenancy import tokens
from tests.real.test_worker_pull import worker_environment
from tests.support import product
from tests.support.front import https
from tests.support.registry import Registry


def skopeo(registry: Registry, image: str, environment: dict[str, str], to: Path):
    return registry.skopeo(["copy", f"docker://{image}", f"dir:{to}"], env=environment)


@contextmanager
def pulled_by_both(
    registry: Registry,
    image: str,
    project: Project,
    actor: Actor,
    podman: Sequence[str],
    directory: Path,
    *,
    at: Callable[[str], object] = lambda address: None,
    name: str = "",
) -> Iterator[dict[str, str]]:
    """Both pull the image; gives skopeo's environment, while the product still serves. In the
    end the registry forgets the logins that it was told, and gives nothing more. `at` is given
    the product's address before anything is asked; by `name` it is known, behind TLS."""
    token = tokens.token_issue_worker(organization=project.organization, name="gpu", actor=actor)[1]
    auth = directory / "auth.json"
    auth.write_text(json.dumps({"credHelpers": {registry.host: "valohai"}}))
    (directory / "config.json").write_text(auth.read_text())
    behind_tls = {"BASE_URL": name, "TRUSTED_PROXIES": "127.0.0.1"} if name else {}
    with product.served(**behind_tls) as served, _front(served, name) as address:
        at(address)
        environment = worker_environment(auth, address, token, project.pk)
        environment["VALOHAI_IMAGE"] = image
        own = environment | {"DOCKER_CONFIG": str(directory)}
        pulled = skopeo(registry, image, own, directory / "pulled")
        assert pulled.returncode == 0, pulled.stderr
        assert (directory / "pulled" / "manifest.json").exists()
        pulled = registry.run([*podman, "pull", image], environment)
        assert pulled.returncode == 0, pulled.stderr
        yield own
        registry.revoke_all()
        refused = registry.run([*podman, "pull", image], environment)
        assert refused.returncode != 0 and "unauthorized" in refused.stderr.lower()


def _front(served: str, name: str) -> AbstractContextManager[str]:
    return https(served) if name else nullcontext(served)
