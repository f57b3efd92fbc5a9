"""How requests are read and answers sent; docs/decisions/0005-server.md says why."""
