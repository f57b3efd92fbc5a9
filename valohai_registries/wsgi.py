"""The WSGI application; refuses to start when a system check fails.

`get_wsgi_application()` alone starts with failing checks (FACTS), so a server
with missing keys would answer until the first secret is opened.
"""

import os
import sys

from django.core import checks
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "valohai_registries.settings")
application = get_wsgi_application()

_errors = [m for m in checks.run_checks() if m.is_serious()]
if _errors:
    sys.exit("\n".join(str(message) for message in _errors))

from orgs.registries import catalogue  # noqa: E402  (models have to be ready)

catalogue.prepare()
