"""How the product is served; docs/decisions/0005-server.md says why."""

import os

bind = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
# More than the callers that may wait for a registry at once (services/minting.py).
threads = 32
timeout = 60
graceful_timeout = 10
preload_app = False
# SIGHUP to a running make must not leave workers behind; logs go to standard error.
errorlog = "-"
loglevel = "warning"
