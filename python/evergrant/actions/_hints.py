"""Type hints of functions as types of inputs: their JSON Schema, and the value that a function is called with."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from evergrant.actions._coercion import PLAIN, Fit, Mismatch, named, plain

DEEPEST: Final = 20
"""Types inside of each other."""

Schema = dict[str, Any]


class Kind:
    """A type of inputs.

    Attributes:
        schema: Its JSON Schema (draft 2020-12).
    """

    def __init__(self, schema: Schema, fit: Callable[[Any], tuple[Any, Fit]]) -> None:
        self.schema = schema
        self._fit = fit

    def fit(self, value: Any) -> tuple[Any, Fit]:
        """`value` as this type, and how well it fits; `Mismatch` if it can't be."""
        return self._fit(value)


def kind_of(hint: Any, depth: int = DEEPEST) -> Kind:
    """The type of inputs that a resolved type hint means.

    Raises:
        TypeError: It is none; the message begins with the hint.
    """
    if depth == 0:
        raise TypeError(f"it has more than {DEEPEST} types inside of each other")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)

    def of(inner: Any) -> Kind:
        return kind_of(inner, depth - 1)

    if hint in (Any, object):
        return Kind({}, lambda value: (value, Fit.COERCED))
    if hint in (None, type(None)):
        return Kind({"type": "null"}, _nothing)
    if origin is typing.Annotated:
        return _described(of(arguments[0]), arguments[1:])
    if origin in (typing.Union, types.UnionType):
        return _union([of(argument) for argument in arguments])
    if origin is typing.Literal:
        return _choice({value: value for value in arguments}, dict(enumerate(arguments)))
    if (origin or hint) in _LISTS:
        return _list(of(arguments[0] if arguments else Any))
    if (origin or hint) is tuple and arguments[1:] == (...,):
        return _list(of(arguments[0]), tuple)
    if (origin or hint) in _MAPPINGS:
        key, member = arguments or (str, Any)
        return _mapping(of(key), of(member))
    underlying = getattr(hint, "__supertype__", None) or getattr(hint, "__value__", None)
    if underlying is not None:  # a NewType, or an alias made by `type`
        return of(underlying)
    if isinstance(hint, type):
        return _of_class(hint, of)
    raise TypeError(f"{_written(hint)} is no type of an input")


_LISTS: Final[tuple[Any, ...]] = (
    *(list, collections.abc.Collection, collections.abc.Iterable, collections.abc.Sequence),
    collections.abc.MutableSequence,
)
_MAPPINGS: Final[tuple[Any, ...]] = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_SCHEMAS: Final[dict[type, Schema]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    timedelta: {"type": "string", "format": "duration"},
}


def _of_class(hint: Any, of: Callable[[Any], Kind]) -> Kind:
    if hint in PLAIN:
        return Kind(_SCHEMAS[hint], lambda value: plain(hint, value))
    if issubclass(hint, enum.Enum):
        return _choice({member.value: member for member in hint}, {member.name: member.value for member in hint}, hint)
    if typing.is_typeddict(hint):
        return _typed_dict(hint, of)
    if hasattr(hint, "model_validate") and hasattr(hint, "model_json_schema"):
        return _model(hint)
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, of)
    raise TypeError(f"{hint.__name__} is no type of an input")


def _written(hint: Any) -> str:
    return hint.__forward_arg__ if isinstance(hint, typing.ForwardRef) else str(hint)


def _nothing(value: Any) -> tuple[None, Fit]:
    if value is not None:
        raise Mismatch(f"None is needed, not {named(value)}")
    return None, Fit.EXACT


def _described(kind: Kind, metadata: tuple[Any, ...]) -> Kind:
    """`Annotated[T, "text"]`, or with `Doc` of typing_extensions or `Field` of pydantic."""
    for one in metadata:
        text = one if isinstance(one, str) else getattr(one, "documentation", None) or getattr(one, "description", None)
        if isinstance(text, str):
            return Kind({**kind.schema, "description": text}, kind.fit)
    return kind


def _union(kinds: list[Kind]) -> Kind:
    def fit(value: Any) -> tuple[Any, Fit]:
        found: list[tuple[Any, Fit]] = []
        mismatches: list[Mismatch] = []
        for kind in kinds:
            try:
                found.append(kind.fit(value))
            except Mismatch as mismatch:  # noqa: PERF203 - it is how a type says no
                mismatches.append(mismatch)
        if found:
            return max(found, key=lambda one: one[1])
        # One that says where in the value knows what was meant.
        deepest = max(mismatches, key=lambda one: len(one.path))
        if deepest.path:
            raise deepest
        raise Mismatch("; or ".join(dict.fromkeys(one.message for one in mismatches)))

    return Kind({"anyOf": [kind.schema for kind in kinds]}, fit)


def _choice(values: dict[Any, Any], shown: dict[Any, Any], of: type | None = None) -> Kind:
    """One of some values, matched exactly; `of` is the class of what they stand for."""

    def fit(value: Any) -> tuple[Any, Fit]:
        if of is not None and isinstance(value, of):
            return value, Fit.EXACT
        for known, meant in values.items():
            if type(known) is type(value) and known == value:
                return meant, Fit.EXACT
        raise Mismatch(f"must be one of {', '.join(map(str, shown.values()))}")

    return Kind({"enum": list(shown.values())}, fit)


def _list(kind: Kind, of: type = list) -> Kind:
    def fit(value: Any) -> tuple[Any, Fit]:
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise Mismatch(f"a list is needed, not {named(value)}")
        items = []
        worst = Fit.EXACT
        for index, item in enumerate(value):
            one, well = _inside(kind, item, f"[{index}]")
            items.append(one)
            worst = min(worst, well)
        return of(items), worst

    return Kind({"type": "array", "items": kind.schema}, fit)


def _mapping(key: Kind, member: Kind) -> Kind:
    def fit(value: Any) -> tuple[Any, Fit]:
        found = {}
        worst = Fit.EXACT
        for name, item in _entries(value):
            where = f"[{name!r}]" if isinstance(name, (str, int)) else "[…]"
            as_key, well = _inside(key, name, where)
            found[as_key], well_too = _inside(member, item, where)
            worst = min(worst, well, well_too)
        return found, worst

    return Kind({"type": "object", "additionalProperties": member.schema}, fit)


def _entries(value: Any) -> list[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        raise Mismatch(f"a mapping is needed, not {named(value)}")
    return list(value.items())


def _inside(kind: Kind, value: Any, where: str) -> tuple[Any, Fit]:
    try:
        return kind.fit(value)
    except Mismatch as mismatch:
        mismatch.path = where + mismatch.path
        raise


def _record(kinds: Mapping[str, Kind], required: frozenset[str], schema: Schema, make: Callable[..., Any]) -> Kind:
    """A mapping with known keys."""

    def fit(value: Any) -> tuple[Any, Fit]:
        entries = dict(_entries(value))
        unknown = [name for name in entries if name not in kinds]
        if unknown:
            raise Mismatch("is not known", f".{unknown[0]}")
        missing = sorted(required - entries.keys())
        if missing:
            raise Mismatch("is missing", f".{missing[0]}")
        fitted = {name: _inside(kinds[name], item, f".{name}") for name, item in entries.items()}
        try:
            made = make(**{name: one for name, (one, _) in fitted.items()})
        except (ValueError, TypeError) as error:
            # Raised by the user's own `__post_init__`, whose text may quote a value.
            raise Mismatch(f"is refused ({type(error).__name__})") from None
        return made, min((well for _, well in fitted.values()), default=Fit.EXACT)

    properties = {name: kind.schema for name, kind in kinds.items()}
    found = {"type": "object", "properties": properties, "required": sorted(required), "additionalProperties": False}
    return Kind({**found, **schema}, fit)


def _typed_dict(hint: Any, of: Callable[[Any], Kind]) -> Kind:
    kinds = {}
    required = set(hint.__required_keys__)
    for name, member in typing.get_type_hints(hint, include_extras=True).items():
        inner = member
        # They are in typing from 3.11 on, and in typing_extensions before.
        while (mark := getattr(typing.get_origin(inner), "_name", None)) in {"Required", "NotRequired", "ReadOnly"}:
            inner = typing.get_args(inner)[0]
            if mark != "ReadOnly":
                (required.add if mark == "Required" else required.discard)(name)
        kinds[name] = of(inner)
    return _record(kinds, frozenset(required), {}, dict)


def _dataclass(hint: Any, of: Callable[[Any], Kind]) -> Kind:
    hints = typing.get_type_hints(hint, include_extras=True)
    fields = [field for field in dataclasses.fields(hint) if field.init]
    missing = dataclasses.MISSING
    required = frozenset(one.name for one in fields if one.default is missing and one.default_factory is missing)
    made = _record({field.name: of(hints[field.name]) for field in fields}, required, {}, hint)

    def fit(value: Any) -> tuple[Any, Fit]:
        return (value, Fit.EXACT) if isinstance(value, hint) else made.fit(value)

    return Kind(made.schema, fit)


def _model(hint: Any) -> Kind:
    """A model of pydantic, which checks itself."""

    def fit(value: Any) -> tuple[Any, Fit]:
        if isinstance(value, hint):
            return value, Fit.EXACT
        try:
            return hint.model_validate(value), Fit.WIDER
        except ValueError as error:
            first = error.errors(include_input=False, include_url=False)[0]  # type: ignore[attr-defined]
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        # The text of a validator of the user's own may quote a value.
        own = first["type"] in {"value_error", "assertion_error"}
        raise Mismatch("is refused by its validator" if own else first["msg"], path)

    return Kind(hint.model_json_schema(), fit)
