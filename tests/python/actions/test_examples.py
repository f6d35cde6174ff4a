"""Every example of actions runs as it stands, in a process of its own, against the authorization server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evergrant import Workspace
from support import AuthorizationServer, UserAgent, acme

EXAMPLES = Path(__file__).parents[3] / "examples" / "actions"


@pytest.fixture
def connected(home: Path, server: AuthorizationServer) -> None:
    """The default workspace, in which two people have connected `acme`, whose API is on the server."""
    with Workspace() as workspace:
        acme.configure(workspace, server, api_hosts=[server.issuer])
        for connection, person in (("default", "ada"), ("work", "grace")):
            workspace.connect("acme", connection=connection, open_browser=UserAgent(person).connect)


def run(*words: str) -> str:
    command = [sys.executable, "-W", "error", *words]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def example(name: str, server: AuthorizationServer) -> list[str]:
    return run(str(EXAMPLES / name), server.api).splitlines()


@pytest.mark.usefixtures("connected")
def test_a_template_runs_with_a_token_that_goes_nowhere_else(server: AuthorizationServer) -> None:
    assert example("template.py", server) == [
        "tools.acme.whoami needs (('acme', 'authorization_code', False),)",
        "answer: ada",
        "refused: token_for_another_host",
    ]


@pytest.mark.usefixtures("connected")
def test_a_function_is_an_action(server: AuthorizationServer) -> None:
    assert example("function.py", server) == [
        "inputs: url, language, times",
        "as a function: Account(subject='ada', greeting='Hallo, ada!')",
        "as an action: {'subject': 'ada', 'greeting': 'Hello, ada! Hello, ada!'}",
        "refused: the inputs of tools.mine.greet_account are wrong: times: an integer is needed, not text",
    ]


@pytest.mark.usefixtures("connected")
def test_a_function_calls_a_template(server: AuthorizationServer) -> None:
    assert example("template_in_function.py", server) == ["{'letter': 'A', 'subject': 'ada'}"]


@pytest.mark.usefixtures("connected")
def test_a_template_calls_a_function(server: AuthorizationServer) -> None:
    assert example("function_in_template.py", server) == [
        "{'greetings': ['Hello, ada!', 'Salut, ada!'], 'count': 2}",
    ]


@pytest.mark.usefixtures("connected")
def test_one_action_runs_for_many_connections(server: AuthorizationServer) -> None:
    assert sorted(example("many_connections.py", server)) == ["default: ada", "work: grace"]


@pytest.mark.usefixtures("connected")
def test_the_command_line_runs_a_template(server: AuthorizationServer) -> None:
    words = ("-m", "evergrant.cli", "run", str(EXAMPLES / "whoami.yaml"), "--input", f"url={server.api}")
    assert '"subject": "grace"' in run(*words, "--connection", "work")
