"""Where the token of a decorated function comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from evergrant import _bridge, _core
from evergrant._api import TIMEOUT
from evergrant.exceptions import NotConfigured, NotConnected

if TYPE_CHECKING:
    from evergrant import aio
    from evergrant._api import Workspace
    from evergrant._types import AccessToken

Text = str | Callable[[Mapping[str, Any]], str]
OptionalText = str | Callable[[Mapping[str, Any]], str | None] | None


class TokenSource:
    """Where a decorated function's token comes from. It opens nothing when it is made, and pickles."""

    __slots__ = ("connection", "grant_type", "min_ttl", "optional", "provider", "resource", "scopes", "workspace")

    def __init__(
        self,
        *,
        workspace: Workspace | aio.Workspace | None,
        provider: str,
        grant_type: str | None,
        connection: Text,
        resource: OptionalText,
        scopes: list[str] | None,
        min_ttl: float | None,
        optional: bool,
    ) -> None:
        self.workspace = workspace
        self.provider = provider
        self.grant_type = grant_type
        self.connection = connection
        self.resource = resource
        self.scopes = scopes
        self.min_ttl = min_ttl
        self.optional = optional

    @property
    def by_call(self) -> bool:
        """Whether the call's arguments decide."""
        return callable(self.connection) or callable(self.resource)

    def handle(self) -> _core.Handle | None:
        """The core's shortcut, where nothing is left to decide at the call."""
        if self.workspace is not None or self.optional or callable(self.connection) or callable(self.resource):
            return None
        return _core.Handle(self.provider, self.grant_type, self.connection, self.resource, self.scopes, self.min_ttl)

    def get(self, call: Mapping[str, Any] | None = None) -> AccessToken | None:
        """The token for a call, `None` if it is optional and there is none."""
        try:
            return cast("AccessToken", self._place.get_token(**self._request(call)))
        except (NotConfigured, NotConnected):
            if self.optional:
                return None
            raise

    def cached(self, call: Mapping[str, Any] | None = None) -> AccessToken | None:
        """The token for a call, if it is in this process's memory."""
        return cast("AccessToken | None", self._place.cached_token(**self._request(call)))

    async def fetch(self, call: Mapping[str, Any] | None = None) -> AccessToken | None:
        """`get` for coroutines."""
        request = {**self._request(call), "timeout": TIMEOUT}
        try:
            return cast("AccessToken", await _bridge.outcome(self._place.call("get_token", request)))
        except (NotConfigured, NotConnected):
            if self.optional:
                return None
            raise

    @property
    def _place(self) -> Any:
        # The core's module has the verbs of its default workspace.
        return _core if self.workspace is None else self.workspace._inner  # noqa: SLF001 - of our own class

    def _request(self, call: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "grant_type": self.grant_type,
            "connection": self.connection(call or {}) if callable(self.connection) else self.connection,
            "resource": self.resource(call or {}) if callable(self.resource) else self.resource,
            "scopes": self.scopes,
            "min_ttl": self.min_ttl,
        }
