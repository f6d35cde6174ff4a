"""Mock providers: servers that are configured in the workspace of a test, and the clock that both live by."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from evergrant import _core
from evergrant._api import Workspace
from evergrant._types import Status
from evergrant.testing.messages import RecordedRequest
from evergrant.testing.person import Person
from evergrant.testing.server import Server
from evergrant.testing.vendors import VendorServer

PROVIDER = "mock"
SCOPES = ("openid", "email")


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


def configured(server: Server) -> dict[str, str]:
    """The server's endpoints that `configure` takes."""
    names = ("authorization", "token", "revocation", "introspection", "userinfo", "device_authorization")
    return {f"{name}_endpoint": server.endpoints[f"{name}_endpoint"] for name in names}
