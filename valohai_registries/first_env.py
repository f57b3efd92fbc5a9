"""Write `.env` with fresh keys on the first start; an existing one is left alone.

Keys that come in the environment are kept in it too: a second start without
them would otherwise seal under other keys, and nothing would open any more.
"""

import os
import secrets
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

ENV_FILE = Path(__file__).resolve().parent.parent / ".env"


def main() -> None:
    if ENV_FILE.exists():
        return
    fernet_keys = os.environ.get("FERNET_KEYS", "").strip() or Fernet.generate_key().decode()
    secret_key = os.environ.get("SECRET_KEY", "").strip() or secrets.token_urlsafe(50)
    descriptor, name = tempfile.mkstemp(dir=ENV_FILE.parent, prefix=".env.")  # is 0600
    with open(descriptor, "w") as file:  # noqa: PTH123
        file.write(
            "# Made on the first start. Keep FERNET_KEYS safe: without them no secret opens.\n"
            f"SECRET_KEY={secret_key}\nFERNET_KEYS={fernet_keys}\n"
        )
    # It is there whole or not at all; of two that start at once, one makes it.
    try:
        ENV_FILE.hardlink_to(name)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


if __name__ == "__main__":
    main()
