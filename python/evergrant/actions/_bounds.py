"""What the lambdas of templates compute with: Python's operators, functions and methods, each bounded.

Every operation is paid for before it is done, by the size of what it goes through and of what it makes. So neither a
huge result nor many small ones, nor one list that stands in another a billion times, takes long or much memory.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Final

from evergrant.actions import _methods
from evergrant.actions._text import Formatter, Refused, printf_arguments, refuse_width

BUDGET: Final = 2_000_000
"""Steps of one lambda, all its calls together: a member, an operation, or 8 characters looked at or made are one."""
LONGEST_TEXT: Final = 16 << 20
"""Characters."""
MOST_MEMBERS: Final = 1 << 20
MOST_BITS: Final = 4096
"""Of an integer."""
MOST_DIGITS: Final = 4300
"""Of a text that is read as an integer, which takes the square of their number."""
DEEPEST_CALL: Final = 500
DEEPEST_VALUE: Final = 500
"""Levels of a value that is looked at whole: CPython hashes and compares by recursion in C, without such a bound."""
MOST_KEY_BITS: Final = 60
"""Of an integer that is looked up: those that are larger can be made to have one hash, all of them."""
LONGEST_PATH: Final = 1000
MOST_ROUNDED: Final = 400
_WIDEST: Final = 1000

FUNCTIONS: Final = (
    *("abs", "all", "any", "bool", "dict", "enumerate", "float", "int", "jsonpath", "len", "list", "max", "min"),
    *("range", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip"),
)
"""The functions that a lambda sees."""

_TYPES: Final[dict[str, type]] = {
    kind.__name__: kind for kind in (bool, dict, float, int, list, set, str, tuple)
}  # whose methods may be named without a value: `str.lower`

_OPERATIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "|": operator.or_,
    "^": operator.xor,
    "&": operator.and_,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "is": operator.is_,
    "is not": operator.is_not,
    "in": lambda member, container: member in container,
    "not in": lambda member, container: member not in container,
}

_CONVERSIONS: Final[dict[str, Callable[[object], str]]] = {"s": str, "r": repr, "a": ascii}
_TEXTS: Final[tuple[Any, ...]] = (str, bytes)
_SEQUENCES: Final[tuple[Any, ...]] = (str, bytes, list, tuple)
_SETS: Final[tuple[Any, ...]] = (set, frozenset, dict, type({}.keys()), type({}.items()))
_NESTED: Final[tuple[Any, ...]] = (list, tuple, dict, set, type({}.keys()), type({}.values()), type({}.items()))
_SIZED: Final[tuple[Any, ...]] = (*_TEXTS, *_NESTED, range)


class Bounds:
    """The operations of one lambda, and what it may still spend."""

    def __init__(self) -> None:
        self.left = BUDGET
        self.depth = 0
        self._functions = {name: getattr(self, f"_{name}") for name in FUNCTIONS}

    def names(self) -> dict[str, Any]:
        """What a rewritten lambda finds by name."""
        operations = ("attribute", "binary", "call", "compare", "each", "format", "item", "key", "step", "text")
        return {**self._functions, "<slice>": slice, **{f"<{name}>": getattr(self, name) for name in operations}}

    # What a lambda pays

    def spend(self, steps: int) -> None:
        """Pay; at the end of the budget the lambda ends."""
        self.left -= steps
        if self.left < 0:
            raise Refused(f"it takes more than {BUDGET:,} steps")

    def step(self, weight: int) -> bool:
        """The beginning of a lambda's body; always true."""
        self.spend(weight)
        return True

    def each(self, iterable: Iterable[Any], weight: int = 1) -> Iterator[Any]:
        """The members of `iterable`, each of which costs `weight`."""
        members = iter(iterable)
        return self._paid(members, weight)

    def _paid(self, members: Iterator[Any], weight: int) -> Iterator[Any]:
        for member in members:
            self.spend(weight)
            yield member

    def members(self, iterable: Any) -> list[Any]:
        """The members of `iterable`, at most as many as a list may have."""
        if isinstance(iterable, _SIZED):
            self.many(len(iterable))
            self.spend(len(iterable))
            return list(iterable)
        found: list[Any] = []
        for member in self.each(iterable):
            found.append(member)
            self.many(len(found))
        return found

    def weigh(self, value: Any) -> int:
        """Pay for looking at all of `value`, at what stands in several places as often; the characters in it."""
        pending = [(value, 0)]
        characters = 0
        left = self.left - 1
        while pending and left >= 0:
            value, depth = pending.pop()
            if isinstance(value, _TEXTS):
                characters += len(value)
                left -= len(value) // 8
            elif isinstance(value, _NESTED):
                if depth == DEEPEST_VALUE:
                    raise Refused(f"a value has more than {DEEPEST_VALUE} levels")
                characters += (4 if isinstance(value, dict) else 2) * len(value)
                # Paid before they are gathered: one list may stand in a million places.
                left -= (2 if isinstance(value, dict) else 1) * len(value)
                if left >= 0:
                    members = chain(value, value.values()) if isinstance(value, dict) else value
                    pending += [(member, depth + 1) for member in members]
            else:
                characters += 24 + (value.bit_length() // 3 if isinstance(value, int) else 0)
        self.spend(self.left - left)
        return characters

    def key(self, value: Any) -> Any:
        """`value`, to be a key or a member of a set."""
        self.look_up(value)
        self.keys((value,))
        return value

    def look_up(self, value: Any) -> None:
        """Pay for looking `value` up: a tuple hashes all that is in it, and a text is compared with an equal one."""
        if isinstance(value, (tuple, *_TEXTS)):
            self.weigh(value)

    def keys(self, values: Iterable[Any]) -> None:
        """Refuse integers, also in tuples, that could be made to have one hash; the values have been weighed."""
        pending = list(values)
        while pending:
            value = pending.pop()
            if isinstance(value, tuple):
                pending += value
            elif isinstance(value, int) and value.bit_length() > MOST_KEY_BITS:
                raise Refused(f"an integer of more than {MOST_KEY_BITS} bits is looked up")

    def made(self, value: Any) -> Any:
        """A result, paid for by its size."""
        if isinstance(value, int):
            if value.bit_length() > MOST_BITS:
                raise Refused(f"an integer has more than {MOST_BITS:,} bits")
            self.spend(value.bit_length() // 64)
        elif isinstance(value, _TEXTS):
            self.long(len(value))
            self.spend(len(value) // 8)
        elif isinstance(value, _NESTED):
            self.many(len(value))
            self.spend(len(value))
        return value

    def long(self, characters: int) -> None:
        """Refuse a text that would be too long."""
        if characters > LONGEST_TEXT:
            raise Refused(f"a text has more than {LONGEST_TEXT:,} characters")

    def many(self, members: int) -> None:
        """Refuse a list that would have too many members."""
        if members > MOST_MEMBERS:
            raise Refused(f"a list has more than {MOST_MEMBERS:,} members")

    # Operators

    def binary(self, sign: str, left: Any, right: Any) -> Any:
        """`left` and `right` joined by an arithmetic or bit operator."""
        self.spend(1)
        if sign == "%" and isinstance(left, _TEXTS):
            return self._printf(left, right)
        both: tuple[Any, Any] = (left, right)
        if isinstance(left, int) and isinstance(right, int):
            self._refuse_growth(sign, left, right)
        elif sign == "*":
            self._repeat(left, right)
        elif sign == "+" and isinstance(left, _SEQUENCES) and isinstance(right, _SEQUENCES):
            (self.long if isinstance(left, _TEXTS) else self.many)(sum(map(len, both)))
        elif isinstance(left, _SETS) or isinstance(right, _SETS):
            # A view would go through whatever stands beside it.
            if not (isinstance(left, _SETS) and isinstance(right, _SETS)):
                raise TypeError
            for one in both:
                if isinstance(one, (set, frozenset, dict)):
                    self.spend(len(one))
                else:
                    self.weigh(one)
        return self.made(_OPERATIONS[sign](left, right))

    def _refuse_growth(self, sign: str, left: int, right: int) -> None:
        bits = 0
        if sign == "**" and right > 0 and abs(left) > 1:
            bits = (left.bit_length() - 1) * right
        elif sign == "<<" and left:
            bits = left.bit_length() + right
        if bits > MOST_BITS:
            raise Refused(f"an integer has more than {MOST_BITS:,} bits")

    def _repeat(self, left: Any, right: Any) -> None:
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, _SEQUENCES) and isinstance(times, int):
                (self.long if isinstance(sequence, _TEXTS) else self.many)(len(sequence) * times)

    def _printf(self, text: str | bytes, values: Any) -> Any:
        conversions = printf_arguments(text)
        self.long(len(text) + conversions * (_WIDEST + self.weigh(values)))
        return self.made(text % values)

    def compare(self, signs: tuple[str, ...], left: Any, *operands: Callable[[], Any]) -> Any:
        """A comparison, or a chain of them, whose later operands are evaluated when they are needed."""
        result: Any = True
        for sign, operand in zip(signs, operands, strict=True):
            right = operand()
            self._weigh_pair(sign, left, right)
            result = _OPERATIONS[sign](left, right)
            if not result:
                return result
            left = right
        return result

    def _weigh_pair(self, sign: str, left: Any, right: Any) -> None:
        self.spend(1)
        if "is" in sign:
            return
        if "in" in sign:
            self.look_up(left)
            if isinstance(right, (dict, set)):
                return
            if not isinstance(right, _SIZED):
                raise TypeError  # an iterator is used up by being looked into
            self.search(left, right)
        elif isinstance(left, (*_NESTED, *_TEXTS)) and isinstance(right, (*_NESTED, *_TEXTS)):
            self.weigh(left)
            self.weigh(right)

    def search(self, value: Any, members: Any) -> None:
        """Pay for comparing `value` with each of `members`."""
        if isinstance(value, _NESTED) or isinstance(members, _TEXTS):
            self.weigh(members)
            self.spend(len(members))
        else:
            length = len(value) if isinstance(value, _TEXTS) else 0
            self.spend(len(members) * (8 + length) // 64)

    def item(self, value: Any, key: Any) -> Any:
        """`value[key]`."""
        self.spend(1)
        found = value[self.key(key)]
        return self.made(found) if isinstance(key, slice) else found

    # Text

    def text(self, *parts: str) -> str:
        """The parts of an f-string as one text."""
        self.long(sum(map(len, parts)))
        return str(self.made("".join(parts)))

    def format(self, value: Any, conversion: int = -1, width: str = "") -> str:
        """`value` in an f-string; `conversion` is the code of the letter behind its `!`, or -1."""
        refuse_width(width)
        self.long(self.weigh(value))
        if conversion != -1:
            value = _CONVERSIONS[chr(conversion)](value)
        return str(self.made(format(value, width)))

    def formatted(self, template: str, values: tuple[Any, ...], named: dict[str, Any]) -> str:
        """`template.format(…)`."""
        return str(self.made(Formatter(self.format, self.long).vformat(template, values, named)))

    # Calls

    def call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """`function(…)`."""
        self.spend(1 + len(arguments) + len(named))
        for argument in arguments:
            self.look_up(argument)
        if self.depth == DEEPEST_CALL:
            raise Refused("it calls itself too deeply")
        self.depth += 1
        try:
            return function(*arguments, **named)
        finally:
            self.depth -= 1

    def attribute(self, value: Any, name: str) -> Any:
        """`value.name`: a method, bounded; of one of the types that have a name also without a value."""
        self.spend(1)
        for known, kind in _TYPES.items():
            if value is self._functions[known]:
                return functools.partial(self._of_type, kind, name)
        if name not in _methods.allowed(type(value)):
            raise AttributeError
        return functools.partial(_methods.invoke, self, value, name)

    def _of_type(self, kind: type, name: str, value: Any, *arguments: Any, **named: Any) -> Any:
        if not isinstance(value, kind) or name not in _methods.allowed(kind):
            raise TypeError
        return _methods.invoke(self, value, name, *arguments, **named)

    # Functions

    def _abs(self, value: Any) -> Any:
        return abs(value)

    def _all(self, iterable: Iterable[Any]) -> bool:
        return all(self.each(iterable))

    def _any(self, iterable: Iterable[Any]) -> bool:
        return any(self.each(iterable))

    def _bool(self, value: Any = False) -> bool:  # noqa: FBT002 - as Python's
        return bool(value)

    def _dict(self, pairs: Any = (), **named: Any) -> dict[Any, Any]:
        if not isinstance(pairs, dict):
            pairs = self.members(pairs)
            self.weigh(pairs)
            self.keys(pair[0] for pair in pairs if isinstance(pair, (list, tuple)) and pair)
        self.spend(len(pairs))
        return dict(pairs, **named)

    def _enumerate(self, iterable: Iterable[Any], start: int = 0) -> Iterator[tuple[int, Any]]:
        return enumerate(self.each(iterable), start)

    def _float(self, value: Any = 0.0) -> float:
        self.made(value)
        return float(value)

    def _int(self, value: Any = 0, *base: int) -> int:
        if isinstance(value, _TEXTS) and len(value) > MOST_DIGITS:
            raise Refused(f"an integer has more than {MOST_DIGITS:,} digits")
        return int(self.made(int(value, *base)))

    def _jsonpath(self, path: str, value: Any) -> Any:
        from evergrant import _core

        if len(path) > LONGEST_PATH:
            raise Refused(f"a path has more than {LONGEST_PATH:,} characters")
        left = self.left
        self.weigh(value)
        # Each `..` goes through all that is below whatever the one before it went through.
        self.spend((left - self.left) ** path.count(".."))
        return _core.jsonpath(path, value)

    def _len(self, value: Any) -> int:
        return len(value)

    def _list(self, iterable: Iterable[Any] = ()) -> list[Any]:
        return self.members(iterable)

    def _max(self, *values: Any, **named: Any) -> Any:
        members = self._to_compare(values)
        return max(members, **self.by_key(named, len(members)))

    def _min(self, *values: Any, **named: Any) -> Any:
        members = self._to_compare(values)
        return min(members, **self.by_key(named, len(members)))

    def _range(self, *bounds: int) -> range:
        found = range(*bounds)
        # The length of a huge one is no index.
        if found and abs(found[-1] - found[0]) // abs(found.step) >= MOST_MEMBERS:
            raise Refused(f"a range has more than {MOST_MEMBERS:,} members")
        return found

    def _reversed(self, sequence: Any) -> Iterator[Any]:
        found: Iterator[Any] = reversed(sequence)
        return found

    def _round(self, value: Any, digits: int | None = None) -> Any:
        if digits is not None and abs(digits) > MOST_ROUNDED:
            raise Refused(f"a number is rounded to more than {MOST_ROUNDED} digits")
        return round(value, digits)

    def _set(self, iterable: Iterable[Any] = ()) -> set[Any]:
        members = self.members(iterable)
        self.weigh(members)
        self.keys(members)
        return set(members)

    def _sorted(self, iterable: Iterable[Any], **named: Any) -> list[Any]:
        members = self.to_sort(iterable)
        return sorted(members, **self.by_key(named, len(members)))

    def _str(self, value: Any = "") -> str:
        return self.format(value)

    def _sum(self, iterable: Iterable[Any], start: Any = 0) -> Any:
        members = self.members(iterable)
        if isinstance(start, (int, float)) and all(isinstance(member, (int, float)) for member in members):
            return self.made(sum(members, start))
        if isinstance(start, _TEXTS):
            raise TypeError
        for member in members:
            start = self.binary("+", start, member)
        return start

    def _tuple(self, iterable: Iterable[Any] = ()) -> tuple[Any, ...]:
        return tuple(self.members(iterable))

    def _zip(self, *iterables: Iterable[Any], strict: bool = False) -> Iterator[tuple[Any, ...]]:
        return zip(*map(self.each, iterables), strict=strict)

    def _to_compare(self, values: tuple[Any, ...]) -> list[Any]:
        members = self.members(values[0] if len(values) == 1 else values)
        self.weigh(members)
        return members

    def by_key(self, named: dict[str, Any], members: int) -> dict[str, Any]:
        """Keyword arguments whose `key` pays for what it gives as often as that is compared."""
        key = named.get("key")
        if key is None:
            return named

        def paid(member: Any) -> Any:
            found, left = key(member), self.left
            self.weigh(found)
            self.spend((left - self.left) * members.bit_length())
            return found

        return {**named, "key": paid}

    def to_sort(self, iterable: Iterable[Any]) -> list[Any]:
        """The members of `iterable`, each paid for as often as sorting compares it."""
        members = self.members(iterable)
        for _ in range(len(members).bit_length()):
            self.weigh(members)
        return members
