"""The steps `core.transform.*`: each is a function of that name, called with the step's arguments."""

from __future__ import annotations

import json as _json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from evergrant.actions import _lambda
from evergrant.actions._values import as_json
from evergrant.exceptions import ActionError

_LEVELS: Final = 100  # of what is flattened, as Tracecat has it


def reshape(value: Any) -> Any:
    """`value` as it is."""
    return value


def apply(value: Any, python_lambda: str) -> Any:
    """What the lambda makes of `value`."""
    return _lambda.evaluate(python_lambda, value)


def filter(items: Any, python_lambda: str) -> list[Any]:  # noqa: A001 - the step's name
    """The items for which the lambda gives something true; of a mapping its keys, of a text its characters."""
    keep = _lambda.function(python_lambda)
    return [item for item in _members("items", items) if keep(item)]


def map(items: Any, python_lambda: str) -> list[Any]:  # noqa: A001 - the step's name
    """What the lambda makes of each item."""
    make = _lambda.function(python_lambda)
    found = [make(item) for item in _members("items", items)]
    return as_json(found, "what the lambda returned")  # type: ignore[no-any-return]


def is_in(items: Any, collection: Any, python_lambda: str | None = None) -> list[Any]:
    """The items that are in `collection`, or whose key, which the lambda makes of them, is."""
    return [item for item, found in _looked_up(items, collection, python_lambda) if found]


def not_in(items: Any, collection: Any, python_lambda: str | None = None) -> list[Any]:
    """The items that are not in `collection`, or whose key, which the lambda makes of them, is not."""
    return [item for item, found in _looked_up(items, collection, python_lambda) if not found]


def drop_nulls(items: Any) -> list[Any]:
    """The items that are not null."""
    return [item for item in _members("items", items) if item is not None]


def flatten_json(json: Any) -> dict[str, Any]:
    """A mapping, or its JSON text, with all its values on one level, by their paths: `{"a.b[0]": 1}`.

    An empty list or mapping inside of it leaves nothing.
    """
    return dict(_leaves(_mapping(json), "", _LEVELS))


def eval_jsonpaths(json: Any, jsonpaths: Any) -> dict[str, Any]:
    """What each JSONPath finds in a mapping, or in its JSON text, by its path; no match is null."""
    value = _mapping(json)
    return {path: _found("jsonpaths", path, value) for path in _members("jsonpaths", jsonpaths)}


def deduplicate(items: Any, keys: Any, expire_seconds: int = 3600, persist: bool = True) -> list[dict[str, Any]]:  # noqa: FBT001, FBT002 - the step's arguments
    """The mappings of `items` (one alone counts as a list), those with equal values at all `keys` merged into one.

    Args:
        items: Mappings; a later one's members win.
        keys: JSONPaths without their `$.`, which have to be there.
        expire_seconds: Has no effect without `persist`.
        persist: Whether to remember them across runs. There is nothing here to remember them in, so it has to be false.

    Raises:
        ActionError: A key is missing, or `persist` is not false.
    """
    del expire_seconds
    if not items:
        return []
    if persist:
        raise ActionError(
            "core.transform.deduplicate remembers nothing from one run to the next: write `persist: false`",
            code="action_argument",
        )
    found: dict[str, dict[str, Any]] = {}
    for item in [items] if isinstance(items, dict) else _members("items", items):
        if not isinstance(item, dict):
            raise ActionError(f"items: a mapping is needed, not {type(item).__name__}", code="action_argument")
        values = [_found("keys", f"$.{key}", item) for key in _members("keys", keys)]
        if None in values:
            raise ActionError("items: one of them lacks a key to deduplicate by", code="action_argument")
        found.setdefault(_json.dumps(values, sort_keys=True), {}).update(item)
    return list(found.values())


def _members(argument: str, value: Any) -> Iterable[Any]:
    if isinstance(value, (list, tuple, dict, str, set)):
        return value
    raise ActionError(f"{argument}: a list is needed, not {type(value).__name__}", code="action_argument")


def _found(argument: str, path: Any, value: Any) -> Any:
    from evergrant import _core

    try:
        return _core.jsonpath(path, value)
    except (TypeError, ValueError):
        pass  # the error quotes the path, which may have come out of a reply
    raise ActionError(f"{argument}: one of them is no path", code="action_argument")


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = _json.loads(value, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            value = None
    if isinstance(value, dict):
        return value
    raise ActionError("json: a mapping or its JSON text is needed", code="action_argument")


def _looked_up(items: Any, collection: Any, python_lambda: str | None) -> Iterator[tuple[Any, bool]]:
    key = _lambda.function(python_lambda) if python_lambda else reshape
    try:
        known = set(_members("collection", collection))
    except TypeError:
        known = None
    if known is None:
        raise ActionError("collection: its members are texts, numbers, booleans or null", code="action_argument")
    for item in _members("items", items):
        value = key(item)
        if isinstance(value, (list, dict, set, tuple)):
            raise ActionError(
                f"items: a {type(value).__name__} can't be looked up, only texts, numbers, booleans and null",
                code="action_argument",
            )
        yield item, value in known


def _refuse_constant(_name: str) -> Any:
    raise ValueError  # NaN and infinities are no JSON


def _leaves(value: Any, path: str, levels: int) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, (dict, list)):
        yield path, value
        return
    if levels == 0:
        raise ActionError(f"json: it has more than {_LEVELS} levels", code="action_argument")
    if isinstance(value, dict):
        parts = ((f"{path}.{name}" if path else str(name), member) for name, member in value.items())
    else:
        parts = ((f"{path}[{index}]", member) for index, member in enumerate(value))
    for inner, member in parts:
        yield from _leaves(member, inner, levels - 1)
