"""A passkey in software: what a browser and its authenticator answer, or might be made to."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES256
from fido2.utils import websafe_encode

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


class Passkey:
    """One key pair at one relying party; every field may be set wrong before it answers."""

    def __init__(self, origin: str = "https://registries.example.com", rp: str = "") -> None:
        self.origin = origin
        self.rp = rp or origin.partition("://")[2].partition(":")[0]
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.flags = PRESENT | VERIFIED
        self.handle = b""
        self.challenge: str | None = None  # another than the one asked for

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """The answer to `creation_options`."""
        public = options["publicKey"]
        self.handle = _bytes(public["user"]["id"])
        cose = cbor.encode(dict(ES256.from_cryptography_key(self.key.public_key())))
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cose
        found = {"fmt": "none", "attStmt": {}, "authData": self._data(ATTESTED) + attested}
        return self._answer(
            {
                "clientDataJSON": self._client("webauthn.create", public["challenge"]),
                "attestationObject": cbor.encode(found),
            }
        ) | {"clientExtensionResults": {"credProps": {"rk": True}}}

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """The answer to `request_options`."""
        client = self._client("webauthn.get", options["publicKey"]["challenge"])
        data = self._data(0)
        signature = self.key.sign(data + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "clientDataJSON": client,
                "authenticatorData": data,
                "signature": signature,
                "userHandle": self.handle,
            }
        )

    def _data(self, further: int) -> bytes:
        return sha256(self.rp.encode()).digest() + bytes([self.flags | further]) + bytes(4)

    def _client(self, kind: str, challenge: str) -> bytes:
        told = {"type": kind, "challenge": self.challenge or challenge, "origin": self.origin}
        return json.dumps(told | {"crossOrigin": False}).encode()

    def _answer(self, response: dict[str, bytes]) -> dict[str, Any]:
        return {
            "id": websafe_encode(self.id),
            "rawId": websafe_encode(self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "response": {name: websafe_encode(value) for name, value in response.items()},
            "clientExtensionResults": {},
        }


def _bytes(found: str | bytes) -> bytes:
    from fido2.utils import websafe_decode

    return websafe_decode(found) if isinstance(found, str) else found
