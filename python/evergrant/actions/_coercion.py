"""Bringing a value to a plain type, leniently: what the inputs of templates and of functions have in common."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from typing import Any, Final


class Fit(IntEnum):
    """How well a value fits its type: a union takes the type that fits best, of equals the first."""

    COERCED = 0
    WIDER = 1
    EXACT = 2


class Mismatch(Exception):
    """A value is not of its type.

    Attributes:
        path: Where in the value: `[0].name`; empty for the value itself.
        message: What is wrong; it holds no value.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


def plain(kind: type, value: Any) -> tuple[Any, Fit]:
    """`value` as one of the types of `PLAIN`, and how well it fits.

    Raises:
        Mismatch: It can't be one.
    """
    if type(value) is kind:
        return value, Fit.EXACT
    if kind is float and type(value) is int:
        coerced, fit = _float(value), Fit.WIDER
    else:
        coerced, fit = PLAIN[kind](value), Fit.COERCED
    if coerced is None:
        raise Mismatch(f"{NAMES[kind]} is needed, not {named(value)}")
    return coerced, fit


def named(value: Any) -> str:
    """The kind of a value in words."""
    if value is None:
        return "None"
    return _KINDS.get(type(value), f"an object of {type(value).__name__}")


NAMES: Final[dict[type, str]] = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    datetime: "a date and time",
    timedelta: "a duration",
}
_KINDS: Final[dict[type, str]] = {**NAMES, float: "a float", list: "a list", tuple: "a list", dict: "a mapping"}

_MOST_DIGITS: Final = 4300
_INTEGER: Final = re.compile(r"([-+]?\d+(?:_\d+)*)(?:\.0+)?")
_NUMBER: Final = re.compile(r"[-+]?\d+(?:\.\d+)?")
_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt _](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:([Zz])|([-+])(\d\d):?(\d\d))?)?",
    re.ASCII,
)
_ISO_DURATION: Final = re.compile(
    r"([-+]?)P" + "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in "YMWD")
    + "(?:T" + "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in "HMS") + ")?",
    re.ASCII,
)  # fmt: skip
_CLOCK: Final = re.compile(
    r"([-+]?)(?:(\d+) ?d(?:ays?)?,? ?)?(?:(\d{1,2}):(\d\d):(\d\d(?:\.\d{1,6})?))?",
    re.ASCII,
)
_DAY: Final = 86_400.0
# From here on a number is milliseconds since 1970, not seconds.
_FIRST_MILLISECONDS: Final = 2e10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_WORDS: Final = {
    **dict.fromkeys(("true", "yes", "on", "t", "y", "1"), True),
    **dict.fromkeys(("false", "no", "off", "f", "n", "0"), False),
}


def _text(value: Any) -> str | None:
    return str.__str__(value) if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and len(value) <= _MOST_DIGITS:
        found = _INTEGER.fullmatch(value.strip())
        return int(found[1]) if found else None
    return None


def _float(value: Any) -> float | None:
    if not isinstance(value, (int, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, (int, float)):
        return bool(value) if value in {0, 1} else None
    return _WORDS.get(value.lower()) if isinstance(value, str) else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return _moment_of_text(value)
        value = _float(value)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    seconds = value / 1000 if abs(value) > _FIRST_MILLISECONDS else value
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _moment_of_text(text: str) -> datetime | None:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, utc, sign, hours, minutes = found.groups()
    zone = timezone.utc if utc else None
    try:
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(-offset if sign == "-" else offset)
        clock = (int(hour or 0), int(minute or 0), int(second or 0), int(f"{fraction or '':0<6.6}"))
        return datetime(int(year), int(month), int(day), *clock, tzinfo=zone)
    except ValueError:
        return None


def _duration(value: Any) -> timedelta | None:
    if isinstance(value, timedelta):
        return value
    seconds: float | None = None
    if isinstance(value, str):
        seconds = _seconds_of_text(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value
    try:
        return None if seconds is None else timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None


def _seconds_of_text(text: str) -> float | None:
    units = [365 * _DAY, 30 * _DAY, 7 * _DAY, _DAY, 3600.0, 60.0, 1.0]
    found = _ISO_DURATION.fullmatch(text)
    if found is None:
        units = units[3:]
        found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    parts = [float(part) * unit for unit, part in zip(units, found.groups()[1:], strict=True) if part]
    return (-sum(parts) if found[1] == "-" else sum(parts)) if parts else None


PLAIN: Final[dict[type, Callable[[Any], Any]]] = {
    str: _text,
    int: _integer,
    float: _float,
    bool: _boolean,
    datetime: _moment,
    timedelta: _duration,
}
"""The plain types."""
