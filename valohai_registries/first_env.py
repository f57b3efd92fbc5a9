"""Write `.env` with fresh keys on the first start; an existing one is left alone.

Keys that come in the environment are kept in it too: a second start without
them would otherwise seal under other keys, and nothing would open any more.
"""

import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet

ENV_FILE = Path(__file__).resolve().parent.parent / ".env"


def main() -> None:
    if ENV_FILE.exists():
        return
    fernet_keys = os.environ.get("FERNET_KEYS", "").strip() or Fernet.generate_key().decode()
    secret_key = os.environ.get("SECRET_KEY", "").strip() or secrets.token_urlsafe(50)
    descriptor = os.open(ENV_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123  (created as 0600, never wider)
        file.write(
            "# Made on the first start. Keep FERNET_KEYS safe: without them no secret opens.\n"
            f"SECRET_KEY={secret_key}\nFERNET_KEYS={fernet_keys}\n"
        )


if __name__ == "__main__":
    main()
