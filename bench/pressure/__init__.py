"""`make pressure`: one organization's logins while another is trouble.

The product as `make run` serves it, on PostgreSQL or SQLite, before a fake AWS, each in
processes of its own. `python -m bench.pressure NAME… [--sqlite] [--quiet 15] [--beside 30]`
measures the cached logins of one organization, ten a second by a fixed schedule, first
alone and then beside the named load; latency counts from the moment a login was due.
A load runs in a process of its own, at nice 10, so that the time its client takes from the
processor isn't what is measured. Figures are of one run on one machine: compare only those
of the same run. Nothing here asserts.
"""
