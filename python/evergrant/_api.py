"""The verbs, as functions on the default workspace and as methods of `Workspace`."""

import os

from evergrant import _core
from evergrant._types import AccessToken, PendingConnection, Problem, Provider, Report, Status

# Typing is not imported at run time: a bare interpreter has not loaded it. Checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike
    from typing import Any, Literal, TypeVar

    _T = TypeVar("_T")


# Seconds that a caller waits for a token unless told otherwise; the request itself goes on.
TIMEOUT = 30.0


class Verbs:
    """What evergrant does, one method per verb; where it is done is the subclass's matter."""

    __slots__ = ()

    def configure(
        self,
        provider: "str",
        *,
        grant_type: "str | None" = None,
        client_id: "str | None" = None,
        client_secret: "str | None" = None,
        scopes: "Iterable[str] | None" = None,
        parameters: "Mapping[str, str] | None" = None,
        redirect_uri: "str | None" = None,
        client_authentication: "str | None" = None,
        endpoints: "Mapping[str, str] | None" = None,
        issuer: "str | None" = None,
        api_hosts: "Iterable[str] | None" = None,
        authorization_parameters: "Mapping[str, str] | None" = None,
        token_parameters: "Mapping[str, str] | None" = None,
        scope_separator: "str | None" = None,
        pkce: "bool | None" = None,
        exchange_from: "str | None" = None,
    ) -> "Status":
        """Set up an integration; calls merge, and equal values write nothing.

        `None` leaves what is configured; an empty value (`()`, `{}`, `""`) goes back to the default.

        Args:
            provider: Id or alias from the catalogue, or a new id together with `endpoints` or `issuer`.
            grant_type: `authorization_code` (for a user) or `client_credentials` (for the application itself); by
                default the only configured one, else the provider's first that is possible.
            client_id: The client id the vendor gave you.
            client_secret: The client secret; sealed in the store. A signing key (PEM, JWK, service account) goes here.
            scopes: Scopes asked for in addition to the provider's base scopes.
            parameters: Values the provider file asks for, such as a tenant.
            redirect_uri: Where the provider sends the person back; by default a free port of 127.0.0.1.
            client_authentication: `client_secret_basic`, `client_secret_post`, `client_secret_jwt`,
                `private_key_jwt` or `none`; by default the provider's first.
            endpoints: Endpoints by their RFC 8414 names, for a provider of your own.
            issuer: Issuer whose metadata names the endpoints (RFC 8414, OpenID discovery), or an MCP server's URL.
            api_hosts: Hosts of yours that may get the token, beside the provider's.
            authorization_parameters: Added to the authorization request.
            token_parameters: Added to token requests.
            scope_separator: Between scopes in requests; by default a space.
            pkce: Whether PKCE (RFC 7636) is sent; by default as the provider file says.
            exchange_from: `provider[/connection]` whose token this one's is made from (RFC 8693).

        Returns:
            The integration's status.

        Raises:
            UnknownProvider: The id is neither in the catalogue nor described by `endpoints` or `issuer`.
            AmbiguousGrant: Two grant types are configured and none was named.
            InvalidParameter: An argument or a parameter's value is wrong.
            InvalidScope: A scope is not one of the provider's.
            ProviderUnavailable: The issuer's metadata could not be fetched.
        """
        return Status(
            self._run(
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

    def apply(self, path: "str | PathLike[str]", *, check: "bool" = False) -> "Report":
        """Configure what a file names, and import its refresh tokens; leave everything else alone.

        Args:
            path: An `evergrant.yaml`.
            check: Change nothing and report what differs.

        Returns:
            A step for each integration and connection; with `check`, `ok` only if nothing differs.
        """
        return Report(self._run("apply", path=os.fspath(path), check=check))

    def connect(
        self,
        provider: "str",
        *,
        grant_type: "str | None" = None,
        connection: "str" = "default",
        scopes: "Iterable[str] | None" = None,
        again: "bool" = False,
        open_browser: "bool | Callable[[str], object] | None" = None,
        timeout: "float" = 300.0,
    ) -> "Status":
        """Have a person sign in and consent; returns at once when connected with the scopes asked.

        On a terminal a pasted callback URL is accepted meanwhile; from elsewhere, `complete_connect` finishes it. Where
        no browser is opened, and the provider has device codes, one to type at another device is shown, too.
        With `client_credentials` it fetches a token, which needs no person.

        Args:
            provider: Id or alias of the provider.
            grant_type: By default the only configured one.
            connection: Name of the connection.
            scopes: Scopes asked for in addition, for this connection.
            again: Ask the person even when connected.
            open_browser: `None` opens a browser where there is one; `True`; `False` only prints the URL to standard
                error; or a callable that gets the URL.
            timeout: Seconds the person has.

        Returns:
            The connection's status.

        Raises:
            NotConfigured: The provider is not configured.
            ConnectDenied: The person said no.
            ConnectTimeout: Nobody finished the sign-in in time.
            ConnectFailed: The port of the redirect URI is taken, or the callback was wrong.
            ProviderRejected: The provider refused the code.
            ProviderUnavailable: The provider cannot be reached.
        """
        from evergrant import _sign_in

        started = self._run(
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
            _sign_in.show(started, open_browser=open_browser)
            waiting = self._start("connect_wait", flow=flow)
            complete = lambda url: self._run("complete_connect", callback_url=url)  # noqa: E731
            return Status(_sign_in.wait(waiting, complete, pasting=started["url"] is not None))
        except BaseException:
            # Nobody waits any more: free the port, and let a late callback find nothing.
            self._run("connect_cancel", flow=flow)
            raise

    def begin_connect(
        self,
        provider: "str",
        *,
        redirect_uri: "str",
        session: "str",
        grant_type: "str | None" = None,
        connection: "str" = "default",
        scopes: "Iterable[str] | None" = None,
    ) -> "PendingConnection":
        """Begin a sign-in of a web application: redirect the browser to the result's `authorization_url`.

        Args:
            provider: Id or alias of the provider.
            redirect_uri: The callback URL of your application, as registered with the provider.
            session: Any text that identifies the browser's session (RFC 6749 section 10.12), such as its cookie's id.
            grant_type: By default the only configured one.
            connection: Name of the connection, such as your user's id.
            scopes: Scopes asked for in addition, for this connection.

        Returns:
            URL, state, and until when it can be completed.
        """
        return PendingConnection(
            self._run(
                "begin_connect",
                provider=provider,
                redirect_uri=redirect_uri,
                session=session,
                grant_type=grant_type,
                connection=connection,
                scopes=as_list("scopes", scopes),
            )
        )

    def complete_connect(self, callback_url: "str", *, session: "str | None" = None) -> "Status":
        """Finish a sign-in, from any process of this store.

        Args:
            callback_url: The whole URL that the provider sent the browser to.
            session: The session given to `begin_connect`; `None` for a sign-in begun by `connect`.

        Returns:
            The connection's status.

        Raises:
            ConnectFailed: Wrong state, other session, or wrong issuer; nothing was consumed.
            ConnectDenied: The person said no.
            ProviderRejected: The provider refused the code.
        """
        return Status(self._run("complete_connect", callback_url=callback_url, session=session))

    def import_refresh_token(
        self,
        provider: "str",
        refresh_token: "str",
        *,
        grant_type: "str | None" = None,
        connection: "str" = "default",
        scopes: "Iterable[str] | None" = None,
    ) -> "Status":
        """Connect with a refresh token that was issued elsewhere to the configured client.

        Args:
            provider: Id or alias of the provider.
            refresh_token: The refresh token; from now on only evergrant may use it.
            grant_type: By default the only configured one.
            connection: Name of the connection.
            scopes: The scopes it was granted, where you know them.

        Returns:
            The connection's status.

        Raises:
            InvalidParameter: Another connection holds this refresh token.
        """
        return Status(
            self._run(
                "import_refresh_token",
                provider=provider,
                refresh_token=refresh_token,
                grant_type=grant_type,
                connection=connection,
                scopes=as_list("scopes", scopes),
            )
        )

    def test(self, provider: "str", *, grant_type: "str | None" = None, connection: "str" = "default") -> "Report":
        """Ask the provider whether the connection works; never refreshes, and stores nothing.

        A service grant asks the token endpoint; a user grant sends the provider's account request with the stored
        token. A refusal is reported, not raised.
        """
        return Report(self._run("test", provider=provider, grant_type=grant_type, connection=connection))

    def disconnect(
        self,
        provider: "str",
        *,
        grant_type: "str | None" = None,
        connection: "str" = "default",
        revoke: "bool" = True,
    ) -> "Report":
        """Delete a connection's tokens, and revoke them with the provider (RFC 7009) unless `revoke` is false."""
        return Report(
            self._run("disconnect", provider=provider, grant_type=grant_type, connection=connection, revoke=revoke)
        )

    def remove(self, provider: "str", *, grant_type: "str | None" = None, revoke: "bool" = True) -> "Report":
        """Delete an integration with all its connections."""
        return Report(self._run("remove", provider=provider, grant_type=grant_type, revoke=revoke))

    def refresh(
        self,
        provider: "str | None" = None,
        *,
        grant_type: "str | None" = None,
        connection: "str" = "default",
        lead: "float" = 0.0,
    ) -> "Report":
        """Refresh a connection now; without a provider, all that are due within `lead` seconds."""
        return Report(self._run("refresh", provider=provider, grant_type=grant_type, connection=connection, lead=lead))

    def status(self, provider: "str", *, grant_type: "str | None" = None, connection: "str" = "default") -> "Status":
        """What is known of a connection, without asking the network.

        Raises:
            UnknownProvider: The id is neither in the catalogue nor configured; anything else is a state.
        """
        return Status(self._run("status", provider=provider, grant_type=grant_type, connection=connection))

    def integrations(self) -> "tuple[Status, ...]":
        """The configured integrations."""
        return tuple(map(Status, self._run("integrations")))

    def connections(self, provider: "str | None" = None, *, grant_type: "str | None" = None) -> "tuple[Status, ...]":
        """The connections of a provider, or of all."""
        return tuple(map(Status, self._run("connections", provider=provider, grant_type=grant_type)))

    def providers(self) -> "tuple[Provider, ...]":
        """The catalogue."""
        return tuple(map(Provider, self._run("providers")))

    def provider(self, id: "str") -> "Provider":  # noqa: A002 - the word of the catalogue
        """A provider of the catalogue, by its id or an alias."""
        return Provider(self._run("provider", id=id))

    def check_provider(self, path: "str | PathLike[str]") -> "list[Problem]":
        """What is wrong in a provider file, or in those of a folder."""
        return list(map(Problem, self._run("check_provider", path=os.fspath(path))))

    def _run(self, verb: "str", **arguments: "object") -> "Any":
        return self._start(verb, **arguments).wait()

    def _start(self, verb: "str", **arguments: "object") -> "_core.Call":
        raise NotImplementedError


class Workspace(Verbs):
    """Integrations and connections under one key, in one store; a context manager.

    Workspaces of equal stores share one engine per process. It pickles as its name and store: the other side finds
    the key by itself.

    Args:
        name: Its name; by default `EVERGRANT_WORKSPACE`, else `default`.
        store: Path of the SQLite file, or `memory:`; by default `EVERGRANT_STORE`, else `store.db` in evergrant's home.
        key: The master key: 32 bytes, or their base64 text; by default found as the manual says.
        config: An `evergrant.yaml` that is applied when the workspace is opened.
        network: `public` refuses hosts with private addresses, for platforms whose users set endpoints.
    """

    __module__ = "evergrant"
    __slots__ = ("__weakref__", "_inner")

    _inner: "_core.Workspace"

    def __init__(
        self,
        name: "str | None" = None,
        *,
        store: "str | PathLike[str] | None" = None,
        key: "bytes | str | None" = None,
        config: "str | PathLike[str] | None" = None,
        network: "Literal['any', 'public']" = "any",
    ) -> None:
        self._inner = _core.Workspace(name, store, key, config, network)

    @classmethod
    def _of(cls, core: "_core.Workspace") -> "Workspace":
        """The workspace around one that the core opened."""
        workspace = object.__new__(cls)
        workspace._inner = core
        return workspace

    @property
    def name(self) -> "str":
        """The workspace's name."""
        return self._inner.name

    @property
    def store(self) -> "str":
        """Where the store is."""
        return self._inner.store

    def get_token(
        self,
        provider: "str",
        *,
        grant_type: "str | None" = None,
        connection: "str" = "default",
        resource: "str | None" = None,
        scopes: "Iterable[str] | None" = None,
        min_ttl: "float | None" = None,
        replacing: "str | None" = None,
        timeout: "float | None" = 30.0,
    ) -> "AccessToken":
        """A fresh access token, as `evergrant.get_token`, from this workspace."""
        return self._inner.get_token(
            provider,
            grant_type=grant_type,
            connection=connection,
            resource=resource,
            scopes=as_list("scopes", scopes),
            min_ttl=min_ttl,
            replacing=replacing,
            timeout=timeout,
        )

    def oauth(
        self,
        provider: "str",
        *,
        into: "str" = "token",
        grant_type: "str | None" = None,
        connection: "str | Callable[[Mapping[str, Any]], str]" = "default",
        resource: "str | Callable[[Mapping[str, Any]], str | None] | None" = None,
        scopes: "Iterable[str] | None" = None,
        min_ttl: "float | None" = None,
        optional: "bool" = False,
        redact: "bool" = True,
    ) -> "Callable[[_T], _T]":
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

    def close(self) -> None:
        """Let go of the store; closing twice is allowed."""
        self._inner.close()

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(self, *error: "object") -> None:
        self.close()

    def __repr__(self) -> "str":
        return f"<Workspace {self.name} in {self.store}>"

    def __reduce__(self) -> "tuple[Any, ...]":
        return _reopen, (self.name, self.store)

    def _start(self, verb: "str", **arguments: "object") -> "_core.Call":
        return self._inner.call(verb, arguments)


class _Default(Verbs):
    """The verbs on the workspace that the environment names, found anew at each call."""

    __slots__ = ()

    def _start(self, verb: "str", **arguments: "object") -> "_core.Call":
        return _core.call(verb, arguments)


default = _Default()

configure = default.configure
apply = default.apply
connect = default.connect
begin_connect = default.begin_connect
complete_connect = default.complete_connect
import_refresh_token = default.import_refresh_token
test = default.test
disconnect = default.disconnect
remove = default.remove
refresh = default.refresh
status = default.status
integrations = default.integrations
connections = default.connections
providers = default.providers
provider = default.provider
check_provider = default.check_provider


def drain(timeout: "float | None" = None) -> "bool":
    """Wait until this process has no unfinished request, for a server's shutdown hook.

    Args:
        timeout: Seconds to wait; `None`: until the requests' own deadlines.

    Returns:
        Whether none is left.
    """
    return _core.drain(timeout)


def redact(value: "_T") -> "_T":
    """`value` with every secret of this process masked; the same object when there was none in it."""
    from evergrant import _redact

    return _redact.redact(value)


def as_list(name: "str", values: "Iterable[str] | None") -> "list[str] | None":
    """The argument `name` as the core takes it; one string where several are expected is a mistake."""
    if isinstance(values, str):
        message = f"{name} is a collection of strings, not one string: write {name}=[{values!r}]"
        raise TypeError(message)
    return None if values is None else list(values)


def as_dict(values: "Mapping[str, str] | None") -> "dict[str, str] | None":
    """A mapping as the core takes it."""
    return None if values is None else dict(values)


def _reopen(name: "str", store: "str") -> "Workspace":
    return Workspace(name, store=store)
