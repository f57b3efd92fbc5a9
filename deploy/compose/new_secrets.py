"""Make what compose.yml keeps in `secrets/` beside this file; what's there stays."""

import base64
import os
import secrets
from pathlib import Path

place = Path(__file__).resolve().parent / "secrets"
place.mkdir(mode=0o700, exist_ok=True)
password = secrets.token_hex(24)
made = {
    "database_password": password,
    "database_url": f"postgresql://registries:{password}@database/registries",
    "secret_key": secrets.token_urlsafe(48),
    "fernet_keys": base64.urlsafe_b64encode(os.urandom(32)).decode(),
}
if any((place / name).exists() for name in made):
    raise SystemExit(f"There are secrets in {place} already; nothing was changed.")
for name, text in made.items():
    (place / name).write_text(text + "\n")
    # Compose mounts a file as it is: the servers' user, not yours, reads it.
    (place / name).chmod(0o644)
print(f"Made {', '.join(made)} in {place}. Keep fernet_keys in another place as well.")
