"""Workspaces, named connections, and where store, key and configuration come from."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import evergrant
from evergrant import InvalidParameter, NotConnected, VaultLocked, Workspace, WrongKey
from support import AuthorizationServer, Program, UserAgent, acme

Start = Callable[..., Program]

KEY = bytes(range(32))
TEXT = base64.b64encode(KEY).decode()

# What a program of a user does: it shows whose token it got.
ASK = """
    import sys
    import evergrant
    from support import whoami
    print(whoami(sys.argv[1], evergrant.get_token(sys.argv[2])))
"""


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a key, readable by its owner only."""
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(TEXT + "\n")
    return file


# Workspaces and connections


def test_each_workspace_has_its_own_integrations(
    home: Path, server: AuthorizationServer, user_agent: UserAgent
) -> None:
    acme.connect(server, user_agent, name="team")

    with Workspace("team") as team, Workspace() as default:
        assert team.get_token("acme").workspace == "team"
        assert [status.provider for status in team.integrations()] == ["acme"]
        assert default.integrations() == ()
        with pytest.raises(LookupError):
            default.get_token("acme")


def test_each_connection_has_its_own_token(home: Path, server: AuthorizationServer) -> None:
    people = ("ada", "grace", "zoë 😀")
    for login in people:
        acme.connect(server, UserAgent(login), connection=login)

    with Workspace() as workspace:
        tokens = {login: workspace.get_token("acme", connection=login) for login in people}
        for login, token in tokens.items():
            assert server.whoami(token)["subject"] == login
            assert token.connection == login
        with pytest.raises(NotConnected, match="grace"):
            workspace.get_token("acme")
        workspace.disconnect("acme", connection="grace")
        assert [status.connection for status in workspace.connections("acme")] == ["ada", "zoë 😀"]
        assert workspace.get_token("acme", connection="ada") is tokens["ada"]


def test_the_environment_names_the_default_workspace(
    home: Path, server: AuthorizationServer, user_agent: UserAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.connect(server, user_agent, name="team")
    monkeypatch.setenv("EVERGRANT_WORKSPACE", "team")

    assert evergrant.get_token("acme").workspace == "team"


def test_a_key_rules_one_store_and_no_other(home: Path, server: AuthorizationServer, user_agent: UserAgent) -> None:
    acme.connect(server, user_agent, key=KEY)

    with Workspace(key=TEXT) as workspace:
        assert workspace.get_token("acme")
    with pytest.raises(WrongKey):
        Workspace(key=bytes(32))
    with pytest.raises(VaultLocked):
        Workspace()


def test_workspaces_of_one_store_share_its_key(home: Path, server: AuthorizationServer, user_agent: UserAgent) -> None:
    acme.connect(server, user_agent, key=KEY, name="one")
    acme.connect(server, UserAgent("grace"), key=KEY, name="two")

    with Workspace("one", key=KEY) as one, Workspace("two", key=KEY) as two:
        assert server.whoami(one.get_token("acme"))["subject"] == "ada"
        assert server.whoami(two.get_token("acme"))["subject"] == "grace"
        one.remove("acme")
        assert server.whoami(two.get_token("acme"))["subject"] == "grace"


def test_a_workspace_in_memory_ends_with_its_process(
    home: Path, server: AuthorizationServer, user_agent: UserAgent
) -> None:
    with Workspace(store="memory:", key=KEY) as workspace:
        acme.configure(workspace, server)
        workspace.connect("acme", open_browser=user_agent.connect)
        assert server.whoami(workspace.get_token("acme"))["subject"] == "ada"
    assert not home.exists()
    with Workspace(store="memory:", key=KEY) as another, pytest.raises(LookupError):
        another.get_token("acme")


def test_a_closed_workspace_says_so(home: Path) -> None:
    workspace = Workspace()
    workspace.close()

    with pytest.raises(evergrant.EvergrantError, match="closed"):
        workspace.get_token("github")


# Where they come from


@pytest.mark.parametrize("variable", ["EVERGRANT_STORE", "EVERGRANT_HOME", "XDG_DATA_HOME"])
def test_the_environment_names_the_store(
    home: Path,
    tmp_path: Path,
    server: AuthorizationServer,
    user_agent: UserAgent,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    folder = tmp_path / "a folder"
    if variable == "XDG_DATA_HOME":
        monkeypatch.delenv("EVERGRANT_HOME")
    monkeypatch.setenv(variable, str(folder / "store.db" if variable == "EVERGRANT_STORE" else folder))
    place = folder / "evergrant/store.db" if variable == "XDG_DATA_HOME" else folder / "store.db"
    acme.connect(server, user_agent)

    assert place.exists()
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700
    with Workspace(store=place) as workspace:
        assert workspace.store == str(place)
        assert workspace.get_token("acme")


@pytest.mark.parametrize("variable", ["EVERGRANT_KEY", "EVERGRANT_KEY_FILE", "EVERGRANT_KEY_COMMAND"])
def test_the_environment_names_the_key(
    home: Path,
    server: AuthorizationServer,
    user_agent: UserAgent,
    key_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: Start,
    variable: str,
) -> None:
    acme.connect(server, user_agent, key=KEY)
    value = {
        "EVERGRANT_KEY": TEXT.rstrip("="),
        "EVERGRANT_KEY_FILE": str(key_file),
        "EVERGRANT_KEY_COMMAND": f"cat '{key_file}'",
    }[variable]

    assert program(ASK, server.api, "acme", **{variable: value}).end() == "ada\n"
    program(ASK, server.api, "acme").end(code=1, complains="VaultLocked")


def test_a_key_that_others_can_read_is_refused(home: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_file.chmod(0o644)
    monkeypatch.setenv("EVERGRANT_KEY_FILE", str(key_file))

    with pytest.raises(WrongKey, match="chmod"):
        Workspace()


def test_a_generated_key_is_made_once_and_kept(
    home: Path, tmp_path: Path, server: AuthorizationServer, user_agent: UserAgent, program: Start
) -> None:
    acme.connect(server, user_agent)
    key = tmp_path / "config/evergrant/key"
    assert key.stat().st_mode & 0o777 == 0o600
    kept = key.read_bytes()

    assert program(ASK, server.api, "acme").end() == "ada\n"
    assert key.read_bytes() == kept
    key.unlink()
    program(ASK, server.api, "acme").end(code=1, complains="VaultLocked")
    assert not key.exists()


# A store that can't be written


@pytest.fixture
def read_only(home: Path) -> Iterator[Callable[[], None]]:
    """Makes the home read-only until the end of the test."""
    yield lambda: home.chmod(0o555)
    if home.exists():
        home.chmod(0o700)


def test_a_read_only_store_serves_valid_tokens(
    server: AuthorizationServer, user_agent: UserAgent, read_only: Callable[[], None], program: Start
) -> None:
    acme.connect(server, user_agent)
    read_only()

    assert program(ASK, server.api, "acme", powerless=True).end() == "ada\n"
    assert server.count() == 0


def test_a_read_only_store_refuses_a_rotating_refresh_before_it_is_sent(
    server: AuthorizationServer, user_agent: UserAgent, read_only: Callable[[], None], program: Start
) -> None:
    acme.connect(server, user_agent, age=acme.EXPIRED)
    read_only()

    program(ASK, server.api, "acme", powerless=True).end(code=1, complains="StoreError")
    assert server.count() == 0


def test_a_read_only_store_fetches_service_tokens(
    home: Path, server: AuthorizationServer, read_only: Callable[[], None], program: Start
) -> None:
    with Workspace() as workspace:
        acme.configure_service(workspace, server)
    read_only()

    assert program(ASK, server.api, "robot", powerless=True).end() == f"{server.service.client_id}\n"
    assert server.count("client_credentials") == 1


# A container: a configuration file, secrets in the environment, and nothing that can be written

CONFIGURATION = """
integrations:
  - provider: robot
    grant_type: client_credentials
    client_id: {client_id}
    client_secret: {{env: ROBOT_SECRET}}
    endpoints:
      token_endpoint: {token_endpoint}
"""


@pytest.fixture
def configuration(tmp_path: Path, server: AuthorizationServer) -> Path:
    """A committed `evergrant.yaml` with a service grant."""
    file = tmp_path / "evergrant.yaml"
    text = CONFIGURATION.format(client_id=server.service.client_id, token_endpoint=server.endpoints["token_endpoint"])
    file.write_text(text)
    return file


@pytest.mark.parametrize("place", ["a read-only home", "no home", "memory:"])
def test_a_container_needs_a_configuration_and_nothing_else(
    home: Path,
    server: AuthorizationServer,
    configuration: Path,
    read_only: Callable[[], None],
    program: Start,
    place: str,
) -> None:
    home.mkdir()
    read_only()
    environment = {
        "EVERGRANT_CONFIG": str(configuration),
        "ROBOT_SECRET": server.service.client_secret or "",
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "HOME": str(home),
    }
    if place == "no home":
        environment |= {"HOME": "", "EVERGRANT_HOME": "", "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": ""}
    if place == "memory:":
        environment |= {"EVERGRANT_STORE": "memory:"}

    ended = program(ASK, server.api, "robot", powerless=True, **environment).end()

    assert ended == f"{server.service.client_id}\n"
    assert server.count("client_credentials") == 1
    assert list(home.iterdir()) == []


def test_a_configuration_is_applied_once_and_kept(
    home: Path, server: AuthorizationServer, configuration: Path, program: Start
) -> None:
    environment = {"EVERGRANT_CONFIG": str(configuration), "ROBOT_SECRET": server.service.client_secret or ""}
    for _ in range(2):
        assert program(ASK, server.api, "robot", **environment).end() == f"{server.service.client_id}\n"

    assert server.count("client_credentials") == 1


def test_a_missing_secret_of_the_configuration_is_named(
    configuration: Path, server: AuthorizationServer, program: Start
) -> None:
    program(ASK, server.api, "robot", EVERGRANT_CONFIG=str(configuration)).end(code=1, complains="ROBOT_SECRET")


def test_a_rotating_refresh_token_is_not_sent_where_its_successor_can_not_be_kept(
    home: Path, tmp_path: Path, server: AuthorizationServer, read_only: Callable[[], None], program: Start
) -> None:
    (tmp_path / "evergrant.yaml").write_text(
        f"""
        integrations:
          - provider: acme
            client_id: "{server.public.client_id}"
            endpoints:
              authorization_endpoint: {server.endpoints["authorization_endpoint"]}
              token_endpoint: {server.endpoints["token_endpoint"]}
        connections:
          - provider: acme
            refresh_token: {{env: ACME_REFRESH_TOKEN}}
        """
    )
    home.mkdir()
    read_only()

    program(
        ASK,
        server.api,
        "acme",
        powerless=True,
        EVERGRANT_CONFIG=str(tmp_path / "evergrant.yaml"),
        ACME_REFRESH_TOKEN="the-refresh-token-of-ada",
        XDG_CONFIG_HOME=str(home),
    ).end(code=1, complains="StoreError")
    assert server.count() == 0


def test_a_read_only_store_may_hold_what_the_configuration_says(
    home: Path, server: AuthorizationServer, configuration: Path, read_only: Callable[[], None], program: Start
) -> None:
    environment = {"EVERGRANT_CONFIG": str(configuration), "ROBOT_SECRET": server.service.client_secret or ""}
    assert program(ASK, server.api, "robot", **environment).end() == f"{server.service.client_id}\n"
    read_only()

    assert program(ASK, server.api, "robot", powerless=True, **environment).end() == f"{server.service.client_id}\n"
    changed = environment | {"ROBOT_SECRET": "another-secret-of-the-service"}
    program(ASK, server.api, "robot", powerless=True, **changed).end(code=1, complains="StoreError")


def test_an_argument_of_the_wrong_type_is_named_without_its_value(home: Path) -> None:
    parameters: Any = {"cloud": 123456789}
    with pytest.raises(InvalidParameter, match=r"^parameters\.cloud has to be a string$") as refused:
        evergrant.configure("slack", client_id="an-app", parameters=parameters)
    assert refused.value.code == "invalid_argument"
