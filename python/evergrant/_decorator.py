"""`@oauth`: fill a function's parameter with a fresh token, hidden from everything that inspects the function.

The wrapper is a real function of the same kind as the wrapped one, generated from its signature and bound to its
globals. It holds no lock, engine or token, so it pickles by name, and cloudpickle ships it by value.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import typing
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from inspect import Parameter, Signature
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, TracebackType
from typing import Any, Final, TypeVar, cast

from evergrant import _core, _template, aio
from evergrant._api import Workspace, as_list
from evergrant._docstring import without_parameter
from evergrant._redact import redact as _redact_value
from evergrant._redact import redact_exception
from evergrant._types import AccessToken
from evergrant.exceptions import NotConfigured, NotConnected

T = TypeVar("T")

_Text = str | Callable[[Mapping[str, Any]], str]
_OptionalText = str | Callable[[Mapping[str, Any]], str | None] | None


class _Injected:
    """The default of a parameter that `@oauth` fills."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "injected"

    def __reduce__(self) -> str:
        return "injected"


injected: Final[Any] = _Injected()
"""The default that tells type checkers a parameter is filled: `def f(x, *, token: AccessToken = injected)`."""


def oauth(
    provider: str,
    *,
    into: str = "token",
    grant_type: str | None = None,
    connection: _Text = "default",
    resource: _OptionalText = None,
    scopes: Iterable[str] | None = None,
    min_ttl: float | None = None,
    optional: bool = False,
    redact: bool = True,
) -> Callable[[T], T]:
    """Fill the parameter `into` with a fresh access token whenever the caller does not.

    The parameter is hidden from signatures, type hints and docstring of the result, so frameworks that show a
    function to a model or a user do not show it. An argument given explicitly wins: tests pass a fake. Generators
    fetch at the first `next`. Below `@classmethod`, `@staticmethod` and task decorators of engines; stackable.

    Args:
        provider: Id or alias of the provider.
        into: Name of the parameter.
        grant_type: `authorization_code` or `client_credentials`; by default the only configured one.
        connection: Name of the connection, or a callable that gets a mapping of the call's arguments by name.
        resource: What the token is for (RFC 8707), or such a callable.
        scopes: Scopes the function needs.
        min_ttl: Seconds the token must last at least.
        optional: Fill in `None` when there is no grant that works.
        redact: Mask live secrets in what the function returns, yields and raises.

    Returns:
        A decorator that keeps the function's type.

    Raises:
        TypeError: When decorating: there is no such parameter, or it is positional-only, or what is decorated is
            not a function.

    Example:
        ```python
        @oauth("github", connection=lambda call: call["user"])
        def stars(user: str, *, token: AccessToken = injected) -> list[str]: ...
        ```
    """
    return decorate(
        None,
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


def decorate(
    workspace: Workspace | aio.Workspace | None,
    provider: str,
    *,
    into: str,
    grant_type: str | None,
    connection: _Text,
    resource: _OptionalText,
    scopes: Iterable[str] | None,
    min_ttl: float | None,
    optional: bool,
    redact: bool,
) -> Callable[[T], T]:
    """`oauth` on a workspace; `None` is the default one, found anew at each call."""
    if not isinstance(provider, str):
        message = f'write @oauth("provider"), with the provider\'s id, not @oauth around {_name(provider)}'
        raise TypeError(message)
    source = TokenSource(
        workspace=workspace,
        provider=provider,
        grant_type=grant_type,
        connection=connection,
        resource=resource,
        scopes=as_list("scopes", scopes),
        min_ttl=min_ttl,
        optional=optional,
    )

    def decorator(function: T) -> T:
        return cast("T", _wrap(function, source, into=into, redact=redact))

    return decorator


class TokenSource:
    """Where a decorated function's token comes from. It opens nothing when it is made, and pickles."""

    __slots__ = ("connection", "grant_type", "min_ttl", "optional", "provider", "resource", "scopes", "workspace")

    def __init__(
        self,
        *,
        workspace: Workspace | aio.Workspace | None,
        provider: str,
        grant_type: str | None,
        connection: _Text,
        resource: _OptionalText,
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
        try:
            return cast("AccessToken", await aio.outcome(self._place.call("get_token", self._request(call))))
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


class Injection:
    """What a decorated function is, for debuggers and for decorators above: its `__evergrant__`.

    Attributes:
        function: The function as the user wrote it.
        signature: What the wrapper really takes, injected parameters included.
        sources: Where each injected parameter comes from, by its name.
    """

    __slots__ = ("function", "signature", "sources")

    def __init__(self, function: Callable[..., Any], signature: Signature, sources: Mapping[str, TokenSource]) -> None:
        self.function = function
        self.signature = signature
        self.sources = sources


def _wrap(function: Any, source: TokenSource, *, into: str, redact: bool) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_wrap(function.__func__, source, into=into, redact=redact))
    _refuse_what_is_no_function(function, source, into)
    below: Injection | None = getattr(function, "__evergrant__", None)
    real = _signature(function) if below is None else below.signature
    _refuse_signature(function, real, into)
    sources = {**(below.sources if below else {}), into: source}

    parameters = _wrapper_parameters(real, frozenset(sources))
    handle = source.handle()
    template = _template.generate(
        _kind(function),
        into=into,
        wrapper=parameters,
        wrapped=list(real.parameters.values()),
        told=[name for name in real.parameters if name not in sources] if source.by_call else None,
        redact=redact,
        closure={
            "function": function,
            "injected": injected,
            "get": handle or source.get,
            "cached": handle.cached if handle else source.cached,
            "fetch": source.fetch,
            "redact": _redact_value,
            "redact_exception": redact_exception,
            "delegate": _Redacted if redact else _itself,
            "advance": _advance_redacted if redact else _advance,
            "end": _END,
            "BaseException": BaseException,
            "GeneratorExit": GeneratorExit,
        },
    )
    written = _innermost(function)
    wrapper = FunctionType(
        _placed(template.__code__, written),
        _globals(written),
        _name(written),
        _defaults(parameters),
        template.__closure__,
    )
    wrapper.__kwdefaults__ = _keyword_defaults(parameters)
    functools.update_wrapper(wrapper, written, updated=("__dict__",) if inspect.isroutine(written) else ())
    # `inspect.unwrap` would find the hidden parameter again.
    wrapper.__dict__.pop("__wrapped__", None)
    _hide(wrapper, written, real, sources)
    injection = Injection(below.function if below else function, real.replace(parameters=parameters), sources)
    wrapper.__evergrant__ = injection  # type: ignore[attr-defined]
    return wrapper


# What may be decorated


def _refuse_what_is_no_function(function: Any, source: TokenSource, into: str) -> None:
    if isinstance(function, property):
        message = "@oauth goes below @property, nearest to the function"
        raise TypeError(message)
    if isinstance(function, type) or not callable(function):
        message = f"@oauth decorates a function, not {_name(function)}"
        raise TypeError(message)
    engine = _engine_of(function)
    if engine is not None:
        below = f'@{engine}\n@oauth("{source.provider}", into="{into}")\ndef {_name(function)}(...): ...'
        message = (
            f"@oauth stands above {_name(function)}, which is a task object already: the token would be fetched "
            f"where the task is submitted, and sent. Put @oauth nearest to the function:\n\n{below}"
        )
        raise TypeError(message)


# A task object of an engine is told by what it can do: no engine is imported to find out.
_ENGINES: Final = (
    (("delay", "apply_async"), "app.task"),
    (("remote", "options"), "ray.remote"),
    (("remote", "local"), "modal.function"),
    (("submit", "with_options"), "prefect.task"),
    (("expand", "override"), "airflow.task"),
    (("configured", "with_hooks"), "dagster.op"),
    (("compute", "dask"), "dask.delayed"),
)


def _engine_of(function: Any) -> str | None:
    if isinstance(function, (FunctionType, MethodType, BuiltinMethodType, functools.partial)):
        return None
    for attributes, engine in _ENGINES:
        if all(hasattr(function, name) for name in attributes):
            return engine
    return None


def _refuse_signature(function: Any, signature: Signature, into: str) -> None:
    parameter = signature.parameters.get(into)
    if parameter is None or parameter.kind in {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}:
        message = (
            f"{_name(function)}() has no parameter {into!r} to fill: "
            f'add `*, {into}: AccessToken = injected`, or name another one with @oauth(..., into="name")'
        )
        raise TypeError(message)
    if parameter.kind is Parameter.POSITIONAL_ONLY:
        message = f"{into!r} of {_name(function)}() is positional-only and cannot be filled: move it behind the `/`"
        raise TypeError(message)


# The wrapper's own signature


def _wrapper_parameters(signature: Signature, hidden: frozenset[str]) -> list[Parameter]:
    """What the wrapper takes: hidden parameters by keyword only, unless no visible positional one comes behind."""
    parameters = [
        parameter.replace(default=injected) if parameter.name in hidden else parameter
        for parameter in signature.parameters.values()
    ]
    kept: list[Parameter] = []
    moved: list[Parameter] = []
    ends = True
    for parameter in reversed(parameters):
        positional = parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
        if parameter.name in hidden and positional and not ends:
            moved.insert(0, parameter.replace(kind=Parameter.KEYWORD_ONLY))
            continue
        kept.insert(0, parameter)
        takes_position = positional or parameter.kind in {Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL}
        ends = ends and not (takes_position and parameter.name not in hidden)
    return sorted([*kept, *moved], key=lambda parameter: parameter.kind)


def _defaults(parameters: Iterable[Parameter]) -> tuple[Any, ...]:
    positional = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
    return tuple(p.default for p in parameters if p.kind in positional and p.default is not Parameter.empty)


def _keyword_defaults(parameters: Iterable[Parameter]) -> dict[str, Any]:
    return {
        p.name: p.default for p in parameters if p.kind is Parameter.KEYWORD_ONLY and p.default is not Parameter.empty
    }


# What others see


def _hide(wrapper: FunctionType, written: Any, real: Signature, hidden: Iterable[str]) -> None:
    """Take `hidden` out of signature, annotations and docstring, and resolve the types that stay."""
    seen = {name for name in real.parameters if name not in hidden} | {"return"}
    raw = {name: value for name, value in _annotations(written).items() if name in seen}
    types = _resolved(wrapper, raw)
    wrapper.__annotations__ = types
    wrapper.__signature__ = real.replace(  # type: ignore[attr-defined]
        parameters=[
            parameter.replace(annotation=types.get(name, parameter.annotation))
            for name, parameter in real.parameters.items()
            if name in seen
        ],
        return_annotation=types.get("return", real.return_annotation),
    )
    if wrapper.__doc__:
        for name in hidden:
            wrapper.__doc__ = without_parameter(wrapper.__doc__, name)
    if sys.version_info >= (3, 14) and isinstance(written, FunctionType) and _unresolved(types):
        # A name that is defined later: resolve when somebody asks, as the function itself would.
        import annotationlib

        original = written.__annotate__

        def annotate(format: Any) -> dict[str, Any]:  # noqa: A002 - the protocol's word
            values = annotationlib.call_annotate_function(original, format, owner=written)
            return {name: value for name, value in values.items() if name in seen}

        if original is not None:
            wrapper.__annotate__ = annotate


def _resolved(wrapper: FunctionType, raw: dict[str, Any]) -> dict[str, Any]:
    """`raw` with strings replaced by the types they name; one that names nothing yet stays a string."""
    types = _hints(wrapper, raw)
    if types is None:
        types = {name: (_hints(wrapper, {name: value}) or {name: value})[name] for name, value in raw.items()}
    # `None` stands for its type; it is shown as it was written.
    return {name: None if raw[name] is None else resolved for name, resolved in types.items()}


def _hints(wrapper: FunctionType, raw: dict[str, Any]) -> dict[str, Any] | None:
    wrapper.__annotations__ = dict(raw)
    # An annotation may be any expression, and raise anything.
    with contextlib.suppress(Exception):
        return typing.get_type_hints(wrapper, include_extras=True)
    return None


def _unresolved(types: Mapping[str, Any]) -> bool:
    return any(isinstance(value, (str, typing.ForwardRef)) for value in types.values())


def _signature(function: Callable[..., Any]) -> Signature:
    try:
        if sys.version_info >= (3, 14):
            import annotationlib

            return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
        return inspect.signature(function)
    except ValueError:
        message = f"the parameters of {_name(function)}() cannot be seen: wrap it in a function of your own"
        raise TypeError(message) from None


def _annotations(function: Any) -> dict[str, Any]:
    if sys.version_info >= (3, 14) and isinstance(function, FunctionType):
        import annotationlib

        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    return dict(getattr(function, "__annotations__", None) or {})


# What the user wrote


def _kind(function: Any) -> str:
    written = _innermost(function)
    if not inspect.isroutine(written):
        written = type(written).__call__
    flags = getattr(getattr(written, "__code__", None), "co_flags", 0)
    if flags & inspect.CO_ASYNC_GENERATOR:
        return _template.ASYNC_GENERATOR
    # A generator that `types.coroutine` marked is awaited, too.
    if inspect.iscoroutinefunction(written) or flags & inspect.CO_ITERABLE_COROUTINE:
        return _template.COROUTINE
    return _template.GENERATOR if flags & inspect.CO_GENERATOR else _template.FUNCTION


def _innermost(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _globals(function: Any) -> dict[str, Any]:
    """The globals that its annotations, if strings, refer to."""
    found = getattr(inspect.unwrap(function), "__globals__", None)
    return found if isinstance(found, dict) else {}


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _placed(code: CodeType, function: Any) -> CodeType:
    """Generated code that says it is `function`, to tracebacks and to whoever reads its source."""
    place: CodeType | None = getattr(inspect.unwrap(function), "__code__", None)
    if place is None:
        return code
    return code.replace(co_filename=place.co_filename, co_firstlineno=place.co_firstlineno, co_name=place.co_name)


# What generated code calls


class _Redacted:
    """A generator whose items, result and errors are masked."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Generator[Any, Any, Any]) -> None:
        self._inner = inner

    def __iter__(self) -> "_Redacted":
        return self

    def __next__(self) -> Any:
        return self._advance(self._inner.__next__)

    def send(self, value: Any) -> Any:
        return self._advance(self._inner.send, value)

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None) -> Any:
        error = kind if value is None else value if isinstance(value, BaseException) else kind(value)
        return self._advance(self._inner.throw, error.with_traceback(traceback) if traceback else error)

    def close(self) -> None:
        self._advance(self._inner.close)

    def _advance(self, step: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return _redact_value(step(*arguments))
        except StopIteration as stop:
            raise StopIteration(_redact_value(stop.value)) from None
        except BaseException as error:
            redact_exception(error)
            raise


_END: Final = object()


def _itself(inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    return inner


async def _advance(step: Callable[..., Awaitable[Any]], argument: Any) -> Any:
    """The next item of an asynchronous generator, `_END` after the last."""
    try:
        return await step(argument)
    except StopAsyncIteration:
        return _END


async def _advance_redacted(step: Callable[..., Awaitable[Any]], argument: Any) -> Any:
    """`_advance`, with the item or the error masked."""
    try:
        return _redact_value(await step(argument))
    except StopAsyncIteration:
        return _END
    except BaseException as error:
        redact_exception(error)
        raise
