"""The loads: what each sends, and what it counts. `python -m bench.pressure.loads NAME
SECONDS` runs one against the scene on standard input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..scene import Scene
from . import anonymous, connections, tabs, texts, workers


@dataclass(frozen=True)
class Load:
    """`run(scene, seconds)` presses, and tells its own figures; `tasks(scene)`, if any, is
    what of the other organization is timed, alone and beside it, besides logins."""

    run: Callable[[Scene, float], Any]
    tasks: Callable[[Scene], Any] | None = None


LOADS = {
    "files": Load(texts.files),
    "yaml": Load(texts.valohai_yaml),
    "patterns": Load(texts.patterns),
    "sign-ins": Load(anonymous.sign_ins),
    "passwords": Load(anonymous.passwords),
    "uploads": Load(anonymous.uploads),
    "tabs": Load(tabs.tabs, tabs.tasks),
    "flapping": Load(workers.flapping),
    "half-open": Load(connections.half_open),
    "slow-body": Load(connections.slow_bodies),
    "slow-readers": Load(connections.slow_readers),
}
