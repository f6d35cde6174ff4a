"""The command line from end to end, in an empty home, with the server and a scripted person."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evergrant import Workspace
from support import AuthorizationServer, UserAgent, acme, leaks
from support.command import COMMAND, Done, Waiting, evergrant

Run = Callable[..., Done]


@pytest.fixture
def run(home: Path, server: AuthorizationServer) -> Run:
    """Runs a command, which shows no secret; `token` alone shows a token, on standard output."""

    def run(*arguments: str, **keywords: str) -> Done:
        done = evergrant(*arguments, **keywords)
        shown = done.err if arguments[0] == "token" else done.out + done.err
        assert leaks(shown, server.secrets()) == [], arguments
        return done

    return run


def configure(run: Run, server: AuthorizationServer) -> Done:
    client_id, client_secret = server.confidential
    scopes = [word for scope in acme.SCOPES for word in ("--scope", scope)]
    return run(
        "configure", "acme", "--issuer", server.issuer, "--client-id", client_id, *scopes, "--client-secret-stdin",
        stdin=f"{client_secret}\n",
    )  # fmt: skip


@pytest.fixture
def connected(home: Path, server: AuthorizationServer) -> None:
    """`acme` is connected."""
    acme.connect(server, UserAgent("ada"))


@pytest.fixture
def robot(home: Path, server: AuthorizationServer) -> None:
    """`robot` is configured."""
    with Workspace() as workspace:
        acme.configure_service(workspace, server)


# The whole way


def test_the_whole_way_of_a_connection(run: Run, server: AuthorizationServer) -> None:
    done = configure(run, server)
    assert done.code == 0, done.err
    assert "configured" in done.out

    waiting = Waiting("connect", "acme", "--no-browser")
    try:
        UserAgent("ada").connect(waiting.url())
        done = waiting.end()
    finally:
        waiting.close()
    assert done.code == 0, done.err
    assert "ada@example.com" in done.out
    assert leaks(done.out + done.err, server.secrets()) == []

    done = run("token", "acme")
    assert (done.code, done.err) == (0, "")
    assert server.whoami(done.out.strip())["subject"] == "ada"

    done = run("test", "acme")
    assert done.code == 0, done.err
    assert "ada" in done.out

    assert server.refreshes == 0
    done = run("refresh", "acme")
    assert done.code == 0, done.err
    assert server.refreshes == 1

    assert "connected" in run("status", "acme").out
    done = run("disconnect", "acme")
    assert done.code == 0, done.err
    assert "configured" in run("status", "acme").out
    assert run("token", "acme").code == 4
    done = run("remove", "acme", "--yes")
    assert done.code == 0, done.err
    assert run("status", "--json").out.strip() == "[]"
    assert run("token", "acme").code == 2


# Token


@pytest.mark.usefixtures("connected")
def test_a_header_is_ready_to_send(run: Run, server: AuthorizationServer) -> None:
    done = run("token", "acme", "--header")

    name, kind, token = done.out.split()
    assert (name, kind) == ("Authorization:", "Bearer")
    assert server.whoami(token)["subject"] == "ada"


@pytest.mark.usefixtures("connected")
def test_a_token_as_json(run: Run, server: AuthorizationServer) -> None:
    shown = json.loads(run("token", "acme", "--json").out)

    assert server.whoami(shown["access_token"])["subject"] == "ada"
    assert (shown["provider"], shown["connection"], shown["token_type"]) == ("acme", "default", "Bearer")
    assert 0 < shown["expires_in"] <= acme.LIFETIME


def test_an_expired_token_is_refreshed_once(run: Run, server: AuthorizationServer) -> None:
    acme.connect(server, UserAgent("ada"), age=acme.EXPIRED)

    first, second = run("token", "acme"), run("token", "acme")

    assert first.out == second.out
    assert server.whoami(first.out.strip())["subject"] == "ada"
    assert (server.refreshes, server.reused) == (1, 0)


def test_an_expiring_token_is_printed_and_the_new_one_stored(run: Run, server: AuthorizationServer) -> None:
    acme.connect(server, UserAgent("ada"), age=acme.EXPIRING)
    server.fault("slow", milliseconds=500)

    first, second = run("token", "acme"), run("token", "acme")

    assert (first.code, first.err) == (0, "")
    assert first.out != second.out
    assert (server.refreshes, server.reused) == (1, 0)


@pytest.mark.usefixtures("robot")
def test_a_service_token_needs_no_connect(run: Run, server: AuthorizationServer) -> None:
    assert server.whoami(run("token", "robot").out.strip())["client"] == server.service.client_id
    assert run("connect", "robot").code == 0
    assert run("test", "robot").code == 0


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("words", [["token", "acme"], ["token", "--header", "acme"], ["token", "acme", "--json"]])
def test_token_loads_no_click(run: Run, words: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "evergrant.cli", *words]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=30)

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "evergrant._core" in loaded
    assert not {name for name in loaded if name.split(".")[0] in {"click", "dataclasses", "asyncio", "typing"}}


# Looking


@pytest.mark.usefixtures("connected")
def test_status_as_json_shows_the_client_id_and_no_secret(run: Run, server: AuthorizationServer) -> None:
    shown = json.loads(run("status", "acme", "--json").out)

    assert shown["state"] == "connected"
    assert shown["account"] == "ada@example.com"
    assert shown["client_id"] == server.confidential.client_id
    assert shown["missing_scopes"] == []


@pytest.mark.usefixtures("connected", "robot")
def test_status_lists_all(run: Run) -> None:
    done = run("status")

    assert "acme" in done.out
    assert "robot" in done.out


@pytest.mark.usefixtures("connected")
def test_refresh_due_refreshes_what_is_due(run: Run, server: AuthorizationServer) -> None:
    assert run("refresh", "--due").code == 0
    assert server.refreshes == 0
    assert run("refresh", "--due", "--lead", "3590").code == 0
    assert server.refreshes == 1


@pytest.mark.usefixtures("connected")
def test_connections_have_names(run: Run, server: AuthorizationServer) -> None:
    waiting = Waiting("connect", "acme", "--no-browser", "--connection", "grace")
    try:
        UserAgent("grace").connect(waiting.url())
        assert waiting.end().code == 0
    finally:
        waiting.close()

    token = run("token", "acme", "--connection", "grace").out.strip()
    assert server.whoami(token)["subject"] == "grace"
    assert run("disconnect", "acme", "--connection", "grace").code == 0
    assert run("token", "acme").code == 0


# apply


@pytest.fixture
def file(tmp_path: Path, server: AuthorizationServer) -> str:
    """An `evergrant.yaml` with a service grant."""
    file = tmp_path / "evergrant.yaml"
    file.write_text(
        f"""
integrations:
  - provider: robot
    grant_type: client_credentials
    client_id: {server.service.client_id}
    client_secret: {{env: ROBOT_SECRET}}
    endpoints: {{token_endpoint: "{server.endpoints["token_endpoint"]}"}}
"""
    )
    return str(file)


def test_apply_check_exits_1_when_something_differs(run: Run, server: AuthorizationServer, file: str) -> None:
    secret = server.service.client_secret or ""

    assert run("apply", file, "--check", ROBOT_SECRET=secret).code == 1
    assert run("status", "--json").out.strip() == "[]"
    done = run("apply", file, ROBOT_SECRET=secret)
    assert done.code == 0, done.err
    assert run("apply", file, "--check", ROBOT_SECRET=secret).code == 0
    assert run("apply", file, "--check", ROBOT_SECRET="another-secret-0123456789").code == 1
    assert server.whoami(run("token", "robot").out.strip())["client"] == server.service.client_id


def test_apply_names_a_variable_that_is_missing(run: Run, file: str) -> None:
    done = run("apply", file)

    assert done.code == 2
    assert "ROBOT_SECRET" in done.err


# import


def test_a_refresh_token_is_imported_from_standard_input(run: Run, server: AuthorizationServer) -> None:
    with Workspace(store="memory:") as elsewhere:
        acme.configure(elsewhere, server)
        elsewhere.connect("acme", open_browser=UserAgent("ada").connect)
    token = [value for kind, value in server.issued() if kind == "RefreshToken"][-1]
    configure(run, server)

    done = run("import-refresh-token", "acme", "--refresh-token-stdin", stdin=f"{token}\n")

    assert done.code == 0, done.err
    assert server.whoami(run("token", "acme").out.strip())["subject"] == "ada"


# Exit codes


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["token", "no_such_provider"], 2, "evergrant providers"),
        (["status", "no_such_provider"], 2, "evergrant providers"),
        (["token", "github"], 3, "evergrant configure github"),
        (["connect", "github"], 3, "evergrant configure github"),
        (["token", "acme"], 4, "evergrant connect acme"),
        (["token"], 2, "--help"),
        (["token", "acme", "--min-ttl", "soon"], 2, "--help"),
        (["frobnicate"], 2, "--help"),
        (["connect", "acme", "--no-browser", "--timeout", "0.2"], 4, "evergrant connect acme"),
        (["configure", "google_drive", "--client-id", "x", "--scope", "no such scope"], 2, ""),
    ],
)
def test_an_error_has_a_code_and_the_next_command(
    run: Run, server: AuthorizationServer, words: list[str], code: int, hint: str
) -> None:
    configure(run, server)

    done = run(*words)

    assert done.code == code, done.err
    assert done.out == ""
    assert hint in done.err
    assert "Traceback" not in done.err


@pytest.mark.usefixtures("connected")
def test_a_provider_that_is_away_is_5(run: Run, server: AuthorizationServer) -> None:
    acme.connect(server, UserAgent("ada"), age=acme.EXPIRED)
    server.fault("unavailable", retry_after=7)
    done = run("token", "acme")
    assert done.code == 5
    assert "503" in done.err


@pytest.mark.usefixtures("connected")
def test_a_refused_grant_is_4(run: Run, server: AuthorizationServer) -> None:
    acme.connect(server, UserAgent("ada"), age=acme.EXPIRED)
    server.fault("error", error="invalid_grant", description="Token has been revoked")

    done = run("token", "acme")

    assert done.code == 4
    assert "revoked" in done.err
    assert "evergrant connect acme" in done.err


@pytest.mark.usefixtures("connected")
def test_a_store_without_its_key_is_6(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config/evergrant/key").unlink()

    done = run("status", "acme")

    assert done.code == 6
    assert "EVERGRANT_KEY" in done.err


@pytest.mark.usefixtures("connected")
def test_a_file_that_is_no_store_is_6(run: Run, tmp_path: Path) -> None:
    (tmp_path / "no-store").write_text("something else" * 1000)
    assert run("status", "acme", "--store", str(tmp_path / "no-store")).code == 6


@pytest.mark.usefixtures("connected")
def test_a_reader_that_goes_away_is_no_traceback(run: Run) -> None:
    script = "{ " + " ".join(f"'{word}'" for word in COMMAND) + " token acme; } | true"
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=False, text=True, timeout=30)

    assert done.stderr == ""


def test_ctrl_c_during_a_sign_in_is_130(run: Run, server: AuthorizationServer) -> None:
    configure(run, server)
    waiting = Waiting("connect", "acme", "--no-browser")
    try:
        waiting.url()
        waiting.said("complete-connect")
        waiting.interrupt()
        done = waiting.end()
    finally:
        waiting.close()

    assert done.code == 130
    assert "Traceback" not in done.err
