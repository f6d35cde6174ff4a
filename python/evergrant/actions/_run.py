"""Runs actions: the core does the work, and asks here for what only Python can do."""

from __future__ import annotations

import inspect
import os
from types import ModuleType
from typing import TYPE_CHECKING, Any

from evergrant import _bridge, _core, actions
from evergrant.exceptions import ActionError, TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from evergrant import Workspace, aio


def load(path: str | PathLike[str]) -> _core.Template:
    """Read an action template.

    Args:
        path: Its YAML file.

    Returns:
        The template with `name`, `title`, `description`, `inputs` (JSON Schema), `needs` (provider, grant type, whether
        it is optional) and `hosts`.

    Raises:
        TemplateError: The file can't be read, or is no template; it names line and column.
    """
    return _core.Template.load(path)


def run(
    action: _core.Template | str | PathLike[str],
    inputs: Mapping[str, Any] | None = None,
    *,
    workspace: Workspace | None = None,
    connection: str = "default",
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    variables: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    timeout: float | None = None,
) -> Any:
    """Run an action.

    A reply may have 64 MiB, and a request may take its own `timeout` (10 s of silence unless the step says otherwise)
    and five minutes. A token that ended is refreshed between two steps; one that an API refuses is replaced, and the
    request sent once more if that changes nothing (GET, HEAD, OPTIONS).

    Args:
        action: A template, the path of one, or a name: of a template in the folders of `EVERGRANT_ACTIONS`, in the
            package's library or under an entry point `evergrant.actions`, or of a function registered with
            `@evergrant.action`.
        inputs: What it is given, by name; checked before anything runs.
        workspace: Whose tokens it may use; by default the default workspace.
        connection: The name of the connection whose tokens it uses.
        secrets: Ordinary secrets, by name and key; they win over those of `evergrant.yaml`.
        variables: What `VARS` shows, over those of `evergrant.yaml`.
        environment: What `ENV` shows.
        timeout: Seconds that all of it may take; by default each request has its own bounds.

    Returns:
        What the template returns, with secrets masked.

    Raises:
        TemplateError: The template is wrong, or an expression in it fails.
        ActionError: The inputs are wrong, a server answered with an error, or a token would have gone where it may not.
        NotConnected: None of the tokens that it could use is there; the hint names the choices.
    """
    registered = _function(action)
    if registered is not None:
        return _awaited_by_nobody(registered(dict(inputs or {})))
    running = _begin(action, inputs, workspace, connection, secrets, variables, environment, timeout)
    answer, failed = None, None
    while True:
        kind, name, value = running.advance(answer, failed=failed).wait()
        if kind == "done":
            return value
        answer, failed = _answer(kind, name, value)
        answer = _awaited_by_nobody(answer)


async def run_async(
    action: _core.Template | str | PathLike[str],
    inputs: Mapping[str, Any] | None = None,
    *,
    workspace: Workspace | aio.Workspace | None = None,
    connection: str = "default",
    secrets: Mapping[str, Mapping[str, str]] | None = None,
    variables: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    timeout: float | None = None,
) -> Any:
    """Asynchronous version of `evergrant.actions.run`; what it calls of yours runs on the event loop."""
    registered = _function(action)
    if registered is not None:
        return await _awaited(registered(dict(inputs or {})))
    running = _begin(action, inputs, workspace, connection, secrets, variables, environment, timeout)
    answer, failed = None, None
    while True:
        kind, name, value = await _bridge.outcome(running.advance(answer, failed=failed))
        if kind == "done":
            return value
        answer, failed = await _answer_async(kind, name, value)


def find(action: _core.Template | str | PathLike[str]) -> _core.Template:
    """The template that is meant by itself, its path or its name."""
    if isinstance(action, _core.Template):
        return action
    if not isinstance(action, str) or _is_path(action):
        return _core.Template.load(action)
    for folders in (_folders(), _installed()):
        found = _core.Template.find(action, folders)
        if found is not None:
            return found
    message = f"there is no action {action}"
    raise ActionError(message, code="unknown_action", hint="evergrant actions")


def _begin(
    action: _core.Template | str | PathLike[str],
    inputs: Mapping[str, Any] | None,
    workspace: Workspace | aio.Workspace | None,
    connection: str,
    secrets: Mapping[str, Mapping[str, str]] | None,
    variables: Mapping[str, Any] | None,
    environment: Mapping[str, Any] | None,
    timeout: float | None,
) -> _core.Run:
    def begun(folders: list[str]) -> _core.Run:
        return _core.Run(
            template,
            dict(inputs or {}),
            folders=folders,
            is_registered=lambda name: _registered(name) is not None,
            workspace=None if workspace is None else workspace._inner,  # noqa: SLF001 - its own package
            connection=connection,
            secrets={name: dict(keys) for name, keys in (secrets or {}).items()},
            variables=dict(variables or {}),
            environment=dict(environment or {}),
            timeout=timeout,
        )

    template = find(action)
    folders = _folders()
    try:
        return begun(folders)
    except TemplateError as error:
        installed = _installed() if error.code == "unknown_action" else []
        if not installed:
            raise
        return begun(folders + installed)


def _folders() -> list[str]:
    return list(map(str, _library().own_folders()))


def _installed() -> list[str]:
    return list(map(str, _library().installed_folders()))


def _library() -> ModuleType:
    from evergrant.actions import _library

    return _library


def _is_path(action: str) -> bool:
    return os.sep in action or action.endswith((".yaml", ".yml"))


def _function(action: object) -> Any:
    if not isinstance(action, str) or _is_path(action):
        return None
    found = _registered(action)
    if found is None and _core.Template.find(action, _folders()) is None:
        _installed()  # it registers functions
        found = _registered(action)
    return found


def _registered(name: str) -> Any:
    """The function of this name, if one was registered: whoever registers one has loaded its module."""
    functions = getattr(actions, "_udf", None)
    return None if functions is None else functions.registered(name)


def _answer(kind: str, name: str, value: Any) -> tuple[Any, str | None]:
    """What a step of the core asked for, or why there is nothing."""
    if kind == "function":
        # What it raises is its caller's to see.
        return _registered(name)(value), None
    try:
        if kind == "lambda":
            from evergrant.actions import _lambda

            return _lambda.evaluate(name, *value), None
        if kind == "transform":
            from evergrant.actions import _transform

            return getattr(_transform, name)(**value), None
        from evergrant.actions import _script

        return _script.run_python(**value), None
    except ActionError as error:
        return None, error.reason
    except TypeError as error:
        # The arguments don't fit.
        return None, str(error)[:256]


async def _answer_async(kind: str, name: str, value: Any) -> tuple[Any, str | None]:
    if kind != "script":
        answer, failed = _answer(kind, name, value)
        return await _awaited(answer), failed
    from evergrant.actions import _script

    try:
        return await _script.run_python_async(**value), None
    except ActionError as error:
        return None, error.reason
    except TypeError as error:
        return None, str(error)[:256]


async def _awaited(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


def _awaited_by_nobody(answer: Any) -> Any:
    if not inspect.isawaitable(answer):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
    message = "the action calls a coroutine function: run it with evergrant.aio.actions.run"
    raise ActionError(message, code="needs_event_loop")
