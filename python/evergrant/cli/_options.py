"""The options that commands share, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from evergrant._api import Verbs, Workspace, default

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "workspace": click.option("--workspace", metavar="NAME", help="Workspace; by default EVERGRANT_WORKSPACE."),
    "store": click.option("--store", metavar="STORE", help="Path of the store; by default EVERGRANT_STORE."),
    "json": click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    "grant_type": click.option(
        "--grant-type",
        metavar="GRANT",
        type=click.Choice(["authorization_code", "client_credentials"]),
        help="authorization_code or client_credentials; by default the only configured one.",
    ),
    "connection": click.option(
        "--connection", metavar="NAME", default="default", show_default=True, help="Name of the connection."
    ),
}


def common(*names: str) -> Callable[[F], F]:
    """Add the options of these names, which every command spells alike."""

    def decorator(function: F) -> F:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return decorator


def verbs_of(workspace: str | None, store: str | None) -> Verbs:
    """The verbs on the workspace that two options name."""
    return default if workspace is None and store is None else Workspace(workspace, store=store)


def pairs(option: str, words: tuple[str, ...]) -> dict[str, str] | None:
    """The names and values of an option that is given as `NAME=VALUE`; `None` if it is not given."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            message = f"{option} takes NAME=VALUE, not {word!r}"
            raise click.UsageError(message)
        found[name] = value
    return found or None
