"""The commands of actions: `run` and `actions`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from evergrant._api import Workspace
from evergrant.cli import _exit, _output
from evergrant.cli._options import common, pairs, verbs_of
from evergrant.exceptions import EvergrantError


@click.command()
@click.argument("action", metavar="ACTION")
@click.option("--input", "inputs", metavar="K=V", multiple=True, help="An input: JSON, or text; may be repeated.")
@click.option(
    "--inputs-file", metavar="F", type=click.File(), help="File with inputs, a mapping in JSON; `-` is stdin."
)
@common("connection", "workspace", "store", "json")
def run(
    action: str,
    *,
    inputs: tuple[str, ...],
    inputs_file: Any,
    connection: str,
    workspace: str | None,
    store: str | None,
    as_json: bool,
) -> int:
    """Run an action: a template by its name or its file, or a registered function."""
    from evergrant.actions import _library

    found = _library.find(action)
    given = _from_file(inputs_file)
    properties = found.inputs.get("properties", {})
    for name, text in (pairs("--input", inputs) or {}).items():
        given[name] = _value(properties.get(name, {"type": "string"}), text)
    verbs = verbs_of(workspace, store)
    try:
        result = _outcome(found, given, connection, verbs if isinstance(verbs, Workspace) else None)
    except EvergrantError:
        raise
    except Exception as error:  # noqa: BLE001 - a registered function may raise anything
        _exit.say("error", f"{type(error).__name__}: {error}")
        return _exit.FAILED
    _show(result, as_json=as_json)
    return _exit.DONE


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@common("json")
def actions(name: str | None, *, as_json: bool) -> None:
    """List the actions, or describe one."""
    from evergrant.actions import _library

    if name is not None:
        found = _library.find(name)
        if as_json:
            print(json.dumps(_described(found), indent=2))
        else:
            _output.action(found)
        return
    everything = _library.all_actions()
    if as_json:
        print(json.dumps([_described(one) for one in everything], indent=2))
    else:
        _output.actions(everything)


def _from_file(file: Any) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        given = json.load(file)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        message = "--inputs-file holds a mapping in JSON"
        raise click.UsageError(message)
    return given


def _value(schema: Mapping[str, Any], text: str) -> Any:
    """What an input's text means: text where the type is text, else JSON; what is no JSON is text, too.

    Where text is one of several types, only what JSON writes unlike any plain text is JSON: null, lists, mappings and
    text in quotes.
    """
    options = schema.get("anyOf", [schema])
    takes_text = any(not one or "enum" in one or one.get("type") == "string" for one in options)
    if len(options) == 1 and takes_text and schema:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    plain = takes_text and bool(schema) and isinstance(value, (bool, int, float))
    return text if plain else value


def _outcome(found: Any, inputs: dict[str, Any], connection: str, workspace: Workspace | None) -> Any:
    """Run it where it can be awaited, but for a function that is not: it may run an event loop of its own."""
    import evergrant

    modules: Any = evergrant
    action = found.name if getattr(found, "is_async", None) is not None else found
    if getattr(found, "is_async", None) is False:
        return modules.actions.run(action, inputs, workspace=workspace, connection=connection)

    async def outcome() -> Any:
        return await modules.aio.actions.run(action, inputs, workspace=workspace, connection=connection)

    return asyncio.run(outcome())


def _show(result: Any, *, as_json: bool) -> None:
    if as_json or not isinstance(result, str):
        print(json.dumps(result, indent=2))
    elif sys.stdout.isatty():
        print("\n".join(map(_exit.printable, result.splitlines())))
    else:
        print(result)


def _described(found: Any) -> dict[str, Any]:
    return {
        "name": found.name,
        "title": found.title,
        "description": found.description,
        "needs": [list(need) for need in found.needs],
        "hosts": list(getattr(found, "hosts", ())),
        "inputs": found.inputs,
    }
