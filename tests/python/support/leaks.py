"""Looks for secrets in text, as they are and in the encodings in which they escape unnoticed."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

TAIL = 16  # tokens of one issuer share their beginnings; the last characters tell them apart


def leaks(text: str, secrets: Iterable[tuple[str, str]]) -> list[str]:
    """The kinds of those `secrets` (kind, value) that `text` shows; never a value itself."""
    return [
        f"{kind} in {form}"
        for kind, value in secrets
        for form, needle in _forms(value)
        if len(needle) >= TAIL // 2 and needle in text
    ]


def _forms(value: str) -> Iterable[tuple[str, str]]:
    yield "clear", value[-TAIL:]
    if quote_plus(value) != value:
        yield "a URL", quote(value, safe="")
        yield "a form", quote_plus(value)
    encoded = value.encode()
    yield "hex", encoded[-TAIL:].hex()
    for offset in range(3):  # a value in the middle of a longer text starts at any of three places of base64
        aligned = encoded[(3 - offset) % 3 :]
        whole = aligned[: len(aligned) // 3 * 3]
        yield "base64", base64.b64encode(whole).decode()[-TAIL:]
        yield "base64url", base64.urlsafe_b64encode(whole).decode()[-TAIL:]
