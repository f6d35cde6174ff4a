"""What a behaviour is: a name, the requests that it acts on, and what it does to one of them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from evergrant.testing.state import Exchange


class Waiting(Protocol):
    """The part of a server that a behaviour may use."""

    def hold(self, seconds: float | None) -> None:
        """Wait so long, or until `release`."""

    def expire(self, access_token: str) -> None:
        """End an access token."""


Act = Callable[..., None]


@dataclass(frozen=True)
class Behaviour:
    """Something that servers do.

    Args:
        name: Its name.
        endpoint: The requests that it acts on.
        after: Whether the server has acted by then.
        act: What it does, with its options as keywords.
        description: One line.
    """

    name: str
    endpoint: str
    after: bool
    act: Act
    description: str


@dataclass(frozen=True)
class Chosen:
    """A behaviour with its options."""

    behaviour: Behaviour
    endpoint: str
    options: dict[str, Any]

    def act(self, server: Waiting, exchange: Exchange) -> None:
        """Do it."""
        self.behaviour.act(server, exchange, **self.options)


BEHAVIOURS: dict[str, Behaviour] = {}
"""Every behaviour by its name."""


def choose(name: str, endpoint: str | None = None, **options: Any) -> Chosen:
    """A behaviour with options.

    Raises:
        ValueError: There is none of this name.
        TypeError: It has no such option.
    """
    found = BEHAVIOURS.get(name)
    if found is None:
        nearest = difflib.get_close_matches(name, BEHAVIOURS, 1)
        raise ValueError(f"no behaviour {name!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else ""))
    inspect.signature(found.act).bind(None, None, **options)
    return Chosen(found, endpoint or found.endpoint, options)


def behaviour(name: str, endpoint: str = "token", *, after: bool = False) -> Callable[[Act], Act]:
    """Register what a function does, under a name; its docstring is the description."""

    def register(act: Act) -> Act:
        BEHAVIOURS[name] = Behaviour(name, endpoint, after, act, inspect.getdoc(act) or "")
        return act

    return register
