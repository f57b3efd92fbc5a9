"""What a proof that waits is resumed from: a file of mode 0600, there only as long as one waits.

The one secret in it, a login of the proof's own, is sealed with the server's FERNET_KEYS and goes
as soon as it's no longer needed.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ecr_http import Untried


class State:
    """One entry's; raises `Untried` where the file is another's, or none of ours."""

    def __init__(self, path: Path, entry: str) -> None:
        self._path, self._entry = path, entry
        self._proofs: dict[str, dict[str, Any]] = {}
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Untried(f"{path} can't be read: {error.strerror}.") from None
        with os.fdopen(descriptor) as file:
            try:
                told = json.load(file)
                owner, proofs = told["entry"], dict(told["proofs"])
            except (ValueError, LookupError, TypeError):
                raise Untried(f"{path} is no state of this script. Name another.") from None
        if owner != entry:
            raise Untried(f"{path} is of another entry. Name another with --state.")
        self._proofs = proofs

    def get(self, proof: str) -> dict[str, Any] | None:
        return self._proofs.get(proof)

    def put(self, proof: str, kept: dict[str, Any]) -> None:
        self._proofs[proof] = kept
        self._write()

    def drop(self, proof: str) -> None:
        if self._proofs.pop(proof, None) is not None:
            self._write()

    def _write(self) -> None:
        """Whole or not at all; no file where there is nothing to keep."""
        if not self._proofs:
            self._path.unlink(missing_ok=True)
            return
        # mkstemp's files are 0600.
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f"{self._path.name}.")
        with os.fdopen(descriptor, "w") as file:
            json.dump({"entry": self._entry, "proofs": self._proofs}, file)
        Path(name).replace(self._path)
