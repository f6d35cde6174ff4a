"""`acme`, the provider of most tests: the authorization server as a user configures it, with a person who consented."""

from __future__ import annotations

import time
from typing import Any

from evergrant import Workspace, _core
from support.server import AuthorizationServer
from support.user_agent import UserAgent

SCOPES = ("openid", "offline_access", "email")
LIFETIME = 3600.0  # seconds: what the server says of its access tokens
EXPIRED = LIFETIME + 60.0  # as an age: no longer valid by the provider's word
EXPIRING = LIFETIME - 120.0  # as an age: valid, and within the margin in which it is refreshed in the background


def configure(workspace: Workspace, server: AuthorizationServer, provider: str = "acme", **more: Any) -> None:
    """Configures the server as `acme`, for the person at a browser."""
    keywords: dict[str, Any] = {
        "issuer": server.issuer,
        "client_id": server.confidential.client_id,
        "client_secret": server.confidential.client_secret,
        "scopes": SCOPES,
    }
    workspace.configure(provider, **(keywords | more))


def configure_service(workspace: Workspace, server: AuthorizationServer, provider: str = "robot") -> None:
    """Configures the server as `robot`, a service grant that needs no person."""
    workspace.configure(
        provider,
        grant_type="client_credentials",
        endpoints={"token_endpoint": server.endpoints["token_endpoint"]},
        client_id=server.service.client_id,
        client_secret=server.service.client_secret,
    )


def opened_at(clock: _core.ManualClock, name: str | None = None, **place: Any) -> Workspace:
    """A workspace that lives by `clock`."""
    workspace = Workspace.__new__(Workspace)
    workspace._inner = _core.Workspace(name, clock=clock, **place)
    return workspace


def clock_of(*, seconds_ago: float = 0.0) -> _core.ManualClock:
    """A clock that stands still so long ago."""
    return _core.ManualClock(round((time.time() - seconds_ago) * 1000))


def connect(
    server: AuthorizationServer,
    user_agent: UserAgent,
    *,
    age: float = 0.0,
    connection: str = "default",
    name: str | None = None,
    provider: str = "acme",
    **place: Any,
) -> None:
    """Has the person connect `acme`, `age` seconds ago, so that what now is expired needs no waiting.

    The server's log is empty afterwards.
    """
    with opened_at(clock_of(seconds_ago=age), name, **place) as workspace:
        configure(workspace, server, provider)
        workspace.connect(provider, connection=connection, again=True, open_browser=user_agent.connect)
    server.reset()
