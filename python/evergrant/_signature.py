"""What a decorated function takes, and what it shows of that."""

from __future__ import annotations

import contextlib
import inspect
import sys
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from inspect import Parameter, Signature
from types import FunctionType, MethodType
from typing import Any

from evergrant._docstring import without_parameter


def signature_of(function: Callable[..., Any]) -> Signature:
    """What a function takes; for one that is decorated already, its injected parameters included."""
    below = getattr(function, "__evergrant__", None)
    if below is not None:
        # A bound method shows its function's attributes; its first argument is taken.
        taken = 1 if isinstance(function, MethodType) else 0
        real: Signature = below.signature
        return real.replace(parameters=list(real.parameters.values())[taken:])
    try:
        if sys.version_info >= (3, 14):
            import annotationlib

            return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
        return inspect.signature(function)
    except ValueError:
        message = f"the parameters of {name_of(function)}() cannot be seen: wrap it in a function of your own"
        raise TypeError(message) from None


def wrapper_parameters(signature: Signature, hidden: Collection[str], default: object) -> list[Parameter]:
    """What the wrapper takes: hidden parameters by keyword only, unless no visible positional one comes behind."""
    parameters = [
        parameter.replace(default=default) if parameter.name in hidden else parameter
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


def defaults(parameters: Iterable[Parameter]) -> tuple[Any, ...]:
    """Their `__defaults__`."""
    positional = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
    return tuple(p.default for p in parameters if p.kind in positional and p.default is not Parameter.empty)


def keyword_defaults(parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Their `__kwdefaults__`."""
    return {
        p.name: p.default for p in parameters if p.kind is Parameter.KEYWORD_ONLY and p.default is not Parameter.empty
    }


def hide(wrapper: FunctionType, written: Any, real: Signature, hidden: Iterable[str]) -> None:
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


def _annotations(function: Any) -> dict[str, Any]:
    if sys.version_info >= (3, 14) and isinstance(function, FunctionType):
        import annotationlib

        return annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    return dict(getattr(function, "__annotations__", None) or {})


def name_of(function: Any) -> str:
    """What messages call a function."""
    return str(getattr(function, "__name__", None) or type(function).__name__)
