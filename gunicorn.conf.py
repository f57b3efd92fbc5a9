"""How the product is served; docs/decisions/0005-server.md says why."""

import os
import resource
import sys

bind = f"127.0.0.1:{os.environ.get('PORT', '8000')}"
worker_class = "valohai_registries.serving.worker.BufferingWorker"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
# Of these the worker keeps some for logins (serving/worker.py); of both kinds there are
# more than may wait for a registry at once (services/upstream/calls.py).
threads = 32
# Of each process: idle ones and those that are being read hold no thread.
worker_connections = 2000
# Seconds; longer than a proxy keeps its connections, so that the proxy ends them.
keepalive = 75
# Answers go through the worker's own buffers.
sendfile = False
# Nobody's headers name the path or the scheme: gunicorn believes them of this machine.
forwarded_allow_ips = ""
forwarder_headers = ""
timeout = 60
graceful_timeout = 10
preload_app = False
# SIGHUP to a running make must not leave workers behind; logs go to standard error.
errorlog = "-"
loglevel = "warning"


def on_starting(server):
    """Let a process hold all its connections where the usual limit is 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = worker_connections + 500
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def post_worker_init(worker):
    """Threads that compute (a file being read) give way to those that answer five times
    as often as Python has them by default."""
    sys.setswitchinterval(0.001)
    from orgs.services.logins.renewing import Renewer

    Renewer().start()
