"""The product's settings, without middleware and with one view: that which FLOOR_VIEW names."""

import os

from valohai_registries.settings import *  # noqa: F403

MIDDLEWARE: list[str] = []
ROOT_URLCONF = "bench.floor.urls"
TRUSTED_PROXIES = ["127.0.0.1"]
VIEW = os.environ["FLOOR_VIEW"]
