"""`evergrant token ID`, answered without click: a token in a script should cost little more than an interpreter."""

import evergrant
from evergrant import _core
from evergrant.cli import _exit
from evergrant.exceptions import EvergrantError

_FLAGS = ("header", "json")
_VALUES = ("connection", "grant_type", "min_ttl", "scope", "store", "workspace")


def answer(arguments: "list[str]") -> "int | None":
    """Run the command and return its exit code; `None`, and nothing done, for anything but plain usage."""
    words: "list[str]" = []
    given: "dict[str, str]" = {}
    scopes: "list[str]" = []
    rest = iter(arguments)
    for word in rest:
        if not word.startswith("-"):
            words.append(word)
            continue
        option, equals, joined = word.partition("=")
        name = option[2:].replace("-", "_")
        if name in _FLAGS and option.startswith("--") and not equals:
            given[name] = "yes"
        elif name in _VALUES and option.startswith("--"):
            value = joined if equals else next(rest, None)
            if value is None or (value.startswith("-") and not equals):
                return None
            if name == "scope":
                scopes.append(value)
            given[name] = value
        else:
            return None
    try:
        min_ttl = float(given["min_ttl"]) if "min_ttl" in given else None
    except ValueError:
        return None
    if len(words) != 1:
        return None
    try:
        return show(
            words[0],
            workspace=given.get("workspace"),
            store=given.get("store"),
            grant_type=given.get("grant_type"),
            connection=given.get("connection", "default"),
            scopes=scopes or None,
            min_ttl=min_ttl,
            header="header" in given,
            as_json="json" in given,
        )
    except EvergrantError as error:
        return _exit.fail(error)
    except BrokenPipeError:
        return _exit.leave_broken_pipe()
    except KeyboardInterrupt:
        return _exit.INTERRUPTED


def show(
    provider: "str",
    *,
    workspace: "str | None",
    store: "str | None",
    grant_type: "str | None",
    connection: "str",
    scopes: "list[str] | None",
    min_ttl: "float | None",
    header: "bool",
    as_json: "bool",
) -> "int":
    """Print a token to standard output: alone, as a header, or with its attributes."""
    named = workspace is not None or store is not None
    get_token = _core.Workspace(workspace, store).get_token if named else _core.get_token
    token = get_token(provider, grant_type=grant_type, connection=connection, scopes=scopes, min_ttl=min_ttl)
    if as_json:
        text = _json(token)
    elif header:
        text = f"Authorization: {token.token_type} {token}"
    else:
        text = str(token)
    print(text, flush=True)
    return _exit.DONE


def _json(token: "evergrant.AccessToken") -> "str":
    import json

    expires_at = token.expires_at
    return json.dumps(
        {
            "access_token": str(token),
            "token_type": token.token_type,
            "expires_at": expires_at.isoformat().replace("+00:00", "Z") if expires_at else None,
            "expires_in": token.expires_in,
            "scopes": token.scopes,
            "resource": token.resource,
            "workspace": token.workspace,
            "provider": token.provider,
            "grant_type": token.grant_type,
            "connection": token.connection,
            "extra": dict(token.extra),
        },
        indent=2,
    )
