"""Provider files that installed packages bring: the entry points of the group `evergrant.providers`.

An entry point names a package whose folder holds the files, a path of a folder, or a function that gives either.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, cast

GROUP = "evergrant.providers"


def provider_folders() -> list[str]:
    """The folders that they name. One that can't be loaded is a `RuntimeWarning` that names it, and is left out."""
    named = sorted(entry_points(group=GROUP), key=lambda entry_point: entry_point.name)
    return [folder for entry_point in named if (folder := _folder(entry_point)) is not None]


def _folder(entry_point: EntryPoint) -> str | None:
    try:
        folder = _path(entry_point.load())
        Path(folder).stat()
    except Exception as error:  # noqa: BLE001 - it runs code of any package
        warnings.warn(
            f"the entry point {entry_point.name} = {entry_point.value!r} of {GROUP} brings no provider files: "
            f"{type(error).__name__}: {error}",
            RuntimeWarning,
            stacklevel=3,
        )
        return None
    return folder


def _path(named: Any) -> str:
    if callable(named):
        named = named()
    if not isinstance(named, ModuleType):
        return os.fspath(cast("str", named))
    if not getattr(named, "__path__", None):
        message = f"{named.__name__} is a module, not a package: it has no folder of its own"
        raise TypeError(message)
    return str(named.__path__[0])
