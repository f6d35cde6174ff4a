"""What commands print: tables and details for people, JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import zip_longest
from typing import Any

from evergrant._types import Problem, Provider, Report, Status, duration
from evergrant.cli import _exit

NARROWEST = 30  # columns of a text beside its name

_STATES = {
    "connected": "32",
    "configured": "36",
    "not_configured": "2",
    "reauthorization_required": "31",
}


def as_json(value: Any) -> None:
    """The attributes of a result, or of several."""
    plain = [item.to_dict() for item in value] if isinstance(value, (list, tuple)) else value.to_dict()
    print(json.dumps(plain, indent=2))


def statuses(found: Sequence[Status]) -> None:
    """One line per connection."""
    if not found:
        print("nothing is configured", file=sys.stderr)
        _exit.suggest("evergrant providers")
        return
    _table(
        ("PROVIDER", "CONNECTION", "GRANT TYPE", "STATE", "ACCOUNT", "EXPIRES"),
        [
            (
                status.provider,
                status.connection,
                status.grant_type or "-",
                status.state,
                status.account or "-",
                _moment(status.expires_at),
            )
            for status in found
        ],
        colours={3: _STATES},
    )
    for status in found:
        _exit.suggest(status.hint)


def status(found: Status) -> None:
    """All that is known of a connection."""
    state = _exit.paint(found.state, _STATES.get(found.state, "0"), sys.stdout)
    account = f" as {found.account}" if found.account else ""
    print(f"{_exit.printable(f'{found.provider}/{found.connection}')}: {state}{_exit.printable(account)}")
    _details(
        ("grant type", found.grant_type),
        ("client id", found.client_id),
        ("redirect URI", found.redirect_uri),
        ("requested scopes", " ".join(found.requested_scopes)),
        ("granted scopes", " ".join(found.granted_scopes)),
        ("missing scopes", " ".join(found.missing_scopes)),
        ("expires", _moment(found.expires_at) if found.expires_at else None),
        ("refreshed", _moment(found.refreshed_at) if found.refreshed_at else None),
        ("last error", found.last_error),
        ("reason", found.reason),
    )
    _exit.suggest(found.hint)


def report(found: Report) -> int:
    """What was done, step by step; the exit code says whether it worked."""
    for step in found.steps:
        mark = _exit.paint("ok    ", "32", sys.stdout) if step.ok else _exit.paint("failed", "31", sys.stdout)
        text = f"{step.what}: {step.detail}" if step.detail else step.what
        print(f"{mark}  {_exit.printable(text)}")
    if not found.ok and found.reason:
        _exit.say("error", found.reason)
    _exit.suggest(found.hint)
    return code_of(found)


def code_of(found: Report) -> int:
    """The exit code of a report."""
    return _exit.DONE if found.ok else _exit.FAILED


def providers(found: Iterable[Provider]) -> None:
    """One line per provider."""
    _table(
        ("ID", "NAME", "GRANT TYPES", "CATEGORY"),
        [(one.id, one.name, ", ".join(one.grant_types), one.category or "-") for one in found],
    )


def provider(found: Provider) -> None:
    """What somebody needs to know to configure a provider."""
    print(_exit.printable(f"{found.id}: {found.name}"))
    if found.summary:
        print(_exit.printable(found.summary))
    _details(
        ("aliases", " ".join(found.aliases)),
        ("category", found.category),
        ("API hosts", " ".join(found.api_hosts)),
        *((f"{name} page", link) for name, link in found.links.items()),
    )
    for name, parameter in found.parameters.items():
        _heading(f"parameter {name}")
        _details(*((field, _word(value)) for field, value in parameter.items()))
    for grant_type in found.grant_types:
        user = grant_type == "authorization_code"
        _heading(f"{grant_type}: for {'a user' if user else 'the application itself'}")
        _details(
            ("base scopes", " ".join(found.base_scopes(grant_type))),
            ("redirect URI", found.redirect_uri if user else None),
        )
        _block("further scopes, for --scope:", found.suggested_scopes(grant_type))
        steps = enumerate(found.setup(grant_type), 1)
        _block("to register a client:", {f"{number}.": step for number, step in steps})


def actions(found: Iterable[Any]) -> None:
    """One line per action."""
    rows = [(one.name, one.title, ", ".join(dict.fromkeys(need[0] for need in one.needs)) or "-") for one in found]
    if not rows:
        print("there are no actions", file=sys.stderr)
        return
    _table(("NAME", "TITLE", "NEEDS"), rows)


def action(found: Any) -> None:
    """What somebody needs to know to run an action."""
    print(_exit.printable(f"{found.name}: {found.title}"))
    for line in found.description.splitlines():
        print(_exit.printable(line))
    _details(
        ("needs", "; ".join(_need(*need) for need in found.needs)),
        ("secrets", " ".join(getattr(found, "secrets", ()))),
        ("API hosts", " ".join(getattr(found, "hosts", ()))),
    )
    required = found.inputs.get("required", ())
    for name, schema in found.inputs.get("properties", {}).items():
        _heading(f"input {name}")
        default = "required" if name in required else f"{json.dumps(schema.get('default'))} unless given"
        _details(("type", _type(schema)), ("value", default), ("what", schema.get("description")))


def _need(provider: str, grant_type: str | None, optional: bool) -> str:  # noqa: FBT001 - a row of `needs`
    words = [*([grant_type] if grant_type else []), *(["optional"] if optional else [])]
    return f"{provider} ({', '.join(words)})" if words else provider


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in words."""
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")


def problems(found: Iterable[Problem], excerpts: Iterable[str | None] = ()) -> None:
    """One line per problem, as compilers print them, and below it the lines of the file that it has an excerpt of."""
    for problem, excerpt in zip_longest(found, excerpts):
        place = ":".join(str(part) for part in (problem.path, problem.line, problem.column) if part is not None)
        label = _exit.paint(problem.severity, "31" if problem.severity == "error" else "33", sys.stdout)
        print(f"{_exit.printable(place)}: {label}: {_exit.printable(problem.message)}")
        for line in excerpt.split("\n") if excerpt else ():
            print(f"    {_exit.printable(line.expandtabs(1))}")
        if problem.hint:
            print(f"  {_exit.printable(problem.hint)}")


def templates(found: Sequence[Mapping[str, Any]], problems: Sequence[Problem]) -> None:
    """How many templates and problems there are, and the tokens and hosts that the templates need together."""
    severities = [problem.severity for problem in problems]
    counts = [_count(severities.count(severity), severity) for severity in ("error", "warning")]
    print(", ".join([_count(len(found), "template"), *counts]))
    tokens: dict[tuple[str, str], dict[str, Any]] = {}
    for template in found:
        for token in template["needs"]:
            known = tokens.setdefault((token["provider"], token["grant_type"]), dict(token))
            known["optional"] = known["optional"] and token["optional"]
    for (provider, grant_type), token in sorted(tokens.items()):
        optional = ", optional" if token["optional"] else ""
        scopes = ": " + " ".join(token["scopes"]) if token["scopes"] else ""
        print(_exit.printable(f"needs {provider} ({grant_type}{optional}){scopes}"))
    for host in sorted({host for template in found for host in template["hosts"]}):
        print(_exit.printable(f"asks {host}"))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: dict[int, dict[str, str]] | None = None,
) -> None:
    rows = [[_exit.printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    print(_exit.paint(_line(heads, widths), "1", sys.stdout))
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        for column, palette in (colours or {}).items():
            cells[column] = _exit.paint(cells[column], palette.get(row[column], "0"), sys.stdout)
        print("  ".join(cells).rstrip())


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _details(*pairs: tuple[str, str | None]) -> None:
    shown = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"  {name.ljust(width)}  {_exit.printable(value)}")


def _heading(text: str) -> None:
    print("\n" + _exit.paint(_exit.printable(text), "1", sys.stdout))


def _block(title: str, rows: Mapping[str, str]) -> None:
    """Aligned names with their texts, which are broken to the width of a terminal."""
    if not rows:
        return
    print(f"  {title}")
    width = max(map(len, rows))
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for name, text in rows.items():
        first = f"    {_exit.printable(name).ljust(width)}  "
        room = max(columns - len(first), NARROWEST)
        print(first + f"\n{' ' * len(first)}".join(textwrap.wrap(_exit.printable(text), room)))


def _word(value: Any) -> str | None:
    """A field of a parameter in a word; `None` where there is nothing to say."""
    if isinstance(value, (dict, list)):
        return ", ".join(value) or None
    if isinstance(value, bool):
        return "yes" if value else None
    return value and str(value)


def _moment(at: datetime | None) -> str:
    if at is None:
        return "-"
    seconds = (at - datetime.now(timezone.utc)).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"
