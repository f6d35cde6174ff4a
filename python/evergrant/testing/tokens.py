"""JSON Web Tokens, signed and checked (RFC 7515, RFC 7519): ID tokens, and the assertions of clients."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from evergrant.testing.keys import Key, base64url, from_base64url

SigningKey = Key | str
"""An RSA key for RS256, or a client secret for HS256."""

_PARTS = 3


class InvalidToken(ValueError):
    """A text that is no JSON Web Token of this key; the message says why and holds nothing of it."""


def sign(claims: dict[str, Any], key: SigningKey, **header: str) -> str:
    """A JSON Web Token of `claims`.

    Args:
        claims: What it says; times are seconds since 1970 (UTC).
        key: `CLIENT_KEY` for RS256, a client secret for HS256.
        header: Members of its header that are to be different.
    """
    named = {"alg": "RS256", "kid": key.name} if isinstance(key, Key) else {"alg": "HS256"}
    parts = [{"typ": "JWT", **named, **header}, claims]
    signed = ".".join(base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{signed}.{base64url(_signature(signed.encode(), key))}"


def verify(token: str, key: SigningKey) -> dict[str, Any]:
    """The claims of a token that `key` has signed.

    Raises:
        InvalidToken: It is none: not three parts, another algorithm, another signature.
    """
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise InvalidToken("a JSON Web Token has three parts")
    try:
        header, claims = (json.loads(from_base64url(part)) for part in parts[:2])
        signature = from_base64url(parts[2])
    except ValueError as error:
        raise InvalidToken("it is not base64url of JSON") from error
    algorithm = "RS256" if isinstance(key, Key) else "HS256"
    if not isinstance(header, dict) or not isinstance(claims, dict) or header.get("alg") != algorithm:
        raise InvalidToken(f"it is not signed by {algorithm}")
    signed = f"{parts[0]}.{parts[1]}".encode()
    genuine = (
        key.verifies(signed, signature)
        if isinstance(key, Key)
        else hmac.compare_digest(_signature(signed, key), signature)
    )
    if not genuine:
        raise InvalidToken("the signature is another's")
    return claims


def _signature(signed: bytes, key: SigningKey) -> bytes:
    if isinstance(key, Key):
        return key.sign(signed)
    return hmac.new(key.encode(), signed, hashlib.sha256).digest()
