"""A store that was damaged or exchanged while nobody looked: what a program reads, and that its next command helps."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import evergrant
from evergrant import StoreError, Workspace
from support import AuthorizationServer, Program, UserAgent, acme, leaks

Start = Callable[..., Program]


@pytest.fixture
def store(home: Path, server: AuthorizationServer) -> Path:
    """The default store, closed: ada is connected as `default`, grace as `grace`."""
    acme.connect(server, UserAgent("ada"))
    acme.connect(server, UserAgent("grace"), connection="grace")
    return home / "store.db"


def change(store: Path, sql: str, *arguments: object) -> None:
    """Changes a store that no workspace of this process has open."""
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(sql, arguments)


def test_a_damaged_grant_is_said_with_the_command_that_replaces_it(store: Path, server: AuthorizationServer) -> None:
    change(store, "UPDATE connections SET grant_blob = ? WHERE connection = 'grace'", os.urandom(300))
    change(store, "DELETE FROM tokens")
    with Workspace() as workspace:
        with pytest.raises(StoreError) as caught:
            workspace.get_token("acme", connection="grace")
        assert str(caught.value) == (
            f"the grant of acme/grace (authorization_code) in the store {store} can't be opened\n"
            "evergrant connect acme --connection grace --again"
        )
        assert leaks(repr(vars(caught.value)), server.secrets()) == []
        assert server.whoami(workspace.get_token("acme"))["subject"] == "ada"
        states = {found.connection: found.state for found in workspace.connections()}
        assert states == {"default": "connected", "grace": "reauthorization_required"}
        workspace.connect("acme", connection="grace", again=True, open_browser=UserAgent("grace").connect)
        assert server.whoami(workspace.get_token("acme", connection="grace"))["subject"] == "grace"


def test_a_token_moved_from_another_connection_is_handed_to_nobody(store: Path, server: AuthorizationServer) -> None:
    change(
        store,
        """UPDATE tokens SET (token_key, token_generation, token_blob) =
           (SELECT token_key, token_generation, token_blob FROM tokens WHERE connection = 'default')
           WHERE connection = 'grace'""",
    )
    with Workspace() as workspace:
        assert server.whoami(workspace.get_token("acme", connection="grace"))["subject"] == "grace"
        assert server.whoami(workspace.get_token("acme"))["subject"] == "ada"
    assert (server.refreshes, server.reused) == (1, 0)


RUNNING = """
    import evergrant
    from support import UserAgent
    workspace = evergrant.Workspace()
    before = workspace.get_token("acme", replacing=workspace.get_token("acme"))
    print("ready")
    input()
    try:
        while workspace.get_token("acme") == before:
            pass
    except evergrant.StoreError as error:
        print(error.code, error.hint)
    workspace.connect("acme", again=True, open_browser=UserAgent("ada").connect)
    print(workspace.status("acme").state)
"""


def test_a_restored_backup_is_said_and_a_new_sign_in_ends_it(store: Path, program: Start) -> None:
    backup = shutil.copy(store, store.with_name("backup.db"))
    running = program(RUNNING)
    assert running.line() == "ready"
    for suffix in ("", "-wal", "-shm"):
        store.with_name(store.name + suffix).unlink()
    shutil.copy(backup, store)
    running.tell()
    assert running.line() == "store_restored evergrant connect acme --again"
    assert running.line() == "connected"
    running.end()


def test_what_is_sound_is_listed_beside_what_is_damaged_and_that_can_be_removed(store: Path) -> None:
    change(store, "UPDATE integrations SET config_blob = ? WHERE provider = 'acme'", os.urandom(300))
    with Workspace() as workspace:
        workspace.configure("github", client_id="client")
        states = {found.provider: (found.state, found.hint) for found in workspace.integrations()}
    assert states["github"][0] == "configured"
    state, hint = states["acme"]
    assert state == "not_configured"
    assert hint == "evergrant configure acme --grant-type authorization_code --client-id CLIENT_ID"
    evergrant.remove("acme")
    assert [found.provider for found in evergrant.integrations()] == ["github"]
