"""What the pytest fixtures hand out: a workspace, mock providers, a clock, fake tokens, and a recorder."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from evergrant import _core, _redact
from evergrant._api import Workspace
from evergrant._types import AccessToken, Status
from evergrant.testing.messages import RecordedRequest
from evergrant.testing.person import Person
from evergrant.testing.server import Server
from evergrant.testing.vendors import VendorServer

PROVIDER = "mock"
SCOPES = ("openid", "email")
_KEY_BYTES = 32
# RFC 863: nobody listens there, so what a fake can't answer fails at once.
_NOWHERE = "http://127.0.0.1:9"


class Clock:
    """The clock of a test: workspace and servers live by it, and it stands still until it is moved."""

    def __init__(self) -> None:
        self.manual = _core.ManualClock(round(time.time() * 1000))

    def __call__(self) -> float:
        """The time in seconds since 1970 (UTC)."""
        return self.manual() / 1000

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, at once."""
        self.manual.advance(seconds)

    def __repr__(self) -> str:
        return f"<Clock {self():.3f}>"


class MockProvider:
    """A running `Server` that is configured in the workspace of the test.

    Attributes:
        id: The provider's id: `mock`, or the vendor's.
        server: The server itself.
    """

    def __init__(self, id: str, server: Server, workspace: Workspace, **configuration: Any) -> None:  # noqa: A002 - the word of the catalogue
        self.id = id
        self.server = server
        self._workspace = workspace
        workspace.configure(
            id,
            **{
                "grant_type": "authorization_code",
                "client_id": server.client_id,
                "client_secret": server.client_secret,
                "endpoints": configured(server),
                "api_hosts": [server.api_url.split("/")[2]],
                **configuration,
            },
        )

    def __repr__(self) -> str:
        return f"<MockProvider {self.id} at {self.issuer}>"

    @property
    def issuer(self) -> str:
        """The server's issuer."""
        return self.server.issuer

    @property
    def endpoints(self) -> dict[str, str]:
        """The server's endpoints by their names of RFC 8414."""
        return self.server.endpoints

    @property
    def client_id(self) -> str:
        """The id of the client that is configured."""
        return self.server.client_id

    @property
    def client_secret(self) -> str | None:
        """Its secret."""
        return self.server.client_secret

    @property
    def api_url(self) -> str:
        """A URL of the protected API: it answers with whose token it was shown."""
        return self.server.api_url

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Every request that the server got, oldest first."""
        return self.server.requests

    @property
    def refreshes(self) -> int:
        """How many refresh requests the server got."""
        return self.server.refreshes

    def next(self, name: str, *, endpoint: str | None = None, **options: Any) -> None:
        """Behave so at the next request: see `Server.next`."""
        self.server.next(name, endpoint=endpoint, **options)

    def always(self, name: str, *, endpoint: str | None = None, **options: Any) -> None:
        """Behave so from now on: see `Server.always`."""
        self.server.always(name, endpoint=endpoint, **options)

    def person(self, login: str = "ada") -> Person:
        """Somebody who can press the buttons of the consent page."""
        return self.server.person(login)

    def connect(
        self,
        *,
        connection: str = "default",
        scopes: Iterable[str] | None = None,
        login: str = "ada",
        timeout: float = 10.0,
    ) -> Status:
        """Have a person sign in and consent.

        Args:
            connection: The connection's name.
            scopes: Scopes asked for in addition to those that are configured.
            login: The name they sign in with.
            timeout: Seconds until it gives up, where the callback is not one that is accepted.

        Returns:
            The connection's status.
        """
        return self._workspace.connect(
            self.id,
            grant_type="authorization_code",
            connection=connection,
            scopes=scopes,
            again=True,
            open_browser=self.person(login).connect,
            timeout=timeout,
        )

    def configure_service(self, *, scopes: Iterable[str] = ()) -> Status:
        """Configure `client_credentials` in place of the user's grant: tokens need nobody's consent then."""
        self._workspace.remove(self.id, grant_type="authorization_code", revoke=False)
        return self._workspace.configure(
            self.id,
            grant_type="client_credentials",
            client_id=self.client_id,
            client_secret=self.client_secret,
            endpoints={"token_endpoint": self.endpoints["token_endpoint"]},
            scopes=tuple(scopes),
        )


class Providers:
    """Starts mock providers and stops them all: what `mock_provider_as` calls."""

    def __init__(self, workspace: Workspace, clock: Clock) -> None:
        self._workspace = workspace
        self._clock = clock
        self._stack = ExitStack()
        self.started: list[MockProvider] = []

    def start(self, id: str, server: Server, **configuration: Any) -> MockProvider:  # noqa: A002 - as above
        """Start a server and configure it."""
        server.clock = self._clock
        self._stack.enter_context(server)
        if isinstance(server, VendorServer):
            configuration = {**server.configuration(), **configuration}
        provider = MockProvider(id, server, self._workspace, **configuration)
        self.started.append(provider)
        return provider

    def mock(self) -> MockProvider:
        """The provider `mock`."""
        return self.start(PROVIDER, Server(), scopes=SCOPES)

    def __call__(self, id: str, *, variant: str | None = None, **configuration: Any) -> MockProvider:  # noqa: A002 - as above
        """Start a provider that answers and refuses as a vendor does, configured under the vendor's own id.

        Args:
            id: The vendor: `google`, `microsoft`, `github`, `slack`, `salesforce`, or another that has a sample.
            variant: A variant of it: `rotating` of Slack, `app` of GitHub.
            configuration: Further keywords of `configure`.

        Raises:
            ValueError: There is no sample of this vendor or variant.
        """
        return self.start(id, VendorServer(id, variant=variant), **configuration)

    def close(self) -> None:
        """Stop every server."""
        self._stack.close()


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


def configured(server: Server) -> dict[str, str]:
    """The server's endpoints that `configure` takes."""
    names = ("authorization", "token", "revocation", "introspection", "userinfo", "device_authorization")
    return {f"{name}_endpoint": server.endpoints[f"{name}_endpoint"] for name in names}


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
