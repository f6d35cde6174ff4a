"""How a command fails: the exit code of each error, and the lines that say it."""

import os
import sys

from evergrant import exceptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


DONE = 0
FAILED = 1
USAGE = 2
NOT_CONFIGURED = 3
NEEDS_A_PERSON = 4
UNAVAILABLE = 5
STORE = 6
# As a shell reports a process that SIGINT ended.
INTERRUPTED = 130

_CODES = (
    (
        (
            exceptions.UnknownProvider,
            exceptions.InvalidScope,
            exceptions.InvalidParameter,
            exceptions.AmbiguousGrant,
        ),
        USAGE,
    ),
    ((exceptions.NotConfigured,), NOT_CONFIGURED),
    (
        (
            exceptions.NotConnected,
            exceptions.MissingScopes,
            exceptions.ConnectDenied,
            exceptions.ConnectTimeout,
        ),
        NEEDS_A_PERSON,
    ),
    ((exceptions.ProviderUnavailable,), UNAVAILABLE),
    ((exceptions.StoreError, exceptions.VaultLocked, exceptions.WrongKey), STORE),
)


def code_of(error: "exceptions.EvergrantError") -> "int":
    """The exit code of an error."""
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return code
    return FAILED


def fail(error: "exceptions.EvergrantError") -> "int":
    """Say what went wrong and what to do next, and return the exit code."""
    say("error", error.reason or type(error).__name__)
    suggest(error.hint)
    return code_of(error)


def suggest(hint: "str | None") -> None:
    """Show the next commands, one per line."""
    for command in (hint or "").splitlines():
        say("hint", command)


def say(label: "str", text: "str") -> None:
    """Write a labelled line to standard error."""
    colour = {"error": "1;31", "hint": "1;36"}[label]
    print(f"{paint(f'{label}:', colour, sys.stderr)} {printable(text)}", file=sys.stderr)


def printable(text: "str") -> "str":
    """`text` without what could steer a terminal: control, escape and bidi characters become `\ufffd`."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)


def paint(text: "str", code: "str", stream: "TextIO") -> "str":
    """`text` in the colour of an ANSI `code`, on a terminal whose user did not refuse it (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


def leave_broken_pipe() -> "int":
    """The reader went away: let the interpreter's last flush go nowhere, and fail quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
