"""What the endpoints of the test kit's server share: its ledger, its clock, and the words it is built to say."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from evergrant.testing.clients import authenticate
from evergrant.testing.ledger import AccessToken, Client, Grant, Ledger, Rules
from evergrant.testing.messages import RecordedRequest, Refused, Reply, Request

SCOPE_NAMES = {"email": "email", "profile": "name"}  # scopes of OpenID and the claim that each brings


@dataclass
class Exchange:
    """A request on its way through the server.

    Args:
        request: What came.
        record: What is noted of it.
        rules: How tokens are issued in it.
        reply: The answer, once there is one.
    """

    request: Request
    record: RecordedRequest
    rules: Rules = field(default_factory=Rules)
    reply: Reply | None = None


@dataclass
class Issued:
    """What a token request brings.

    Args:
        access_token: The access token.
        refresh_token: The refresh token, where there is one.
        grant: What it stands on.
        asked: The scopes that were asked for in this request; empty: those of the grant.
        expires_in: Seconds that the access token lives.
        id_token: The ID token, where `openid` was granted.
    """

    access_token: AccessToken
    refresh_token: str | None
    grant: Grant
    asked: tuple[str, ...]
    expires_in: int
    id_token: str | None


class State:
    """The shared part of a server. A subclass changes a word by setting an attribute, a rule by overriding a method."""

    PATHS: ClassVar[dict[str, tuple[str, ...]]] = {
        "metadata": ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"),
        "jwks": ("/jwks",),
        "authorization": ("/authorize",),
        "consent": ("/consent",),
        "token": ("/token",),
        "revocation": ("/revoke",),
        "introspection": ("/introspect",),
        "userinfo": ("/userinfo",),
        "device_authorization": ("/device_authorization",),
        "device_page": ("/device",),
        "pushed_authorization_request": ("/par",),
    }
    """The endpoints, each a method of that name, and their paths; `api` is everything below `/api`."""

    access_token_lifetime: int = 3600
    """Seconds that an access token lives."""
    scopes_supported: tuple[str, ...] | None = None
    """The scopes that it knows; `None`: any."""
    id_token_algorithm: str = "RS256"
    """What ID tokens are signed by: `RS256`, or `HS256` with the client's secret."""
    pkce: str = "required"
    """Whether PKCE (RFC 7636) is `required`, `optional`, or `refused`."""
    client_authentication: tuple[str, ...] | None = None
    """The methods of client authentication that it takes; `None`: all."""
    scope_separator: str = " "
    """What stands between scopes in requests."""
    scope_parameter: str = "scope"
    """The parameter of the authorization request that holds them."""
    sends_iss: bool = True
    """Whether the callback names the issuer (RFC 9207)."""
    prefix: str = "mock_"
    """How codes and tokens begin."""

    issuer: str
    """The issuer: the URL that every endpoint begins with."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.ledger = Ledger(self.prefix)
        self.lock = threading.RLock()

    def rules(self) -> Rules:
        """How this server issues tokens: every refresh token works once."""
        return Rules()

    @property
    def endpoints(self) -> dict[str, str]:
        """The endpoints by their names of RFC 8414, as `configure(endpoints=)` takes them."""
        return {
            f"{name}_endpoint": self.url(self.PATHS[name][0])
            for name in (
                "authorization",
                "token",
                "revocation",
                "introspection",
                "userinfo",
                "device_authorization",
                "pushed_authorization_request",
            )
        }

    def url(self, path: str) -> str:
        """The URL of a path of this server."""
        return f"{self.issuer}{path}"

    def authenticated(self, exchange: Exchange, form: dict[str, str]) -> Client:
        """The client that sends a request."""
        return authenticate(
            exchange.request,
            form,
            self.ledger,
            exchange.record,
            audiences=(self.issuer, self.url("/token"), self.url(exchange.request.path)),
            now=self.clock(),
            allowed=self.client_authentication,
        )

    def scopes(self, text: str | None) -> tuple[str, ...]:
        """The scopes in a parameter.

        Raises:
            Refused: One is not known here, or is no scope (RFC 6749 section 3.3).
        """
        found = tuple(dict.fromkeys(filter(None, (text or "").split(self.scope_separator))))
        for scope in found:
            known = self.scopes_supported is None or scope in self.scopes_supported
            if not known or not all("!" <= letter <= "~" and letter not in '"\\' for letter in scope):
                raise Refused("invalid_scope", "the server knows no such scope")
        if self.scope_separator != "," and any("," in scope for scope in found):
            raise Refused("invalid_scope", "scopes are separated by a space")
        return found

    def refusal(self, refused: Refused, exchange: Exchange) -> Reply:
        """How an error is told (RFC 6749 section 5.2)."""
        headers = {"cache-control": "no-store", **refused.headers}
        document = {"error": refused.error, "error_description": refused.description}
        return Reply(refused.status, document if refused.error else None, headers)
