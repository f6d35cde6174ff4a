"""Which actions there are: functions that were registered, and templates in folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from evergrant import actions
from evergrant.actions import _udf
from evergrant.exceptions import ActionError, TemplateError

LIBRARY: Final = Path(__file__).with_name("library")
"""The folder of the templates that come with evergrant."""

_SUFFIXES: Final = (".yaml", ".yml")
_templates: Final[Any] = actions  # `load` and what it returns


def find(action: str) -> Any:
    """The action of this name, a template or a function, or the template in this file.

    Raises:
        ActionError: There is none; the error names the nearest. Or what an entry point names can't be loaded.
        TemplateError: The file is no template.
    """
    if os.sep in action or action.endswith(_SUFFIXES):
        return _templates.load(action)
    found = _udf.registered(action)
    if found is not None:
        return found
    known = {one.name: one for one in all_actions()}
    if action in known:
        return known[action]
    import difflib

    near = difflib.get_close_matches(action, known, 1)
    raise ActionError(
        f"there is no action {action}" + (f"; did you mean {near[0]}?" if near else ""),
        code="unknown_action",
        hint=f"evergrant actions {near[0]}" if near else "evergrant actions",
    )


def all_actions() -> list[Any]:
    """All actions by name; of templates with one name the first in the order of their folders.

    A file that is no template is passed over: `evergrant validate` says what is wrong with it.
    """
    found: dict[str, Any] = {}
    for folder in folders():
        for template in _templates_in(folder):
            found.setdefault(template.name, template)
    # Last: what entry points name registers functions when it is loaded.
    found.update({one.name: one for one in _udf.all_registered()})
    return [found[name] for name in sorted(found)]


def folders() -> list[Path]:
    """Where templates are looked for: the folders of `EVERGRANT_ACTIONS`, the library, those of installed packages."""
    return [*own_folders(), *installed_folders()]


def own_folders() -> list[Path]:
    """The folders of `EVERGRANT_ACTIONS`, and the library."""
    named = [Path(name) for name in os.environ.get("EVERGRANT_ACTIONS", "").split(os.pathsep) if name]
    return [*named, LIBRARY]


def installed_folders() -> Iterator[Path]:
    """The folders of installed packages.

    An entry point of the group `evergrant.actions` names a package (whose folder is meant), a module (which registers
    functions when it is loaded), or a path.
    """
    for entry in entry_points("evergrant.actions"):
        try:
            found = entry.load()
        except Exception as error:
            what = f"the entry point {entry.name} of evergrant.actions, {entry.value}"
            reason = f"{what}, can't be loaded: {type(error).__name__}"
            raise ActionError(reason, code="entry_point_broken") from error
        if isinstance(found, (str, os.PathLike)):
            yield Path(found)
        else:
            yield from map(Path, getattr(found, "__path__", ()))


def entry_points(group: str) -> Iterable[Any]:
    """The entry points of a group: finding them takes a while, so they are imported when they are asked for."""
    from importlib import metadata

    return metadata.entry_points(group=group)


def _templates_in(folder: Path) -> Iterator[Any]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file():
            try:
                yield _templates.load(path)
            except TemplateError:
                continue
