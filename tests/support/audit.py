"""`make lint`: whether a pinned package has a known vulnerability, where that can be asked.

pip-audit asks PyPI's own list. A machine that reaches no such list, or one that knows none of
our packages, is told so: nothing is called fine that wasn't asked. Exit 1 for a vulnerability.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.support import PROJECT_ROOT

FILES = ("requirements.txt",)
PATIENCE = 120  # seconds


def asked(file: str) -> tuple[str, str]:
    """What pip-audit prints: its JSON, and what it complains of."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
    command += ["--progress-spinner", "off", "--format", "json", "-r", file]
    try:
        run = subprocess.run(
            command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer within {PATIENCE} seconds"
    return run.stdout, run.stderr.strip()


def judged(file: str, printed: str, complaint: str) -> tuple[str, bool]:
    """A sentence on one file's packages, and whether any is vulnerable."""
    try:
        packages: list[dict[str, Any]] = list(json.loads(printed)["dependencies"])
    except (ValueError, KeyError, TypeError):
        why = complaint.splitlines()[-1][:200] if complaint else "pip-audit gave no answer"
        return (
            f"{file}: not audited, since the list of vulnerabilities isn't reached ({why}).",
            False,
        )
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    known = len(packages) - len(unknown)
    found = [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in "
        f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in packages
        for flaw in one.get("vulns", [])
    ]
    if found:
        return "\n".join([f"{file}: vulnerable packages.", *found]), True
    if not known:
        return (
            f"{file}: not audited, since the index that this machine reaches has no list of "
            f"vulnerabilities for any of the {len(packages)} packages.",
            False,
        )
    rest = f" Not known there: {', '.join(unknown)}." if unknown else ""
    return f"{file}: no known vulnerability in {known} packages.{rest}", False


def main() -> None:
    vulnerable = False
    for file in FILES:
        told, found = judged(file, *asked(file))
        print(told)
        vulnerable = vulnerable or found
    sys.exit(vulnerable)


if __name__ == "__main__":
    main()
