"""Formatting in the lambdas of templates: what a width or a repeated field could blow up is refused."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

_WIDE: Final = re.compile(r"\d{4}")
_PRINTF: Final = re.compile(r"%(?:\([^()]*\))?([^%a-zA-Z(]*)([%a-zA-Z(])")


class Refused(Exception):
    """A bound was reached; the message holds no value."""


def refuse_width(width: str) -> None:
    """Refuse a format with a width or a precision of four digits and more."""
    if _WIDE.search(width):
        raise Refused("a width has more than 3 digits")


def printf_arguments(template: str | bytes) -> int:
    """How many values `template % values` puts in; refuses a width that is not small, and a key with a parenthesis."""
    text = template if isinstance(template, str) else template.decode("latin-1")
    found = _PRINTF.findall(text)
    for flags, letter in found:
        if letter == "(" or "*" in flags:
            raise Refused("a `%` has a width of its own and a key without parentheses")
        refuse_width(flags)
    return len(found)


class Formatter(string.Formatter):
    """`str.format` without attributes and wide fields.

    Args:
        field: Formats a value: the value, the code of a conversion or -1, its format.
        long: Refuses a length.
    """

    def __init__(self, field: Callable[[Any, int, str], str], long: Callable[[int], None]) -> None:
        self._field = field
        self._long = long
        self._length = 0

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        """The value of a field, which may be an index or a key away."""
        if "." in field_name.partition("[")[0] or "]." in field_name:
            raise Refused("a format has no `.`")
        found: tuple[Any, Any] = super().get_field(field_name, args, kwargs)
        return found

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        """`value` as `!r`, `!s` or `!a` have it."""
        return value if conversion is None else self._field(value, ord(conversion), "")

    def format_field(self, value: Any, format_spec: str) -> str:
        """`value` as text, counted with those before it."""
        text = self._field(value, -1, format_spec)
        self._length += len(text)
        self._long(self._length)
        return text
