"""`@oauth`: fill a function's parameter with a fresh token, hidden from everything that inspects the function.

The wrapper is a real function of the same kind as the wrapped one, generated from its signature and bound to its
globals. It holds no lock, engine or token, so it pickles by name, and cloudpickle ships it by value.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, Signature
from types import BuiltinMethodType, CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from evergrant import _signature, _template
from evergrant._api import Workspace, as_list
from evergrant._signature import name_of
from evergrant._token_source import OptionalText, Text, TokenSource

if TYPE_CHECKING:
    from evergrant import aio

T = TypeVar("T")


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
    connection: Text = "default",
    resource: OptionalText = None,
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
    connection: Text,
    resource: OptionalText,
    scopes: Iterable[str] | None,
    min_ttl: float | None,
    optional: bool,
    redact: bool,
) -> Callable[[T], T]:
    """`oauth` on a workspace; `None` is the default one, found anew at each call."""
    if not isinstance(provider, str):
        message = f'write @oauth("provider"), with the provider\'s id, not @oauth around {name_of(provider)}'
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
    real = _signature.signature_of(function)
    _refuse_signature(function, real, into)
    sources = {**(below.sources if below else {}), into: source}

    parameters = _signature.wrapper_parameters(real, sources, injected)
    handle = source.handle()
    template = _template.generate(
        _kind(function),
        into=into,
        wrapper=parameters,
        wrapped=list(real.parameters.values()),
        told=[name for name in real.parameters if name not in sources] if source.by_call else None,
        redacted=redact,
        closure={
            "function": function,
            "injected": injected,
            "get": handle or source.get,
            "cached": handle.cached if handle else source.cached,
            "fetch": source.fetch,
        },
    )
    written = _innermost(function)
    wrapper = FunctionType(
        _placed(template.__code__, written),
        _globals(written),
        name_of(written),
        _signature.defaults(parameters),
        template.__closure__,
    )
    wrapper.__kwdefaults__ = _signature.keyword_defaults(parameters)
    functools.update_wrapper(wrapper, written, updated=("__dict__",) if inspect.isroutine(written) else ())
    # `inspect.unwrap` would find the hidden parameter again.
    wrapper.__dict__.pop("__wrapped__", None)
    _signature.hide(wrapper, written, real, sources)
    injection = Injection(below.function if below else function, real.replace(parameters=parameters), sources)
    wrapper.__evergrant__ = injection  # type: ignore[attr-defined]
    action = getattr(wrapper, "__evergrant_action__", None)
    if action is not None:
        # @action stands below: what it calls, and whose inputs it shows, is this.
        action.wrapped(wrapper)
    return wrapper


# What may be decorated


def _refuse_what_is_no_function(function: Any, source: TokenSource, into: str) -> None:
    if isinstance(function, property):
        message = "@oauth goes below @property, nearest to the function"
        raise TypeError(message)
    if isinstance(function, type) or not callable(function):
        message = f"@oauth decorates a function, not {name_of(function)}"
        raise TypeError(message)
    engine = _engine_of(function)
    if engine is not None:
        below = f'@{engine}\n@oauth("{source.provider}", into="{into}")\ndef {name_of(function)}(...): ...'
        message = (
            f"@oauth stands above {name_of(function)}, which is a task object already: the token would be fetched "
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
            f"{name_of(function)}() has no parameter {into!r} to fill: "
            f'add `*, {into}: AccessToken = injected`, or name another one with @oauth(..., into="name")'
        )
        raise TypeError(message)
    if parameter.kind is Parameter.POSITIONAL_ONLY:
        message = f"{into!r} of {name_of(function)}() is positional-only and cannot be filled: move it behind the `/`"
        raise TypeError(message)


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


def _placed(code: CodeType, function: Any) -> CodeType:
    """Generated code that says it is `function`, to tracebacks and to whoever reads its source."""
    place: CodeType | None = getattr(inspect.unwrap(function), "__code__", None)
    if place is None:
        return code
    code = code.replace(co_filename=place.co_filename, co_firstlineno=place.co_firstlineno, co_name=place.co_name)
    if sys.version_info >= (3, 11):
        code = code.replace(co_qualname=place.co_qualname)
    return code
