"""The methods that the lambdas of templates may call, each paid for before it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from evergrant.actions._bounds import Bounds

_WORDS: Final[dict[type, str]] = {
    str: "capitalize casefold center count endswith expandtabs find format index isalnum isalpha isascii isdecimal "
    "isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip partition "
    "removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip "
    "swapcase title upper zfill",
    list: "append clear copy count extend index insert pop remove reverse sort",
    tuple: "count index",
    dict: "clear copy get items keys pop popitem setdefault update values",
    set: "add clear copy difference discard intersection isdisjoint issubset issuperset pop remove "
    "symmetric_difference union update",
    int: "bit_length",
    bool: "bit_length",
    float: "is_integer",
}
_METHODS: Final = {kind: frozenset(words.split()) for kind, words in _WORDS.items()}

# They go through other collections, and may add them.
_TAKING_MEMBERS: Final = (
    *("difference", "extend", "intersection", "isdisjoint", "issubset", "issuperset"),
    *("symmetric_difference", "union", "update"),
)
# Methods of mappings and sets that hash their first argument.
_LOOKING_UP: Final = ("add", "discard", "get", "pop", "setdefault")

# CPython compares each character with each of the argument's.
_COMPARING_ALL: Final = ("lstrip", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "strip")


def allowed(kind: type) -> frozenset[str]:
    """The methods of a type that may be called."""
    return _METHODS.get(kind, frozenset())


def invoke(bounds: Bounds, value: Any, method: str, *arguments: Any, **named: Any) -> Any:
    """`value.method(…)`.

    Raises:
        Refused: It would take or make too much.
    """
    prepare = _PREPARED.get((type(value), method))
    if prepare is not None:
        arguments, named = prepare(bounds, value, *arguments, **named), {}
    elif method in _TAKING_MEMBERS:
        arguments = tuple(_members(bounds, argument) for argument in arguments)
        bounds.many(len(value) + sum(map(len, arguments)) + len(named))
    elif isinstance(value, str):
        # In the worst case each character is a part.
        bounds.spend(1 + len(value) // (1 if "split" in method or method == "format" else 8))
        if method in _COMPARING_ALL and arguments and isinstance(arguments[0], str):
            bounds.spend(len(value) * len(arguments[0]) // 64)
    elif method in {"count", "index", "remove"}:
        bounds.search(arguments[0], value)
    elif method == "sort":
        bounds.to_sort(value)
        named = bounds.by_key(named, len(value))
    elif method in {"copy", "insert", "pop", "reverse"}:
        bounds.spend(1 + len(value) // (1 if method == "copy" else 64))
    else:
        bounds.spend(1)
    if method in _LOOKING_UP:
        bounds.keys(arguments[:1])
    if method == "format":
        return bounds.formatted(value, arguments, named)
    if method == "join":
        return bounds.made(value.join(*arguments))
    result = getattr(value, method)(*arguments, **named)
    return bounds.made(result) if isinstance(value, str) else result


def _members(bounds: Bounds, argument: Any) -> Any:
    """An argument of `update` and its like, looked at whole."""
    if isinstance(argument, dict):
        bounds.spend(len(argument))
        return argument
    members = bounds.members(argument)
    bounds.weigh(members)
    bounds.keys(members)
    return members


def _join(bounds: Bounds, separator: str, iterable: Any) -> tuple[Any, ...]:
    parts = bounds.members(iterable)
    length = sum(len(part) for part in parts if isinstance(part, str))
    bounds.long(length + len(separator) * len(parts))
    return (parts,)


def _padded(bounds: Bounds, value: str, width: int, *fill: str) -> tuple[Any, ...]:
    bounds.long(max(len(value), width))
    return (width, *fill)


def _replaced(bounds: Bounds, value: str, old: str, new: str, count: int = -1) -> tuple[Any, ...]:
    bounds.spend(1 + len(value) // 8)
    times = value.count(old)
    times = times if count < 0 else min(times, count)
    bounds.long(len(value) + times * max(len(new) - len(old), 0))
    return (old, new, count)


def _with_tabs(bounds: Bounds, value: str, tabsize: int = 8) -> tuple[Any, ...]:
    bounds.long(len(value) + value.count("\t") * max(tabsize, 0))
    return (tabsize,)


_PREPARED: Final[dict[tuple[type, str], Callable[..., tuple[Any, ...]]]] = {
    (str, "center"): _padded,
    (str, "expandtabs"): _with_tabs,
    (str, "join"): _join,
    (str, "ljust"): _padded,
    (str, "replace"): _replaced,
    (str, "rjust"): _padded,
    (str, "zfill"): _padded,
}
