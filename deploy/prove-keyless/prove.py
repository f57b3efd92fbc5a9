"""Prove or refute on a real AWS account what no documentation says of keyless logins.

    python deploy/prove-keyless/prove.py --entry <uuid> [--push] [narrowing] [life] [rotation]

Runs where the server runs, with its settings; README.md beside it says how. Plain words go to
standard error, one JSON document to standard output. Exit code: 0 all proven, 1 something is
refuted, 2 something couldn't be tried.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
for directory in (HERE, HERE.parents[1]):
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valohai_registries.settings")

import django  # noqa: E402

django.setup()

import proofs  # noqa: E402
from ecr_http import Registry, Untried  # noqa: E402
from kept import State  # noqa: E402

from orgs.models import RegistryEntry  # noqa: E402
from orgs.registries.ecr_hosts import parse_ecr_host  # noqa: E402
from orgs.registries.problems import Failed, Refused  # noqa: E402
from orgs.registries.types import DockerLogin  # noqa: E402
from orgs.services.entries.validating import patterns_of  # noqa: E402
from orgs.services.upstream import calls  # noqa: E402

if TYPE_CHECKING:
    from proofs import Trial, Verdict

SLUG = "aws-ecr-oidc"
PROOFS: dict[str, Callable[[Trial], Verdict]] = {
    "narrowing": proofs.narrowing,
    "life": proofs.life,
    "rotation": proofs.rotation,
}


def main(argv: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(argv)
    try:
        trial = _trial(given)
        if given.push:
            _push(trial)
    except (Untried, Failed, Refused) as error:
        say(_told(error))
        return _ended(given.entry, [])
    verdicts = []
    for name in dict.fromkeys(given.proofs or ["narrowing", "life"]):
        try:
            verdict = PROOFS[name](trial)
        except (Untried, Failed, Refused) as error:
            verdict = proofs.Verdict(name, proofs.NOT_TRIED, f"Couldn't be tried: {_told(error)}")
        except KeyboardInterrupt:
            says = "Interrupted: the same command goes on where it was."
            verdicts.append(proofs.Verdict(name, proofs.NOT_TRIED, says))
            say(f"{name}: {says}")
            break
        verdicts.append(verdict)
        say(f"{name}: {verdict.says}")
    return _ended(given.entry, verdicts)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prove.py", description="Prove or refute on AWS what keyless logins rest on."
    )
    parser.add_argument("proofs", nargs="*", metavar="PROOF", type=_proof)
    parser.add_argument("--entry", required=True, type=uuid.UUID, help="the entry's id (its URL)")
    parser.add_argument(
        "--push", action="store_true", help="put the images there, with your own AWS credentials"
    )
    parser.add_argument("--prefix", default="valohai-prove-keyless", help="of the repositories")
    parser.add_argument("--tag", default="proof")
    parser.add_argument(
        "--state", type=Path, default=Path("prove-keyless.state"), help="what it is resumed from"
    )
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two looks")
    parser.add_argument(
        "--after",
        type=float,
        nargs="+",
        default=[120.0, 600.0],
        help="seconds after the session's end",
    )
    parser.add_argument("--patience", type=float, default=1800.0, help="seconds for a new key")
    return parser


def _proof(text: str) -> str:
    if text not in PROOFS:
        raise argparse.ArgumentTypeError(f"{text} is none of {', '.join(PROOFS)}")
    return text


def _trial(given: argparse.Namespace) -> Trial:
    entry = RegistryEntry.objects.filter(pk=given.entry).select_related("organization").first()
    if entry is None:
        raise Untried(f"This server has no entry {given.entry}.")
    if entry.registry_type != SLUG:
        raise Untried(f"The entry isn't one of AWS ECR (OIDC federation, no key), {SLUG}.")
    calls.require_real(entry)
    hosts = {pattern.authority for pattern in patterns_of(entry)}
    if len(hosts) != 1 or parse_ecr_host(next(iter(hosts))) is None:
        raise Untried("The entry's patterns have to name one ECR host, without a *.")
    return proofs.Trial(
        entry,
        hosts.pop(),
        given.prefix,
        given.tag,
        State(given.state, str(entry.pk)),
        say,
        every=given.every,
        after=tuple(sorted(given.after)),
        patience=given.patience,
    )


def _push(trial: Trial) -> None:
    """Both images, by whoever runs this: their own AWS credentials, never an entry's."""
    import base64

    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        ecr = boto3.client(
            "ecr",
            region_name=trial.entry.config["region"],
            endpoint_url=trial.ask().endpoint_url or None,
        )
        told = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise Untried(f"Your own AWS credentials get no login to push with: {code}.") from None
    except BotoCoreError as error:
        raise Untried(
            f"Your own AWS credentials get no login to push with: {type(error).__name__}."
        ) from None
    username, _, password = base64.b64decode(told).decode().partition(":")
    registry = Registry(trial.host, DockerLogin(username, password, None))
    for repository in (trial.named, trial.sibling):
        registry.push(repository, trial.tag)
        say(f"Pushed {repository}:{trial.tag}.")


def _told(error: Exception) -> str:
    if isinstance(error, Failed):
        return str(error.problem)
    if isinstance(error, Refused):
        return " ".join(str(problem) for problem in error.problems)
    return str(error)


def _ended(entry: uuid.UUID, verdicts: Sequence[Verdict]) -> int:
    told = [
        {"proof": one.proof, "result": one.result, "says": one.says, "facts": one.facts}
        for one in verdicts
    ]
    ended = proofs.now().isoformat(timespec="seconds")
    print(json.dumps({"version": 1, "entry": str(entry), "ended": ended, "proofs": told}, indent=2))
    results = {one.result for one in verdicts}
    if proofs.REFUTED in results:
        return 1
    return 0 if results == {proofs.PROVEN} else 2


if __name__ == "__main__":
    sys.exit(main())
