"""Run one load for so many seconds; its figures, as one line of JSON."""

import json
import os
import sys

from ..scene import Scene
from . import LOADS

if __name__ == "__main__":
    scene = Scene.of(json.load(sys.stdin))
    print(json.dumps(LOADS[sys.argv[1]].run(scene, float(sys.argv[2]))), flush=True)
    os._exit(0)  # not waiting for requests that are still under way
