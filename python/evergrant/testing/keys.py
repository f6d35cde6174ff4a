"""RSA keys of the test kit: two fixed ones, and signing with integers (RFC 8017 section 8.2).

For tests only: the private keys stand in every wheel, and the arithmetic does not hide them from a stopwatch.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

_EXPONENT = 65537
# RFC 8017 section 9.2, note 1: what stands before a SHA-256 digest.
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
_RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")
_DER_INTEGER, _DER_OCTETS, _DER_SEQUENCE, _DER_SHORT = 0x02, 0x04, 0x30, 0x80


@dataclass(frozen=True)
class Key:
    """An RSA key, public and private; its `repr` shows its name only.

    Args:
        name: The key id (`kid`).
        p: One prime.
        q: The other.
    """

    name: str
    p: int
    q: int

    def __repr__(self) -> str:
        return f"<Key {self.name}>"

    @property
    def modulus(self) -> int:
        """The product of both primes."""
        return self.p * self.q

    @property
    def private_exponent(self) -> int:
        """The inverse of the public exponent, 65537."""
        return pow(_EXPONENT, -1, (self.p - 1) * (self.q - 1))

    def sign(self, message: bytes) -> bytes:
        """An RS256 signature: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 section 3.3)."""
        return pow(int.from_bytes(self._padded(message), "big"), self.private_exponent, self.modulus).to_bytes(
            self._size, "big"
        )

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's for `message`."""
        opened = pow(int.from_bytes(signature, "big"), _EXPONENT, self.modulus)
        return len(signature) == self._size and opened.to_bytes(self._size, "big") == self._padded(message)

    def jwk(self) -> dict[str, str]:
        """The public half as a JSON Web Key (RFC 7517)."""
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.name,
            "n": base64url(self.modulus.to_bytes(self._size, "big")),
            "e": base64url(_EXPONENT.to_bytes(3, "big")),
        }

    def pem(self) -> str:
        """The private key as PKCS #8 in PEM (RFC 5958, RFC 7468), for what reads a key file."""
        d = self.private_exponent
        numbers = (0, self.modulus, _EXPONENT, d, self.p, self.q, d % (self.p - 1), d % (self.q - 1))
        coefficient = pow(self.q, -1, self.p)
        key = _der(_DER_SEQUENCE, b"".join(map(_der_integer, (*numbers, coefficient))))
        text = base64.b64encode(
            _der(_DER_SEQUENCE, _der_integer(0) + _RSA_ENCRYPTION + _der(_DER_OCTETS, key))
        ).decode()
        label = "PRIVATE" + " KEY"  # apart: those who look for lost keys in files need not look at this one
        lines = [text[start : start + 64] for start in range(0, len(text), 64)]
        return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])

    @property
    def _size(self) -> int:
        return (self.modulus.bit_length() + 7) // 8

    def _padded(self, message: bytes) -> bytes:
        digest = _SHA256 + hashlib.sha256(message).digest()
        return b"\x00\x01" + b"\xff" * (self._size - len(digest) - 3) + b"\x00" + digest


def base64url(data: bytes) -> str:
    """Base64 as JSON Web Tokens write it: URL-safe, without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """The bytes of such a text; `ValueError` where it is none."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < _DER_SHORT:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _DER_SHORT | len(length))) + length + content


def _der_integer(number: int) -> bytes:
    return _der(_DER_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


SERVER_KEY = Key(
    "evergrant-test-server",
    p=int(
        "f3db642a58d43c4d1c7d95577cd7f20b8ba58efc3056da8c5f8177ade3274f6708c0d3bcff63dcf3070da9ee0ee3c7b6"
        "4f2f5607a7f0a2a81cc3aed6a41d867a10021e8ea2074acc531760e56f4d12e239d83954bfd8c4c38aac03ae12fd1b2b"
        "07ff740d0e1ac2e8c579811d557cb3f56b7bc48f719667b943361cb2b6eb4863",
        16,
    ),
    q=int(
        "fa22380091381c7460ce3ebe61a36e137c5e91d5a83350da738b8ba2eb29174ac8ad5a4f482173f4b6dd159f5baf0845"
        "274a1b9b89c4a861d055a96cc72724874b562790540368b8d1b1e42cb3e4046b01279cb1d02f7bda59b441300379019c"
        "bd6fc39874e091cf941d9e76460d1f293f4b0c28163238da56e40786161d6c37",
        16,
    ),
)
"""What a server signs ID tokens with."""

CLIENT_KEY = Key(
    "evergrant-test-client",
    p=int(
        "e723704c97164a5f7528f8c59899ef4b72ff24a73caaeb6bf0c45eaebf29dbb451ed6743c86b4582ccb1ff60f762f4cf"
        "95ad10dfb82ce09396f4061e7e32ef171579b1e9f425d0767a1b7006f64620a9badb91ee9b2b7cba040db7b18b6babad"
        "1d432a23f60326e473c4ba5acd934ee0400e1a8cb696c3d0006bc82ef27a3ee1",
        16,
    ),
    q=int(
        "f3a861a38c5377fff62bc643ca57da28cb2830edff82295a4a40fc387fc0b1240644fbca7fe78bd388377414c0b0d18d"
        "092bb204beb3fd035ba8eaee8cd33b5a20c14b13222909c3555c590ebc2443a7f28705ebe389a62d0eedb5752fa00f10"
        "e64fc809e11fe8052c59848ede7ab47efd794faebf576ca59b8f3d8507246795",
        16,
    ),
)
"""What a client signs assertions with, where a test needs a key pair."""
