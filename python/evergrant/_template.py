"""The source of `@oauth`'s wrappers: one template per kind of function, generated as dataclasses generate theirs.

Generated code uses its closure only, no global and no builtin name: it runs on the user's globals, which may hold
anything. Its own names start with a prefix that no parameter of the user's has.
"""

from __future__ import annotations

import ast
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from inspect import Parameter
from types import TracebackType
from typing import Any, Final

from evergrant._redact import redact, redact_exception

# Kinds of functions; each is a template.
FUNCTION: Final = "function"
COROUTINE: Final = "coroutine"
GENERATOR: Final = "generator"
ASYNC_GENERATOR: Final = "async generator"

# What the code needs, by the names it uses behind the prefix.
_CLOSURE: Final = (
    "function",
    "injected",
    "get",
    "cached",
    "fetch",
    "redact",
    "redact_exception",
    "delegate",
    "advance",
    "end",
    "BaseException",
    "GeneratorExit",
)

_FACTORIES: dict[str, Callable[..., Callable[..., Any]]] = {}


def generate(
    kind: str,
    *,
    into: str,
    wrapper: Sequence[Parameter],
    wrapped: Sequence[Parameter],
    told: Iterable[str] | None,
    redacted: bool,
    closure: Mapping[str, object],
) -> Callable[..., Any]:
    """A function that fills `into` and calls `closure["function"]`.

    Args:
        kind: Which template.
        into: The parameter to fill.
        wrapper: The parameters of the function to make.
        wrapped: The parameters of the function to call, in its order.
        told: Names of the arguments that are passed to `get`, as a mapping; `None`: it takes none.
        redacted: Whether results and errors are masked.
        closure: `function` to call, `injected` default, and `get`, `cached` and `fetch` for its token.
    """
    prefix = "_evergrant_"
    while any(parameter.name.startswith(prefix) for parameter in wrapped):
        prefix += "_"
    source = _source(
        _TEMPLATES[kind, redacted],
        prefix=prefix,
        into=into,
        parameters=_parameters(wrapper),
        arguments=_arguments(wrapped),
        told="" if told is None else "{" + ", ".join(f"{name!r}: {name}" for name in told) + "}",
    )
    factory = _FACTORIES.get(source)
    if factory is None:
        namespace: dict[str, Any] = {}
        exec(compile(_on_one_line(source), "<evergrant.oauth>", "exec"), namespace)  # noqa: S102 - only identifiers
        factory = _FACTORIES[source] = namespace[f"{prefix}factory"]
    parts = {**closure, **(_REDACTED if redacted else _PLAIN)}
    return factory(*(parts[name] for name in _CLOSURE))


def _source(template: str, *, prefix: str, **parts: str) -> str:
    body = "\n".join(f"        {line}" for line in template.strip().splitlines())
    text = f"def $factory({', '.join(f'${name}' for name in _CLOSURE)}):\n    {body.lstrip()}\n    return $call\n"
    for name, part in parts.items():
        text = text.replace(f"<{name}>", part)
    return text.replace("$", prefix)


def _on_one_line(source: str) -> ast.Module:
    """`source`, all of it on line 1: set on the user's function, its tracebacks show the line of the decorator."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.expr, ast.stmt, ast.arg, ast.keyword, ast.excepthandler)):
            node.lineno = node.end_lineno = 1
            # A range that covers the whole line is not underlined.
            node.col_offset, node.end_col_offset = 0, 9999
    return tree


def _parameters(parameters: Sequence[Parameter]) -> str:
    """The parameter list; what a default is does not matter here, since real ones are set on the function."""
    words: list[str] = []
    previous = None
    for parameter in parameters:
        if previous is Parameter.POSITIONAL_ONLY and parameter.kind is not previous:
            words.append("/")
        if parameter.kind is Parameter.KEYWORD_ONLY and previous not in {
            Parameter.KEYWORD_ONLY,
            Parameter.VAR_POSITIONAL,
        }:
            words.append("*")
        stars = _STARS.get(parameter.kind, "")
        default = "" if parameter.default is Parameter.empty else "=None"
        words.append(f"{stars}{parameter.name}{default}")
        previous = parameter.kind
    if previous is Parameter.POSITIONAL_ONLY:
        words.append("/")
    return ", ".join(words)


def _arguments(parameters: Sequence[Parameter]) -> str:
    return ", ".join(
        f"{parameter.name}={parameter.name}"
        if parameter.kind is Parameter.KEYWORD_ONLY
        else f"{_STARS.get(parameter.kind, '')}{parameter.name}"
        for parameter in parameters
    )


_STARS: dict[Any, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}

_FILL = """
    if <into> is $injected:
        <into> = $get(<told>)
"""

_FILL_ASYNC = """
    if <into> is $injected:
        <into> = $cached(<told>)
        if <into> is None:
            <into> = await $fetch(<told>)
"""

_FUNCTION = f"""
def $call(<parameters>):{_FILL}\
    return $function(<arguments>)
"""

_FUNCTION_REDACTED = f"""
def $call(<parameters>):{_FILL}\
    try:
        $result = $function(<arguments>)
    except $BaseException as $error:
        $redact_exception($error)
        raise
    return $result if $result is None else $redact($result)
"""

_COROUTINE = f"""
async def $call(<parameters>):{_FILL_ASYNC}\
    return await $function(<arguments>)
"""

_COROUTINE_REDACTED = f"""
async def $call(<parameters>):{_FILL_ASYNC}\
    try:
        $result = await $function(<arguments>)
    except $BaseException as $error:
        $redact_exception($error)
        raise
    return $result if $result is None else $redact($result)
"""

_GENERATOR = f"""
def $call(<parameters>):{_FILL}\
    return (yield from $delegate($function(<arguments>)))
"""

# PEP 380 by hand: asynchronous generators have no `yield from`.
_ASYNC_GENERATOR = f"""
async def $call(<parameters>):{_FILL_ASYNC}\
    $inner = $function(<arguments>)
    $item = await $advance($inner.asend, None)
    while $item is not $end:
        try:
            $sent = yield $item
        except $GeneratorExit:
            await $inner.aclose()
            raise
        except $BaseException as $error:
            $item = await $advance($inner.athrow, $error)
        else:
            $item = await $advance($inner.asend, $sent)
"""

_TEMPLATES = {
    (FUNCTION, False): _FUNCTION,
    (FUNCTION, True): _FUNCTION_REDACTED,
    (COROUTINE, False): _COROUTINE,
    (COROUTINE, True): _COROUTINE_REDACTED,
    (GENERATOR, False): _GENERATOR,
    (GENERATOR, True): _GENERATOR,
    (ASYNC_GENERATOR, False): _ASYNC_GENERATOR,
    (ASYNC_GENERATOR, True): _ASYNC_GENERATOR,
}


class _Redacted:
    """A generator whose items, result and errors are masked."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Generator[Any, Any, Any]) -> None:
        self._inner = inner

    def __iter__(self) -> _Redacted:
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
            return redact(step(*arguments))
        except StopIteration as stop:
            raise StopIteration(redact(stop.value)) from None
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
        return redact(await step(argument))
    except StopAsyncIteration:
        return _END
    except BaseException as error:
        redact_exception(error)
        raise


_PLAIN = {
    "redact": redact,
    "redact_exception": redact_exception,
    "delegate": _itself,
    "advance": _advance,
    "end": _END,
    "BaseException": BaseException,
    "GeneratorExit": GeneratorExit,
}

_REDACTED = {**_PLAIN, "delegate": _Redacted, "advance": _advance_redacted}
