"""Django's PostgreSQL, with few connections for the many threads of a server."""
