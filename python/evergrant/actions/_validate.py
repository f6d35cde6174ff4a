"""Looking at templates without running them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from evergrant import _core
from evergrant._types import Problem


def validate(path: str | os.PathLike[str]) -> list[Problem]:
    """What is wrong in an action template, or in those of a folder, with traps as warnings; runs nothing.

    Whatever the files hold, it is told and not raised. Steps may call each other's templates in a folder.

    Args:
        path: A file, or a folder whose `.yaml` and `.yml` files are looked at, at any depth.

    Returns:
        The problems by file, in the order of the lines.
    """
    return list(map(Problem, report([path])["problems"]))


def report(paths: Iterable[str | os.PathLike[str]]) -> dict[str, Any]:
    """What the core says of files and folders: `problems`, with excerpts, and `templates`, with what each needs."""
    from evergrant.actions import _library

    arguments = {
        "paths": [os.fspath(path) for path in paths],
        "actions": [action.name for action in _library.all_actions()],
    }
    answer: dict[str, Any] = _core.call("validate", arguments).wait()
    return answer
