"""What the test kit's server has issued: clients, grants, codes and tokens, and the rules by which they end."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from evergrant.testing.keys import Key
from evergrant.testing.messages import Refused

CODE_LIFETIME = 60.0  # seconds
DEVICE_LIFETIME = 600.0
DEVICE_INTERVAL = 5.0
PUSHED_LIFETIME = 60.0


@dataclass
class Client:
    """A registered client (RFC 6749 section 2).

    Args:
        client_id: Its id.
        client_secret: Its secret; `None` for a public client.
        redirect_uris: Where it may send people back to; the port of a loopback address is free (RFC 8252 section 7.3).
        key: The key that signs its assertions, for `private_key_jwt` and the JWT bearer grant.
        client_authentication: The methods it may use; by default what it has a secret or key for.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: list[str] = field(default_factory=list)
    key: Key | None = None
    client_authentication: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.client_authentication:
            by_secret = ("client_secret_basic", "client_secret_post", "client_secret_jwt") if self.client_secret else ()
            by_key = ("private_key_jwt",) if self.key else ()
            self.client_authentication = by_secret + by_key or ("none",)


@dataclass
class Rules:
    """How the next tokens are issued; behaviours change it for one request.

    Args:
        rotate: A refresh brings a new refresh token.
        grace: Seconds for which a used refresh token still works.
        until_first_use: It works until its successor is used for the first time.
        refresh_token: Whether a grant gets a refresh token.
        narrower: Leaves out the last scope.
    """

    rotate: bool = True
    grace: float = 0.0
    until_first_use: bool = False
    refresh_token: bool = True
    narrower: bool = False


@dataclass(eq=False)
class Grant:
    """What a person, or nobody for a service, has granted to a client: the family of its tokens.

    `asked` is the authorization request.
    """

    client_id: str
    subject: str
    scopes: tuple[str, ...]
    service: bool = False
    revoked: bool = False
    asked: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(eq=False)
class RefreshToken:
    """A refresh token; once used it is retired, and may live on in its grace."""

    value: str = field(repr=False)
    grant: Grant
    retired: bool = False
    grace_until: float = 0.0
    successor: RefreshToken | None = field(default=None, repr=False)
    until_first_use: bool = False
    used: bool = False

    def works(self, now: float) -> bool:
        """Whether it still brings tokens."""
        in_grace = now < self.grace_until or (
            self.until_first_use and self.successor is not None and not self.successor.used
        )
        return not self.retired or in_grace


@dataclass(eq=False)
class AccessToken:
    """An access token."""

    value: str = field(repr=False)
    grant: Grant
    scopes: tuple[str, ...]
    issued_at: float
    expires_at: float
    revoked: bool = False

    def works(self, now: float) -> bool:
        """Whether the API accepts it."""
        return not self.revoked and not self.grant.revoked and now < self.expires_at


@dataclass(eq=False)
class Code:
    """An authorization code and what it was asked with."""

    value: str = field(repr=False)
    grant: Grant
    redirect_uri: str
    redirect_uri_sent: bool
    challenge: str | None
    expires_at: float
    used: bool = False


@dataclass(eq=False)
class Device:
    """A device that waits for its person (RFC 8628)."""

    code: str = field(repr=False)
    user_code: str
    client_id: str
    scopes: tuple[str, ...]
    expires_at: float
    next_poll_at: float
    interval: float = DEVICE_INTERVAL
    subject: str | None = None
    denied: bool = False
    used: bool = False


class Ledger:
    """Everything that was registered and issued; whoever calls holds the server's lock.

    Args:
        prefix: How the values that it makes begin.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.clients: dict[str, Client] = {}
        self.grants: list[Grant] = []
        self.codes: dict[str, Code] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.devices: dict[str, Device] = {}
        self.pushed: dict[str, tuple[str, list[tuple[str, str]], float]] = {}
        self.tickets: dict[str, list[tuple[str, str]]] = {}
        self.assertions: set[tuple[str, str]] = set()

    def value(self, kind: str) -> str:
        """A new unguessable value."""
        return f"{self.prefix}{kind}_{secrets.token_urlsafe(32)}"

    def granted(self, grant: Grant) -> Grant:
        """Keep a grant."""
        self.grants.append(grant)
        return grant

    def access_token(
        self, value: str, grant: Grant, scopes: tuple[str, ...], now: float, lifetime: float
    ) -> AccessToken:
        """Issue an access token that lives so many seconds."""
        token = self.access_tokens[value] = AccessToken(value, grant, scopes, now, now + lifetime)
        return token

    def refresh_token(self, value: str, grant: Grant) -> RefreshToken:
        """Issue a refresh token."""
        token = self.refresh_tokens[value] = RefreshToken(value, grant)
        return token

    def redeem(self, value: str, client_id: str, now: float) -> RefreshToken:
        """The refresh token of this value, if it works for this client.

        Raises:
            Reused: It was used up; the whole family of tokens is revoked now (RFC 9700 section 4.14.2).
            Refused: It does not work.
        """
        token = self.refresh_tokens.get(value)
        if token is None or token.grant.client_id != client_id:
            raise Refused("invalid_grant", "the refresh token is not one of this client")
        if token.grant.revoked:
            raise Refused("invalid_grant", "the grant was revoked")
        if not token.works(now):
            token.grant.revoked = True
            raise Reused
        token.used = True
        return token

    def rotate(self, old: RefreshToken, value: str, rules: Rules, now: float) -> RefreshToken:
        """Issue the successor of a refresh token, which is retired."""
        new = self.refresh_token(value, old.grant)
        old.retired = True
        old.successor = new
        old.grace_until = now + rules.grace
        old.until_first_use = rules.until_first_use
        return new

    def secrets(self) -> list[tuple[str, str]]:
        """Kind and value of all that nobody may show."""
        return [
            *(("access token", value) for value in self.access_tokens),
            *(("refresh token", value) for value in self.refresh_tokens),
            *(("code", value) for value in self.codes),
            *(("device code", value) for value in self.devices),
            *(("client secret", client.client_secret) for client in self.clients.values() if client.client_secret),
        ]


class Reused(Refused):
    """A refresh token that had been used up came back."""

    def __init__(self) -> None:
        super().__init__("invalid_grant", "the refresh token was used before: its whole grant is revoked")
