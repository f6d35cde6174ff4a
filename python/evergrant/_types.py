"""The objects that verbs return: an access token, and plain immutable records."""

import time

# Typing is not imported at run time: a bare interpreter has not loaded it. Checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from typing import Any, Literal, NoReturn, SupportsIndex


# `types.MappingProxyType` without importing `types`.
_ReadOnly = type(type.__dict__)


class AccessToken(str):
    """An access token: a `str` that works in every header, and says what it is for and until when.

    `str()`, f-strings, `json.dumps` and everything that takes a `str` yield the real value. `repr` is masked, and
    pickling stores a reference (workspace, provider, grant type, connection, resource) that asks the store of the
    other side; the value never leaves this process that way. `copy` and `deepcopy` give the token itself.

    Build one yourself only in tests: `AccessToken("fake")`.

    Attributes:
        scopes: Scopes of this token, in the order the provider gave.
        token_type: How it is presented (RFC 6749 section 7.1), mostly `Bearer`.
        resource: What it is for (RFC 8707), empty for the default resource.
        workspace: The workspace it came from.
        provider: Id of the provider.
        grant_type: `authorization_code` or `client_credentials`.
        connection: Name of the connection.
        extra: Values kept from the provider's reply, read-only.
    """

    __module__ = "evergrant"
    __slots__ = (
        "_clock",
        "_expires_at",
        "_lasts",
        "connection",
        "extra",
        "grant_type",
        "provider",
        "resource",
        "scopes",
        "token_type",
        "workspace",
    )

    _clock: "Callable[[], int] | None"
    _expires_at: "int | None"
    _lasts: "float"
    scopes: "tuple[str, ...]"
    token_type: "str"
    resource: "str"
    workspace: "str"
    provider: "str"
    grant_type: "str"
    connection: "str"
    extra: "Mapping[str, str]"

    def __new__(
        cls,
        value: "str",
        *,
        expires_at: "datetime | None" = None,
        scopes: "tuple[str, ...]" = (),
        token_type: "str" = "Bearer",  # noqa: S107 - a scheme
        resource: "str" = "",
        workspace: "str" = "default",
        provider: "str" = "",
        grant_type: "str" = "authorization_code",
        connection: "str" = "default",
        extra: "Mapping[str, str] | None" = None,
    ) -> "AccessToken":
        """A token made by hand, for tests."""
        millis = None if expires_at is None else int(expires_at.timestamp() * 1000)
        return cls._make(
            value, millis, scopes, token_type, resource, workspace, provider, grant_type, connection, dict(extra or {})
        )

    @classmethod
    def _make(
        cls,
        value: "str",
        expires_at: "int | None",
        scopes: "tuple[str, ...]",
        token_type: "str",
        resource: "str",
        workspace: "str",
        provider: "str",
        grant_type: "str",
        connection: "str",
        extra: "dict[str, str]",
        clock: "Callable[[], int] | None" = None,
    ) -> "AccessToken":
        """The core's constructor: times in UTC milliseconds; `clock` tells the present, the machine's by default."""
        token = str.__new__(cls, value)
        for name, part in (
            ("_expires_at", expires_at),
            ("scopes", scopes),
            ("token_type", token_type),
            ("resource", resource),
            ("workspace", workspace),
            ("provider", provider),
            ("grant_type", grant_type),
            ("connection", connection),
            ("extra", _ReadOnly(extra)),
            ("_clock", clock),
            ("_lasts", 0.0 if expires_at is None else (expires_at - _now(clock)) / 1000),
        ):
            object.__setattr__(token, name, part)
        return token

    @property
    def expires_at(self) -> "datetime | None":
        """When the token ends by the provider's word (UTC); `None` when the provider did not say."""
        return _instant(self._expires_at)

    @property
    def expires_in(self) -> "float | None":
        """Seconds until the token ends, never below zero; `None` when the provider did not say."""
        if self._expires_at is None:
            return None
        # A clock set back must not promise more than was left when the token was made.
        return max(0.0, min(self._lasts, (self._expires_at - _now(self._clock)) / 1000))

    def __repr__(self) -> "str":
        """Whose token it is and how long it lasts, without any part of its value."""
        left = self.expires_in
        if left is None:
            lasts = "no known expiry"
        elif left == 0:
            lasts = "expired"
        else:
            lasts = f"{duration(left)} left"
        return f"<AccessToken {self.provider}/{self.connection}, {lasts}>"

    def __reduce_ex__(self, protocol: "SupportsIndex") -> "tuple[Any, ...]":
        return _resolve, (self.workspace, self.provider, self.grant_type, self.connection, self.resource)

    def __copy__(self) -> "AccessToken":
        return self

    def __deepcopy__(self, memo: "dict[int, Any]") -> "AccessToken":
        return self

    def __setattr__(self, name: "str", value: "object") -> "NoReturn":
        _refuse(self, name)

    def __delattr__(self, name: "str") -> "NoReturn":
        _refuse(self, name)


class Record:
    """Plain immutable data with named fields: equal by value, and a `dict` on request."""

    __slots__: "tuple[str, ...]" = ()

    def __init__(self, values: "Mapping[str, Any]") -> None:
        """Take each field from the core's mapping; one that it does not name is `None`."""
        for name in self.__slots__:
            object.__setattr__(self, name, self._read(name, values.get(name.lstrip("_"))))

    @classmethod
    def _read(cls, name: "str", value: "Any") -> "Any":  # noqa: ARG003 - subclasses read it
        return value

    def to_dict(self) -> "dict[str, Any]":
        """The fields by name, ready for `json.dumps`: times as ISO 8601 in UTC, tuples as lists."""
        return {name.lstrip("_"): _plain(getattr(self, name)) for name in self.__slots__}

    def __eq__(self, other: "object") -> "bool":
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> "int":
        return hash((type(self), *(_hashable(getattr(self, name)) for name in self.__slots__)))

    def __repr__(self) -> "str":
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> "tuple[Any, ...]":
        return _restore, (type(self), {name: _unproxied(getattr(self, name)) for name in self.__slots__})

    def __copy__(self) -> "Any":
        return self

    def __deepcopy__(self, memo: "dict[int, Any]") -> "Any":
        return self

    def __setattr__(self, name: "str", value: "object") -> "NoReturn":
        _refuse(self, name)

    def __delattr__(self, name: "str") -> "NoReturn":
        _refuse(self, name)


class Status(Record):
    """What is known of a connection without asking the network.

    Attributes:
        provider: Id of the provider.
        grant_type: `authorization_code` or `client_credentials`; `None` where none is configured and there are two.
        connection: Name of the connection.
        state: `not_configured`, `configured`, `connected` or `reauthorization_required`.
        client_id: The client id (public by RFC 6749 section 2.2).
        redirect_uri: The redirect URI to register with the provider.
        requested_scopes: Base and additional scopes.
        granted_scopes: Scopes the provider granted.
        missing_scopes: Requested and not granted.
        account: Whose grant it is.
        expires_at: When the access token of the default resource ends (UTC).
        refreshed_at: When it was obtained (UTC).
        last_error: The last failure, in one sentence.
        reason: What is wrong, in the provider's terms.
        hint: The next command, ready to paste.
    """

    __module__ = "evergrant"
    __slots__ = (
        "provider",
        "grant_type",
        "connection",
        "state",
        "client_id",
        "redirect_uri",
        "requested_scopes",
        "granted_scopes",
        "missing_scopes",
        "account",
        "expires_at",
        "refreshed_at",
        "last_error",
        "reason",
        "hint",
    )

    provider: "str"
    grant_type: "str | None"
    connection: "str"
    state: "Literal['not_configured', 'configured', 'connected', 'reauthorization_required']"
    client_id: "str | None"
    redirect_uri: "str | None"
    requested_scopes: "tuple[str, ...]"
    granted_scopes: "tuple[str, ...]"
    missing_scopes: "tuple[str, ...]"
    account: "str | None"
    expires_at: "datetime | None"
    refreshed_at: "datetime | None"
    last_error: "str | None"
    reason: "str | None"
    hint: "str | None"

    @classmethod
    def _read(cls, name: "str", value: "Any") -> "Any":
        if name.endswith("_scopes"):
            return tuple(value or ())
        return _instant(value) if name.endswith("_at") else value

    def __repr__(self) -> "str":
        """One line that says whose connection it is, its state, and what is wrong."""
        parts = [f"{self.provider}/{self.connection}: {self.state}"]
        if self.account:
            parts.append(f"as {self.account}")
        if self.reason:
            parts.append(f"({self.reason})")
        return f"<Status {' '.join(parts)}>"

    def _repr_html_(self) -> "str":
        """A table for notebooks; everything that a provider or a user wrote is escaped."""
        import html

        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{html.escape(_text(value))}</td></tr>"
            for name, value in self.to_dict().items()
            if value not in (None, [])
        )
        return f"<table>{rows}</table>"


class Step(tuple[str, bool, str]):
    """One step of a `Report`; it unpacks to `(what, ok, detail)`."""

    __module__ = "evergrant"
    __slots__ = ()

    def __new__(cls, what: "str", ok: "bool", detail: "str" = "") -> "Step":  # noqa: FBT001 - it is a tuple's place
        return tuple.__new__(cls, (what, ok, detail))

    def __getnewargs__(self) -> "tuple[Any, ...]":
        return tuple(self)

    @property
    def what(self) -> "str":
        """What was tried."""
        return self[0]

    @property
    def ok(self) -> "bool":
        """Whether it succeeded."""
        return self[1]

    @property
    def detail(self) -> "str":
        """What came of it."""
        return self[2]

    def to_dict(self) -> "dict[str, Any]":
        """The three parts by name."""
        return {"what": self.what, "ok": self.ok, "detail": self.detail}

    def __repr__(self) -> "str":
        return f"Step(what={self.what!r}, ok={self.ok!r}, detail={self.detail!r})"


class Report(Record):
    """What a verb did, step by step.

    Attributes:
        ok: Whether all that matters succeeded.
        steps: What was tried, in order.
        reason: Why it is not `ok`.
        hint: The next command, ready to paste.
    """

    __module__ = "evergrant"
    __slots__ = ("ok", "steps", "reason", "hint")

    ok: "bool"
    steps: "tuple[Step, ...]"
    reason: "str | None"
    hint: "str | None"

    @classmethod
    def _read(cls, name: "str", value: "Any") -> "Any":
        if name == "steps":
            return tuple(step if isinstance(step, Step) else Step(**step) for step in value or ())
        return value


class PendingConnection(Record):
    """A sign-in that was begun: send the person to `authorization_url`.

    Attributes:
        authorization_url: Where the person consents.
        state: The state of this sign-in (RFC 6749 section 4.1.1).
        expires_at: Until when it can be completed (UTC).
    """

    __module__ = "evergrant"
    __slots__ = ("authorization_url", "state", "expires_at")

    authorization_url: "str"
    state: "str"
    expires_at: "datetime"

    @classmethod
    def _read(cls, name: "str", value: "Any") -> "Any":
        return _instant(value) if name == "expires_at" else value

    def __repr__(self) -> "str":
        """Until when it lasts; URL and state would let a reader of logs complete it."""
        return f"<PendingConnection until {self.expires_at:%Y-%m-%d %H:%M:%S} UTC>"

    def __reduce__(self) -> "NoReturn":
        message = "a PendingConnection is not pickled: it holds the state of a sign-in"
        raise TypeError(message)


class Problem(Record):
    """Something wrong in a file.

    Attributes:
        severity: `error` or `warning`.
        path: The file.
        line: Line of the mistake, from 1; `None` where it concerns the whole file.
        column: Column of the mistake, from 1.
        message: What is wrong.
        hint: What to write instead.
    """

    __module__ = "evergrant"
    __slots__ = ("severity", "path", "line", "column", "message", "hint")

    severity: "str"
    path: "str"
    line: "int | None"
    column: "int | None"
    message: "str"
    hint: "str | None"


class Provider(Record):
    """A service with OAuth endpoints, as its provider file describes it.

    What depends on the grant type is a method; without one it answers for the first that the provider offers.

    Attributes:
        id: Its id: `google_drive`.
        aliases: Other ids it answers to.
        name: Its name, for people.
        category: What kind of service it is.
        summary: One sentence about it.
        links: Pages of the vendor, by name: `api`, `setup`, `troubleshooting`.
        grant_types: The grant types it offers.
        api_hosts: Hosts that may get its tokens.
        redirect_uri: What to register as redirect URI, unless you configure one of your own.
    """

    __module__ = "evergrant"
    __slots__ = (
        "id",
        "aliases",
        "name",
        "category",
        "summary",
        "links",
        "grant_types",
        "api_hosts",
        "redirect_uri",
        "_parameters",
        "_base_scopes",
        "_suggested_scopes",
        "_setup",
    )

    id: "str"
    aliases: "tuple[str, ...]"
    name: "str"
    category: "str | None"
    summary: "str | None"
    links: "Mapping[str, str]"
    grant_types: "tuple[str, ...]"
    api_hosts: "tuple[str, ...]"
    redirect_uri: "str | None"
    _parameters: "Mapping[str, Mapping[str, Mapping[str, Any]]]"
    _base_scopes: "Mapping[str, list[str]]"
    _suggested_scopes: "Mapping[str, Mapping[str, str]]"
    _setup: "Mapping[str, Mapping[str, Any]]"

    @classmethod
    def _read(cls, name: "str", value: "Any") -> "Any":
        if name in {"aliases", "grant_types", "api_hosts"}:
            return tuple(value or ())
        if name == "links" or name.startswith("_"):
            return _ReadOnly({key: item for key, item in (value or {}).items() if item is not None})
        return value

    @property
    def parameters(self) -> "Mapping[str, Mapping[str, Any]]":
        """What the user fills in, by name, of all its grant types: label, description, pattern and so on."""
        return _ReadOnly({name: field for fields in self._parameters.values() for name, field in fields.items()})

    def base_scopes(self, grant_type: "str | None" = None) -> "tuple[str, ...]":
        """Scopes that are always asked for."""
        return tuple(self._of(self._base_scopes, grant_type) or ())

    def suggested_scopes(self, grant_type: "str | None" = None) -> "Mapping[str, str]":
        """Scopes worth knowing, with their meaning."""
        return _ReadOnly(dict(self._of(self._suggested_scopes, grant_type) or {}))

    def setup(self, grant_type: "str | None" = None) -> "tuple[str, ...]":
        """The steps that register a client with the vendor."""
        found = self._of(self._setup, grant_type) or {}
        return tuple(found.get("steps") or ())

    def __repr__(self) -> "str":
        return f"<Provider {self.id}: {self.name} ({', '.join(self.grant_types)})>"

    def _of(self, by_grant_type: "Mapping[str, Any]", grant_type: "str | None") -> "Any":
        chosen = grant_type or next(iter(self.grant_types), "")
        if chosen not in self.grant_types:
            from evergrant.exceptions import InvalidParameter

            offered = " and ".join(self.grant_types) or "no grant type"
            reason = f"{self.name} offers {offered}, not {chosen!r}"
            raise InvalidParameter(reason, code="grant_type_not_offered", provider=self.id)
        return by_grant_type.get(chosen)


def _resolve(workspace: "str", provider: "str", grant_type: "str", connection: "str", resource: "str") -> "AccessToken":
    """The token that a pickled reference names, from the store of this side."""
    from evergrant import _core

    here = _core.default_workspace()
    if here.name != workspace:
        here = _core.Workspace(workspace)
    return here.get_token(provider, grant_type=grant_type or None, connection=connection, resource=resource or None)


def _restore(kind: "type[Record]", values: "dict[str, Any]") -> "Record":
    record = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(record, name, _ReadOnly(value) if isinstance(value, dict) else value)
    return record


def _refuse(instance: "object", name: "str") -> "NoReturn":
    message = f"{name!r} cannot be changed: {type(instance).__name__} is immutable"
    raise AttributeError(message)


def _now(clock: "Callable[[], int] | None") -> "float":
    """The present in UTC milliseconds."""
    return time.time() * 1000 if clock is None else clock()


def _instant(millis: "int | datetime | None") -> "datetime | None":
    if not isinstance(millis, int):
        return millis
    from datetime import datetime, timedelta, timezone

    try:
        # A sum instead of `fromtimestamp`, which rounds.
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=millis)
    except OverflowError:
        # Some providers say "never" with a number of ages.
        return datetime.max.replace(tzinfo=timezone.utc)


def duration(seconds: "float") -> "str":
    """A duration in the largest unit that tells enough: `42 s`, `58 min`, `7 h`, `30 d`."""
    for unit, length, until in (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 48 * 3600)):
        if seconds < until:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds // 86400)} d"


def _plain(value: "Any") -> "Any":
    if isinstance(value, (str, int, float, type(None))):
        return value
    if isinstance(value, (Record, Step)):
        return value.to_dict()
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "Z")
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value]


def _unproxied(value: "Any") -> "Any":
    return dict(value) if isinstance(value, _ReadOnly) else value


def _hashable(value: "Any") -> "Any":
    if hasattr(value, "items"):
        return tuple(sorted((key, _hashable(item)) for key, item in value.items()))
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def _text(value: "Any") -> "str":
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
