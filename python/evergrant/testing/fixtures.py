"""What the pytest fixtures hand out beside mock providers: a workspace, fake tokens, and a recorder."""

from __future__ import annotations

import base64
import os
import secrets
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from evergrant import _core, _redact
from evergrant._api import Workspace
from evergrant._types import AccessToken
from evergrant.testing.messages import RecordedRequest
from evergrant.testing.providers import Clock, Providers

_KEY_BYTES = 32
# RFC 863: nobody listens there, so what a fake can't answer fails at once.
_NOWHERE = "http://127.0.0.1:9"


class Recorder:
    """What a test has sent: refreshes, scopes and hosts, counted by the servers and by the resolver of this process."""

    def __init__(self, providers: Providers) -> None:
        self._providers = providers
        self._looked_up: list[str] = []

    def __repr__(self) -> str:
        return f"<Recorder {self.refreshes} refreshes, scopes {list(self.scopes)}, hosts {list(self.hosts)}>"

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Every request that a mock provider of this test got."""
        return tuple(request for provider in self._providers.started for request in provider.requests)

    @property
    def refreshes(self) -> int:
        """How many refresh requests there were."""
        return sum(provider.refreshes for provider in self._providers.started)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that was asked for, in a sign-in or a token request, in the order first asked."""
        return tuple(dict.fromkeys(scope for request in self.requests for scope in request.scopes))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host, without port, that a mock provider was asked at or that Python code of this process looked up.

        A client whose transport is replaced (respx, for one) looks up nothing: ask the replacement.
        """
        asked = (request.headers.get("host", "").rpartition(":")[0] for request in self.requests)
        return tuple(dict.fromkeys(filter(None, (*asked, *self._looked_up))))

    @contextmanager
    def watching(self) -> Iterator[Recorder]:
        """Note every host that is looked up meanwhile."""
        original = socket.getaddrinfo

        def getaddrinfo(host: Any, *arguments: Any, **keywords: Any) -> Any:
            if host is not None:
                self._looked_up.append(host.decode("idna") if isinstance(host, bytes) else str(host))
            return original(host, *arguments, **keywords)

        socket.getaddrinfo = getaddrinfo
        try:
            yield self
        finally:
            socket.getaddrinfo = original


class FakeTokens:
    """Makes fake tokens: what `fake_token` calls."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @contextmanager
    def __call__(
        self,
        provider: str,
        *,
        scopes: Iterable[str] | None = None,
        grant_type: str | None = None,
        connection: str = "default",
        value: str | None = None,
        expires_in: float | None = None,
    ) -> Iterator[AccessToken]:
        """Decorated functions and `get_token` get a fake meanwhile; there is no server, and nothing is sent.

        Args:
            provider: Id of the provider, from the catalogue or any other.
            scopes: The scopes it has; by default those that the provider's file always asks for.
            grant_type: `client_credentials`, where the code under test asks for that.
            connection: The connection's name.
            value: The token's text; by default `fake-PROVIDER-` and random letters.
            expires_in: Seconds it lives by `oauth_clock`; by default it does not end.

        Yields:
            The token.
        """
        workspace = self._workspace
        known = _is_configured(workspace, provider, grant_type)
        if not known:
            _configure_nowhere(workspace, provider, grant_type)
        try:
            workspace._start(  # noqa: SLF001 - the kit is part of the package
                "keep_token",
                provider=provider,
                grant_type=grant_type,
                connection=connection,
                access_token=value or f"fake-{provider}-{secrets.token_hex(8)}",
                scopes=None if scopes is None else list(scopes),
                lifetime=expires_in,
            ).wait()
            yield workspace.get_token(provider, grant_type=grant_type, connection=connection)
        finally:
            if known:
                workspace.disconnect(provider, grant_type=grant_type, connection=connection, revoke=False)
            else:
                workspace.remove(provider, grant_type=grant_type, revoke=False)


@contextmanager
def isolated_workspace(clock: Clock) -> Iterator[Workspace]:
    """A workspace in memory with a key of its own, the default one meanwhile; nothing of the environment reaches it."""
    was_redacting = _redact.is_redacting_logs()
    config = os.environ.pop("EVERGRANT_CONFIG", None)
    try:
        inner = _core.Workspace(
            "default",
            store="memory:",
            key=base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode(),
            network="loopback",
            clock=clock.manual,
        )
    finally:
        if config is not None:
            os.environ["EVERGRANT_CONFIG"] = config
    workspace = Workspace.__new__(Workspace)
    workspace._inner = inner  # noqa: SLF001 - as above
    before = _core.set_default_workspace(inner)
    try:
        yield workspace
    finally:
        _core.set_default_workspace(before)
        workspace.close()
        if not was_redacting:
            _redact.uninstall_log_redaction()


def _is_configured(workspace: Workspace, provider: str, grant_type: str | None) -> bool:
    return any(
        status.provider == provider and grant_type in (None, status.grant_type) for status in workspace.integrations()
    )


def _configure_nowhere(workspace: Workspace, provider: str, grant_type: str | None) -> None:
    endpoints = {f"{name}_endpoint": f"{_NOWHERE}/{name}" for name in ("authorization", "token", "revocation")}
    workspace.configure(
        provider,
        grant_type=grant_type,
        client_id="fake",
        client_secret="fake",
        endpoints=endpoints,
    )
