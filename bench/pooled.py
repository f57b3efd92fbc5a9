"""The product for servers that aren't gunicorn, with as many connections kept for each
process as gunicorn's have (gunicorn.conf.py)."""

from orgs.postgresql.pool import pool
from valohai_registries.wsgi import application

__all__ = ["application"]

pool.bound(logins=12, others=18, health=1)
