"""The verbs as coroutines, on asyncio, uvloop, trio and anyio.

Cancelling a coroutine ends the waiting, never a request that was sent.
"""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING, Any, cast

from evergrant import _bridge, _core
from evergrant._api import TIMEOUT, as_dict, as_list
from evergrant._types import AccessToken, PendingConnection, Problem, Provider, Report, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike
    from typing import Literal, TypeVar

    from evergrant.actions import _aio as actions

    _T = TypeVar("_T")

__all__ = [
    "Workspace",
    "actions",
    "apply",
    "begin_connect",
    "check_provider",
    "complete_connect",
    "configure",
    "connect",
    "connections",
    "disconnect",
    "get_token",
    "import_refresh_token",
    "integrations",
    "provider",
    "providers",
    "refresh",
    "remove",
    "status",
    "test",
]


class Verbs:
    """What evergrant does, one coroutine per verb; where it is done is the subclass's matter."""

    __slots__ = ()

    async def configure(
        self,
        provider: str,
        *,
        grant_type: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        scopes: Iterable[str] | None = None,
        parameters: Mapping[str, str] | None = None,
        redirect_uri: str | None = None,
        client_authentication: str | None = None,
        endpoints: Mapping[str, str] | None = None,
        issuer: str | None = None,
        api_hosts: Iterable[str] | None = None,
        authorization_parameters: Mapping[str, str] | None = None,
        token_parameters: Mapping[str, str] | None = None,
        scope_separator: str | None = None,
        pkce: bool | None = None,
        exchange_from: str | None = None,
    ) -> Status:
        """Asynchronous version of `evergrant.configure`."""
        return Status(
            await self._run(
                "configure",
                provider=provider,
                grant_type=grant_type,
                client_id=client_id,
                client_secret=client_secret,
                scopes=as_list("scopes", scopes),
                parameters=as_dict(parameters),
                redirect_uri=redirect_uri,
                client_authentication=client_authentication,
                endpoints=as_dict(endpoints),
                issuer=issuer,
                api_hosts=as_list("api_hosts", api_hosts),
                authorization_parameters=as_dict(authorization_parameters),
                token_parameters=as_dict(token_parameters),
                scope_separator=scope_separator,
                pkce=pkce,
                exchange_from=exchange_from,
            )
        )

    async def apply(self, path: str | PathLike[str], *, check: bool = False) -> Report:
        """Asynchronous version of `evergrant.apply`."""
        return Report(await self._run("apply", path=os.fspath(path), check=check))

    async def connect(
        self,
        provider: str,
        *,
        grant_type: str | None = None,
        connection: str = "default",
        scopes: Iterable[str] | None = None,
        again: bool = False,
        open_browser: bool | Callable[[str], object] | None = None,
        timeout: float = 300.0,
    ) -> Status:
        """Asynchronous version of `evergrant.connect`; it reads nothing from the terminal."""
        from evergrant import _sign_in

        started = await self._run(
            "connect_start",
            provider=provider,
            grant_type=grant_type,
            connection=connection,
            scopes=as_list("scopes", scopes),
            again=again,
            headless=_sign_in.is_headless(open_browser),
            timeout=timeout,
        )
        if "status" in started:
            return Status(started["status"])
        flow = started["flow"]
        try:
            _sign_in.show(started, open_browser=open_browser, pasting=False)
            return Status(await self._run("connect_wait", flow=flow))
        except BaseException:
            # Nobody waits any more. Not awaited: this may be a cancellation, and cancelling asks no network.
            self._start("connect_cancel", flow=flow).wait()
            raise

    async def begin_connect(
        self,
        provider: str,
        *,
        redirect_uri: str,
        session: str,
        grant_type: str | None = None,
        connection: str = "default",
        scopes: Iterable[str] | None = None,
    ) -> PendingConnection:
        """Asynchronous version of `evergrant.begin_connect`."""
        return PendingConnection(
            await self._run(
                "begin_connect",
                provider=provider,
                redirect_uri=redirect_uri,
                session=session,
                grant_type=grant_type,
                connection=connection,
                scopes=as_list("scopes", scopes),
            )
        )

    async def complete_connect(self, callback_url: str, *, session: str | None = None) -> Status:
        """Asynchronous version of `evergrant.complete_connect`."""
        return Status(await self._run("complete_connect", callback_url=callback_url, session=session))

    async def import_refresh_token(
        self,
        provider: str,
        refresh_token: str,
        *,
        grant_type: str | None = None,
        connection: str = "default",
        scopes: Iterable[str] | None = None,
    ) -> Status:
        """Asynchronous version of `evergrant.import_refresh_token`."""
        return Status(
            await self._run(
                "import_refresh_token",
                provider=provider,
                refresh_token=refresh_token,
                grant_type=grant_type,
                connection=connection,
                scopes=as_list("scopes", scopes),
            )
        )

    async def test(self, provider: str, *, grant_type: str | None = None, connection: str = "default") -> Report:
        """Asynchronous version of `evergrant.test`."""
        return Report(await self._run("test", provider=provider, grant_type=grant_type, connection=connection))

    async def disconnect(
        self,
        provider: str,
        *,
        grant_type: str | None = None,
        connection: str = "default",
        revoke: bool = True,
    ) -> Report:
        """Asynchronous version of `evergrant.disconnect`."""
        return Report(
            await self._run(
                "disconnect", provider=provider, grant_type=grant_type, connection=connection, revoke=revoke
            )
        )

    async def remove(self, provider: str, *, grant_type: str | None = None, revoke: bool = True) -> Report:
        """Asynchronous version of `evergrant.remove`."""
        return Report(await self._run("remove", provider=provider, grant_type=grant_type, revoke=revoke))

    async def refresh(
        self,
        provider: str | None = None,
        *,
        grant_type: str | None = None,
        connection: str = "default",
        lead: float = 0.0,
    ) -> Report:
        """Asynchronous version of `evergrant.refresh`."""
        return Report(
            await self._run("refresh", provider=provider, grant_type=grant_type, connection=connection, lead=lead)
        )

    async def status(self, provider: str, *, grant_type: str | None = None, connection: str = "default") -> Status:
        """Asynchronous version of `evergrant.status`."""
        return Status(await self._run("status", provider=provider, grant_type=grant_type, connection=connection))

    async def integrations(self) -> tuple[Status, ...]:
        """Asynchronous version of `evergrant.integrations`."""
        return tuple(map(Status, await self._run("integrations")))

    async def connections(self, provider: str | None = None, *, grant_type: str | None = None) -> tuple[Status, ...]:
        """Asynchronous version of `evergrant.connections`."""
        return tuple(map(Status, await self._run("connections", provider=provider, grant_type=grant_type)))

    async def providers(self) -> tuple[Provider, ...]:
        """Asynchronous version of `evergrant.providers`."""
        return tuple(map(Provider, await self._run("providers")))

    async def provider(self, id: str) -> Provider:  # noqa: A002 - the word of the catalogue
        """Asynchronous version of `evergrant.provider`."""
        return Provider(await self._run("provider", id=id))

    async def check_provider(self, path: str | PathLike[str]) -> list[Problem]:
        """Asynchronous version of `evergrant.check_provider`."""
        return list(map(Problem, await self._run("check_provider", path=os.fspath(path))))

    async def _run(self, verb: str, **arguments: object) -> Any:
        return await _bridge.outcome(self._start(verb, **arguments))

    def _start(self, verb: str, **arguments: object) -> _core.Call:
        raise NotImplementedError


class Workspace(Verbs):
    """Asynchronous version of `evergrant.Workspace`, with the same arguments; an asynchronous context manager."""

    __slots__ = ("__weakref__", "_inner")

    _inner: _core.Workspace

    def __init__(
        self,
        name: str | None = None,
        *,
        store: str | PathLike[str] | None = None,
        key: bytes | str | None = None,
        config: str | PathLike[str] | None = None,
        network: Literal["any", "public"] = "any",
    ) -> None:
        self._inner = _core.Workspace(name, store, key, config, network)

    @property
    def name(self) -> str:
        """The workspace's name."""
        return self._inner.name

    @property
    def store(self) -> str:
        """Where the store is."""
        return self._inner.store

    async def get_token(
        self,
        provider: str,
        *,
        grant_type: str | None = None,
        connection: str = "default",
        resource: str | None = None,
        scopes: Iterable[str] | None = None,
        min_ttl: float | None = None,
        replacing: str | None = None,
        timeout: float | None = 30.0,
    ) -> AccessToken:
        """Asynchronous version of `evergrant.Workspace.get_token`."""
        request: dict[str, Any] = {
            "provider": provider,
            "grant_type": grant_type,
            "connection": connection,
            "resource": resource,
            "scopes": as_list("scopes", scopes),
            "min_ttl": min_ttl,
            "replacing": replacing,
            "timeout": timeout,
        }
        token: AccessToken | None = self._inner.cached_token(**request)
        if token is None:
            token = cast("AccessToken", await _bridge.outcome(self._inner.call("get_token", request)))
        return token

    def oauth(
        self,
        provider: str,
        *,
        into: str = "token",
        grant_type: str | None = None,
        connection: str | Callable[[Mapping[str, Any]], str] = "default",
        resource: str | Callable[[Mapping[str, Any]], str | None] | None = None,
        scopes: Iterable[str] | None = None,
        min_ttl: float | None = None,
        optional: bool = False,
        redact: bool = True,
    ) -> Callable[[_T], _T]:
        """Fill a function's parameter, as `evergrant.oauth`, from this workspace."""
        from evergrant import _decorator

        return _decorator.decorate(
            self,
            provider,
            into=into,
            grant_type=grant_type,
            connection=connection,
            resource=resource,
            scopes=scopes,
            min_ttl=min_ttl,
            optional=optional,
            redact=redact,
        )

    async def close(self) -> None:
        """Let go of the store; closing twice is allowed."""
        self._inner.close()

    async def __aenter__(self) -> Workspace:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<aio.Workspace {self.name} in {self.store}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.name, self.store)

    def _start(self, verb: str, **arguments: object) -> _core.Call:
        return self._inner.call(verb, arguments)


class _Default(Verbs):
    """The verbs on the workspace that the environment names, found anew at each call."""

    __slots__ = ()

    def _start(self, verb: str, **arguments: object) -> _core.Call:
        return _core.call(verb, arguments)


_default = _Default()

configure = _default.configure
apply = _default.apply
connect = _default.connect
begin_connect = _default.begin_connect
complete_connect = _default.complete_connect
import_refresh_token = _default.import_refresh_token
test = _default.test
disconnect = _default.disconnect
remove = _default.remove
refresh = _default.refresh
status = _default.status
integrations = _default.integrations
connections = _default.connections
providers = _default.providers
provider = _default.provider
check_provider = _default.check_provider


if TYPE_CHECKING:

    async def get_token(
        provider: str,
        *,
        grant_type: str | None = None,
        connection: str = "default",
        resource: str | None = None,
        scopes: Iterable[str] | None = None,
        min_ttl: float | None = None,
        replacing: str | None = None,
        timeout: float | None = 30.0,
    ) -> AccessToken:
        """Asynchronous version of `evergrant.get_token`; a fresh cached token does not touch the event loop."""
        raise NotImplementedError

else:
    # Keywords that are named cost more, when they are not given, than all the rest of this function.
    async def get_token(provider: str, **request: Any) -> AccessToken:
        """Asynchronous version of `evergrant.get_token`; a fresh cached token does not touch the event loop."""
        token = _core.cached_token(provider, **request) if request else _core.cached_token(provider)
        if token is None:
            token = await _bridge.outcome(
                _core.call("get_token", {"timeout": TIMEOUT, **request, "provider": provider})
            )
        return token

    # What it takes: the core refuses anything else.
    _method = inspect.signature(Workspace.get_token)
    get_token.__signature__ = _method.replace(parameters=list(_method.parameters.values())[1:])


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load `actions` when it is asked for."""
        if name != "actions":
            message = f"module 'evergrant.aio' has no attribute {name!r}"
            raise AttributeError(message)
        from evergrant.actions import _aio

        return _aio


def _reopen(name: str, store: str) -> Workspace:
    return Workspace(name, store=store)
