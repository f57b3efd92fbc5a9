"""How the product is served; docs/decisions/0005-server.md says why."""

import os
import resource
import sys
import tempfile
from pathlib import Path

from orgs.seen import logs

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
# A socket in the home directory that commands the server by: nobody here does.
control_socket_disable = True
# Everything that is logged goes to standard error, as JSON.
errorlog = "-"
loglevel = "warning"
logconfig_dict = logs.CONFIG | {
    "loggers": {"gunicorn.error": {"level": "WARNING", "handlers": ["stderr"], "propagate": False}}
}
# Where the processes count what `/metrics` adds up: named before prometheus_client is
# imported, which looks once. A SIGHUP reads this file again and keeps the place.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="valohai-registries-")


def on_starting(server):
    """Let a process hold all its connections where the usual limit is 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = worker_connections + 500
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def post_fork(server, worker):
    """Figures have their room now or stay in this process: no full disk ends it later."""
    from orgs.seen.room import make_room

    if not make_room(os.environ["PROMETHEUS_MULTIPROC_DIR"], os.getpid()):
        server.log.warning("No room for figures: /metrics has one process's only")
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def child_exit(server, worker):
    """What a process counted stays; what it held ends with it."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(worker.pid)


def on_exit(server):
    counted = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    for file in counted.glob("*.db"):
        file.unlink(missing_ok=True)
    if counted.name.startswith("valohai-registries-") and counted.is_dir():
        counted.rmdir()


def post_worker_init(worker):
    """Threads that compute (a file being read) give way to those that answer five times
    as often as Python has them by default."""
    sys.setswitchinterval(0.001)
    from orgs.postgresql.pool import pool
    from orgs.services.logins.renewing import Renewer
    from orgs.services.runs.runner import Runner
    from valohai_registries.long_work import WORK

    pool.bound(logins=12, others=6, health=1)
    Renewer().start()
    Runner(WORK).start()
