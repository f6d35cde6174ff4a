"""What passes between the steps of an action: values of JSON's kinds, made from Python's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any, Final
from uuid import UUID

from evergrant.exceptions import ActionError

DEEPEST: Final = 150
"""Lists and mappings inside of each other."""
MOST_MEMBERS: Final = 1 << 20
"""Members of all lists and mappings together; one that stands in two places counts twice."""

_MICROSECOND: Final = timedelta(microseconds=1)


def as_json(value: Any, what: str) -> Any:
    """`value` as JSON keeps it.

    Tuples become lists, keys text, dates, times and durations ISO text (UTC with a `Z`), dataclasses and models of
    pydantic mappings, members of an enumeration their values, infinities and NaN `None`, and integers beyond 64 bits
    floats.

    Args:
        value: What a function, a lambda or a script returned.
        what: Where it came from, for the error: `the result of tools.acme.list_files`.

    Raises:
        ActionError: It holds something that JSON can't: a set, bytes, an object of another class, itself.
    """
    return _Conversion(what).convert(value, 0)


class _Conversion:
    """One walk, which counts what it visits."""

    __slots__ = ("left", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.left = MOST_MEMBERS

    def convert(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return self.convert(value.value, depth)
        if isinstance(value, int):
            return _integer(int(value))
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (list, tuple)):
            self.enter(len(value), depth)
            return [self.convert(item, depth + 1) for item in value]
        if isinstance(value, Mapping):
            self.enter(len(value), depth)
            return {self.text(str(key)): self.convert(item, depth + 1) for key, item in value.items()}
        self.enter(1, depth)
        return self.convert(self.plain(value), depth + 1)

    def plain(self, value: Any) -> Any:
        """What stands for an object of a class that JSON doesn't know."""
        if isinstance(value, (date, time)):
            return moment(value)
        if isinstance(value, timedelta):
            return duration(value)
        if isinstance(value, UUID):
            return str(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        dump = getattr(type(value), "model_dump", None)
        if dump is not None:
            return dump(value, mode="json")
        raise ActionError(f"{self.what} holds {_kind(value)}, which JSON can't hold", code="not_json")

    def text(self, value: str) -> str:
        text = str.__str__(value)
        # Text that stands in many places is one text here, and many in JSON.
        self.pay(len(text) // 64, 0)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise ActionError(f"{self.what} holds text that is no Unicode", code="not_json") from None
        return text

    def enter(self, members: int, depth: int) -> None:
        self.pay(members, depth)

    def pay(self, members: int, depth: int) -> None:
        self.left -= members
        if depth >= DEEPEST or self.left < 0:
            limit = f"{DEEPEST} levels" if depth >= DEEPEST else f"{MOST_MEMBERS:,} members"
            raise ActionError(f"{self.what} has more than {limit}", code="not_json")


def moment(value: date | time) -> str:
    """A date, a time or both as ISO text; UTC is written `Z`."""
    text = value.isoformat()
    if isinstance(value, (datetime, time)) and value.utcoffset() == timedelta(0):
        return text.removesuffix("+00:00") + "Z"
    return text


def duration(value: timedelta) -> str:
    """A duration as ISO text: `P1DT2H3M4S`, `PT1.5S`, `-PT5S`."""
    minutes, microseconds = divmod(abs(value) // _MICROSECOND, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    seconds = f"{microseconds / 1_000_000:.6f}".rstrip("0").rstrip(".")
    clock = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    clock += "" if seconds == "0" and (clock or days) else f"{seconds}S"
    return ("-" if value < timedelta(0) else "") + "P" + (f"{days}D" if days else "") + (f"T{clock}" if clock else "")


def _integer(value: int) -> int | float | None:
    if -(1 << 63) <= value < 1 << 64:
        return value
    try:
        return float(value)
    except OverflowError:
        return None


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"an object of {name}" if name[:1].isupper() else f"a {name}"
