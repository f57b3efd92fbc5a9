"""The product's settings, without middleware and with one view: that which FLOOR_VIEW names."""

import os

from valohai_registries.settings import *  # noqa: F403

MIDDLEWARE: list[str] = []
ROOT_URLCONF = "bench.floor.urls"
TRUSTED_PROXIES = ["127.0.0.1"]
# What fails is answered with Django's own page: ours links to addresses that aren't here.
TEMPLATES: list[dict[str, object]] = []
VIEW = os.environ["FLOOR_VIEW"]
