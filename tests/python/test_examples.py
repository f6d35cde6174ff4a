"""Every example runs as it stands, in a process of its own, against the authorization server."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evergrant import Workspace
from support import AuthorizationServer, UserAgent

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(example: str, *arguments: str, stdin: str = "") -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / example), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def connected(home: Path, server: AuthorizationServer, user_agent: UserAgent) -> None:
    """The default workspace, in which a person has connected `acme`."""
    with Workspace() as workspace:
        configure(workspace, server)
        workspace.connect("acme", open_browser=user_agent.connect)
    server.reset()


def configure(workspace: Workspace, server: AuthorizationServer, redirect_uri: str | None = None) -> None:
    workspace.configure(
        "acme",
        issuer=server.issuer,
        client_id=server.public.client_id,
        scopes=("openid", "offline_access", "email"),
        redirect_uri=redirect_uri,
    )


@pytest.mark.usefixtures("connected")
def test_a_decorated_function_is_given_its_token(server: AuthorizationServer) -> None:
    assert '"subject": "ada"' in run("decorated.py", "acme", server.api)


@pytest.mark.usefixtures("connected")
def test_tasks_share_one_token(server: AuthorizationServer) -> None:
    output = run("asynchronous.py", "acme", server.api)
    assert "5 answers, all equal: True" in output
    assert "<AccessToken acme/default" in output
    assert server.count() == 0


@pytest.mark.usefixtures("home")
def test_a_service_needs_no_person(server: AuthorizationServer) -> None:
    client_id, client_secret = server.service
    output = run("service.py", server.endpoints["token_endpoint"], client_id, stdin=f"{client_secret}\n")
    assert "the same object: True" in output
    assert server.count("client_credentials") == 1


@pytest.fixture
def back_end(home: Path, server: AuthorizationServer) -> Iterator[str]:
    """The running web application; its origin."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Workspace() as workspace:
        configure(workspace, server, f"http://127.0.0.1:{port}/oauth/callback")
    command = [sys.executable, str(EXAMPLES / "web_back_end.py"), "acme", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as application:
        assert application.stdout is not None
        assert application.stdout.readline() == f"listening at http://127.0.0.1:{port}\n"
        yield f"http://127.0.0.1:{port}"
        application.kill()


def test_a_user_of_a_web_application_connects_an_account(back_end: str) -> None:
    visitor = UserAgent("grace")
    url = visitor.redirected(f"{back_end}/connect")
    assert visitor.connect(url) == (200, "Connected as grace@example.com.")


def test_another_users_callback_is_refused_by_the_web_application(back_end: str) -> None:
    victim, attacker = UserAgent("victim"), UserAgent("attacker")
    victim.deliver(back_end)
    callback = attacker.consent(attacker.redirected(f"{back_end}/connect"))
    status, page = victim.deliver(callback)
    assert status == 400
    assert "session" in page


def test_the_demo_tells_its_story(home: Path) -> None:
    story = run("demo.py")
    assert "connected as ada@example.com" in story
    assert "Welcome back, ada" in story
    assert "64 answers; the server itself counted 1 refresh" in story
    assert "the name 'acme' in clear: True; tokens and secrets in clear: none" in story
    assert "removed: True, 0 integrations are left" in story
