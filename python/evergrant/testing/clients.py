"""Who is asking: client authentication at the endpoints (RFC 6749 section 2.3, RFC 7523 section 2.2)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote_plus

from evergrant.testing.ledger import Client, Ledger
from evergrant.testing.messages import RecordedRequest, Refused, Request
from evergrant.testing.tokens import InvalidToken, verify

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLOCK_TOLERANCE = 30.0  # seconds by which a client's clock may be ahead


def parameters(request: Request) -> dict[str, str]:
    """The parameters of a form; one that stands twice is refused, an empty one counts as absent (RFC 6749 section 3.2).

    Raises:
        Refused: It is no form, or a parameter stands twice.
    """
    if request.method != "POST":
        raise Refused("invalid_request", "this endpoint takes POST", 405, {"allow": "POST"})
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused("invalid_request", "the body is not application/x-www-form-urlencoded")
    return unique(request.form)


def unique(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Parameters by name.

    Raises:
        Refused: One stands twice (RFC 6749 section 3.1); `resource` may (RFC 8707 section 2).
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found and name != "resource":
            raise Refused("invalid_request", f"{name} stands twice")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def authenticate(
    request: Request,
    form: dict[str, str],
    ledger: Ledger,
    record: RecordedRequest,
    *,
    audiences: Collection[str],
    now: float,
    allowed: Collection[str] | None = None,
) -> Client:
    """The client that sends a request, which is noted in `record`.

    Args:
        request: The request.
        form: Its parameters.
        ledger: The registered clients.
        record: Where client and method are noted.
        audiences: What an assertion may be meant for.
        now: Seconds since 1970.
        allowed: The methods that the server takes, where it does not take all.

    Raises:
        Refused: Unknown client, wrong secret, two methods at once, or a method that is not the client's.
    """
    by_header = request.headers.get("authorization", "")
    methods = [name for name in ("client_secret", "client_assertion") if name in form]
    if len(methods) + bool(by_header) > 1:
        raise Refused("invalid_request", "a client authenticates in one way only (RFC 6749 section 2.3)")
    challenge = {"www-authenticate": 'Basic realm="evergrant.testing", error="invalid_client"'} if by_header else {}
    refusal = Refused("invalid_client", "client authentication failed", 401, challenge)
    if by_header:
        client_id, method = _by_basic(by_header, form, ledger, refusal), "client_secret_basic"
    elif "client_assertion" in form:
        client_id, method = _by_assertion(form, ledger, refusal, audiences, now)
    else:
        client_id = form.get("client_id", "")
        method = "client_secret_post" if "client_secret" in form else "none"
    client = ledger.clients.get(client_id)
    record.client_authentication = method
    if client is None:
        raise refusal
    record.client_id = client_id
    if method not in client.client_authentication or (allowed is not None and method not in allowed):
        raise refusal
    if method == "client_secret_post" and not _same(form["client_secret"], client.client_secret):
        raise refusal
    return client


def _by_basic(header: str, form: dict[str, str], ledger: Ledger, refusal: Refused) -> str:
    scheme, _, value = header.partition(" ")
    try:
        text = base64.b64decode(value, validate=True).decode()
    except ValueError:
        raise refusal from None
    if scheme.lower() != "basic" or ":" not in text:
        raise refusal
    # RFC 6749 section 2.3.1: both are form-urlencoded before they are joined.
    client_id, client_secret = map(unquote_plus, text.split(":", 1))
    client = ledger.clients.get(client_id)
    if client is None or not _same(client_secret, client.client_secret):
        raise refusal
    if form.get("client_id", client_id) != client_id:
        raise Refused("invalid_request", "client_id is another than the authenticated client")
    return client_id


def _by_assertion(
    form: dict[str, str], ledger: Ledger, refusal: Refused, audiences: Collection[str], now: float
) -> tuple[str, str]:
    if form.get("client_assertion_type") != JWT_BEARER:
        raise Refused("invalid_request", f"client_assertion_type is not {JWT_BEARER}")
    client_id, method, claims = assertion_of(form["client_assertion"], ledger, refusal)
    if claims.get("sub") != client_id or form.get("client_id", client_id) != client_id:
        raise refusal
    check_assertion(claims, client_id, ledger, refusal, audiences, now)
    return client_id, method


def assertion_of(assertion: str, ledger: Ledger, refusal: Refused) -> tuple[str, str, dict[str, Any]]:
    """Who signed an assertion, with which method, and its claims; `refusal` where nobody did."""
    for client in ledger.clients.values():
        for key, method in ((client.key, "private_key_jwt"), (client.client_secret, "client_secret_jwt")):
            if key is None:
                continue
            try:
                claims = verify(assertion, key)
            except InvalidToken:
                continue
            if claims.get("iss") == client.client_id:
                return client.client_id, method, claims
    raise refusal


def check_assertion(
    claims: dict[str, Any],
    client_id: str,
    ledger: Ledger,
    refusal: Refused,
    audiences: Collection[str],
    now: float,
) -> None:
    """Refuse an assertion for somebody else, one that is over, and one that was seen before (RFC 7523 section 3)."""
    audience = claims.get("aud")
    meant_for = audience if isinstance(audience, list) else [audience]
    expires_at = claims.get("exp")
    if not set(audiences) & set(meant_for):
        raise refusal
    if not isinstance(expires_at, int | float) or not now < expires_at:
        raise refusal
    for name in ("iat", "nbf"):
        at = claims.get(name, now)
        if not isinstance(at, int | float) or at > now + CLOCK_TOLERANCE:
            raise refusal
    if "jti" in claims:
        seen = (client_id, str(claims["jti"]))
        if seen in ledger.assertions:
            raise refusal
        ledger.assertions.add(seen)


def _same(given: str, secret: str | None) -> bool:
    return secret is not None and hmac.compare_digest(given.encode(), secret.encode())
