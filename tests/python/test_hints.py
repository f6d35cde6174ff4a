"""A hint is the next command, ready to paste: the command line takes it as it stands, for the same store."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from evergrant import EvergrantError, Workspace
from evergrant.cli import _commands

SERVICE = "client_credentials"

MISTAKES: dict[str, Callable[[Workspace], object]] = {
    "a missing parameter": lambda w: w.configure("microsoft_graph", grant_type=SERVICE, client_id="x"),
    "a misspelt parameter": lambda w: w.configure("slack", client_id="x", parameters={"clod": "slack"}),
    "a misspelt scope": lambda w: w.configure("github", client_id="x", scopes=["repos"]),
    "no scope at all": lambda w: w.configure("github", client_id="x", scopes=["quatsch"]),
    "a scope without its URL": lambda w: w.configure("google_drive", client_id="x", scopes=["drive.readonly"]),
    "no client id": lambda w: w.configure("github"),
    "no endpoint": lambda w: w.configure("acme", client_id="x"),
    "not configured": lambda w: w.get_token("github"),
    "not connected": lambda w: (w.configure("github", client_id="x"), w.get_token("github", connection="it's mine")),
    "a misspelt provider": lambda w: w.get_token("githb"),
}


@pytest.fixture
def workspace(home: Path, tmp_path: Path) -> Workspace:
    return Workspace("team", store=tmp_path / "a store.db")


def hints(mistake: Callable[[Workspace], object], workspace: Workspace) -> list[list[str]]:
    """The words of each command that the error of a mistake suggests."""
    with pytest.raises(EvergrantError) as raised:
        mistake(workspace)
    return [shlex.split(line) for line in (raised.value.hint or "").splitlines()]


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_the_command_line_takes_every_hint_as_it_stands(
    mistake: Callable[[Workspace], object], workspace: Workspace
) -> None:
    commands = hints(mistake, workspace)
    assert commands
    for program, name, *arguments in commands:
        assert program == "evergrant"
        _commands.commands.commands[name].make_context(name, arguments)  # raises UsageError


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_hint_is_for_the_same_workspace_and_store(
    mistake: Callable[[Workspace], object], workspace: Workspace
) -> None:
    for command in hints(mistake, workspace):
        if command[1] not in {"providers", "check-provider"}:
            assert command[-4:] == ["--store", workspace.store, "--workspace", "team"]


def test_a_hint_for_a_service_grant_names_its_grant_type(workspace: Workspace) -> None:
    (command,) = hints(MISTAKES["a missing parameter"], workspace)
    assert command[3:7] == ["--parameter", "tenant=contoso.onmicrosoft.com", "--grant-type", SERVICE]
