"""Actions run from Python: with the token of a workspace, at an API that listens on loopback."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import evergrant
from evergrant import ActionError, NotConfigured, TemplateError, Workspace, actions, aio
from evergrant.actions import _run

TOKEN = "access-token-of-the-robot"


class Api:
    """An API, and the token endpoint of its provider."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        self.secret = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.answer({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})

            def do_GET(self) -> None:
                outer.asked.append((self.command, self.path, self.headers["Authorization"]))
                self.answer({"path": self.path, "secret": outer.secret})

            def answer(self, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: object) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    one = Api()
    yield one
    one.close()


@pytest.fixture
def workspace(home: Path, api: Api) -> Iterator[Workspace]:
    """A workspace whose `robot` may use the API."""
    with Workspace(store="memory:") as one:
        configure(one, api)
        yield one


def configure(workspace: Workspace, api: Api) -> None:
    workspace.configure(
        "robot",
        grant_type="client_credentials",
        client_id="robot",
        client_secret="secret-of-the-robot",
        endpoints={"token_endpoint": f"{api.base}/token"},
        api_hosts=[api.base],
    )


def written(folder: Path, steps: str, returns: str, name: str = "act") -> Path:
    """A template that may use the token of `robot`."""
    path = folder / f"{name}.yaml"
    path.write_text(
        f"""type: action
definition:
  name: {name}
  namespace: tools.robot
  title: Act
  description: Acts.
  display_group: Robot
  secrets:
    - {{type: oauth, provider_id: robot, grant_type: client_credentials, optional: true}}
    - {{name: other, optional_keys: [KEY], optional: true}}
  expects:
    path: {{type: str, description: What is asked for., default: "/x"}}
  steps:
{steps}
  returns: {returns}
""",
        encoding="utf-8",
    )
    return path


def asking(folder: Path, api: Api, name: str = "act") -> Path:
    return written(
        folder,
        f"""    - ref: ask
      action: core.http_request
      args:
        method: GET
        url: {api.base}${{{{ inputs.path }}}}
        headers: {{Authorization: "Bearer ${{{{ SECRETS.robot_oauth.ROBOT_SERVICE_TOKEN }}}}"}}""",
        "${{ steps.ask.result.data }}",
        name,
    )


def test_a_template_runs_with_the_token_of_the_workspace(workspace: Workspace, api: Api, tmp_path: Path) -> None:
    template = asking(tmp_path, api)

    result = actions.run(template, {"path": "/me"}, workspace=workspace)

    assert result == {"path": "/me", "secret": ""}
    assert api.asked == [("GET", "/me", f"Bearer {TOKEN}")]


def test_it_runs_on_an_event_loop_too(workspace: Workspace, api: Api, tmp_path: Path) -> None:
    template = asking(tmp_path, api)

    async def main() -> list[Any]:
        one = aio.actions.run(template, {"path": "/1"}, workspace=workspace)
        return list(await asyncio.gather(one, aio.actions.run(template, workspace=workspace)))

    assert [one["path"] for one in asyncio.run(main())] == ["/1", "/x"]
    assert {authorization for *_, authorization in api.asked} == {f"Bearer {TOKEN}"}


def test_a_token_that_the_api_repeats_is_not_returned(workspace: Workspace, api: Api, tmp_path: Path) -> None:
    api.secret = TOKEN

    result = actions.run(asking(tmp_path, api), workspace=workspace)

    assert TOKEN not in str(result)
    assert result["secret"].startswith("evergrant-token-")


def test_a_template_says_what_it_is(tmp_path: Path, api: Api) -> None:
    template = actions.load(asking(tmp_path, api))

    assert (template.name, template.title, template.description) == ("tools.robot.act", "Act", "Acts.")
    assert template.needs == (("robot", "client_credentials", True),)
    assert template.path == tmp_path / "act.yaml"
    assert template.inputs == {
        "type": "object",
        "properties": {"path": {"type": "string", "description": "What is asked for.", "default": "/x"}},
        "required": [],
        "additionalProperties": False,
    }
    assert repr(template) == "<Template tools.robot.act>"
    assert pickle.loads(pickle.dumps(template)).path == template.path


def test_a_template_that_is_none_says_where_it_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("type: action\ndefinition:\n  name: [\n", encoding="utf-8")

    with pytest.raises(TemplateError) as raised:
        actions.load(path)

    assert (raised.value.path, raised.value.code) == (str(path), "invalid_template")
    assert raised.value.line is not None
    assert str(raised.value).startswith(f"{path}:{raised.value.line}:{raised.value.column}: ")


@pytest.mark.usefixtures("home")
def test_what_is_not_connected_is_said_with_the_command(api: Api, tmp_path: Path) -> None:
    with Workspace(store="memory:") as empty, pytest.raises(NotConfigured) as raised:
        actions.run(asking(tmp_path, api), workspace=empty)

    assert "robot (client_credentials)" in raised.value.reason
    assert api.asked == []


def test_a_name_is_found_in_the_folders_of_the_environment(
    workspace: Workspace, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine" / "deep"
    folder.mkdir(parents=True)
    asking(folder, api, "named")
    monkeypatch.setenv("EVERGRANT_ACTIONS", f"{tmp_path / 'mine'}")

    assert actions.run("tools.robot.named", workspace=workspace)["path"] == "/x"


def test_a_name_is_found_in_installed_packages(
    workspace: Workspace, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking(tmp_path, api, "installed")
    outer = written(tmp_path, "    - {ref: a, action: tools.robot.installed, args: {}}", "${{ steps.a.result.path }}")
    entry = SimpleNamespace(load=lambda: SimpleNamespace(__path__=[str(tmp_path)]))
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [entry] if group == "evergrant.actions" else []
    )

    assert actions.run("tools.robot.installed", workspace=workspace)["path"] == "/x"
    assert actions.run(outer, workspace=workspace) == "/x"


@pytest.mark.usefixtures("home")
def test_a_name_that_nobody_knows_is_said(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(ActionError) as raised:
        actions.run("tools.robot.nothing", workspace=workspace)
    assert raised.value.code == "unknown_action"

    template = written(tmp_path, "    - {ref: a, action: tools.robot.nothing, args: {}}", "ok")
    with pytest.raises(TemplateError, match=r"act\.yaml:14:24: there is no action tools\.robot\.nothing"):
        actions.run(template, workspace=workspace)


ASKING_PYTHON = """    - ref: apply
      action: core.transform.apply
      args: {value: {b: 1, a: [null, 1.5, "é"]}, python_lambda: "lambda x: x"}
    - ref: script
      action: core.script.run_python
      args: {script: "def main(x): return x", inputs: {x: "${{ steps.apply.result }}"}}
    - ref: own
      action: tools.mine.own
      args: {x: "${{ steps.script.result }}"}"""


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What templates ask of Python, as a test answers it."""
    double = SimpleNamespace(own=lambda inputs: ["own", inputs["x"]])

    def apply(value: Any, python_lambda: str) -> Any:
        return value

    def run_python(script: str, inputs: Any) -> Any:
        return inputs["x"]

    async def run_python_async(script: str, inputs: Any) -> Any:
        await asyncio.sleep(0)
        return inputs["x"]

    def registered(name: str) -> Any:
        return double.own if name == "tools.mine.own" else None

    script = SimpleNamespace(run_python=run_python, run_python_async=run_python_async)
    for name, module in (
        ("_transform", SimpleNamespace(apply=apply)),
        ("_script", script),
        ("_udf", SimpleNamespace(registered=registered)),
        ("_lambda", SimpleNamespace(evaluate=lambda source, *values: source == "stop" or {"values": len(values)})),
    ):
        monkeypatch.setattr(actions, name, module, raising=False)
    return double


VALUE = {"b": 1, "a": [None, 1.5, "é"]}


@pytest.mark.usefixtures("python")
def test_what_only_python_can_do_is_asked_for_in_order(workspace: Workspace, tmp_path: Path) -> None:
    template = written(tmp_path, ASKING_PYTHON, "${{ steps.own.result }}")
    given = {"other": {"KEY": "value-of-another"}}

    result = actions.run(template, workspace=workspace, secrets=given)

    assert result == ["own", VALUE]
    assert list(result[1]) == ["b", "a"]
    assert asyncio.run(aio.actions.run(template, workspace=workspace, secrets=given)) == result


def test_a_coroutine_function_is_awaited_on_an_event_loop_and_refused_without_one(
    workspace: Workspace, tmp_path: Path, python: SimpleNamespace
) -> None:
    async def own(inputs: dict[str, Any]) -> str:
        await asyncio.sleep(0)
        return f"awaited {len(inputs)}"

    python.own = own
    template = written(tmp_path, ASKING_PYTHON, "${{ steps.own.result }}")

    assert asyncio.run(aio.actions.run(template, workspace=workspace)) == "awaited 1"
    assert asyncio.run(aio.actions.run("tools.mine.own", {"x": 1})) == "awaited 1"
    for action in (template, "tools.mine.own"):
        with pytest.raises(ActionError) as raised:
            actions.run(action, workspace=workspace)
        assert raised.value.code == "needs_event_loop"


def test_what_a_function_raises_passes_as_it_is(workspace: Workspace, tmp_path: Path, python: SimpleNamespace) -> None:
    def own(inputs: dict[str, Any]) -> str:
        raise LookupError(str(inputs["x"]["b"]))

    python.own = own
    template = written(tmp_path, ASKING_PYTHON, "ok")

    with pytest.raises(LookupError, match="1"):
        actions.run(template, workspace=workspace)


@pytest.mark.parametrize("error", [ActionError("no such member"), TypeError("no such member")])
@pytest.mark.usefixtures("python")
def test_a_step_that_fails_in_python_is_named(
    workspace: Workspace, tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apply(value: Any, python_lambda: str) -> Any:
        raise error

    monkeypatch.setattr(actions, "_transform", SimpleNamespace(apply=apply))
    template = written(tmp_path, ASKING_PYTHON, "ok")

    with pytest.raises(ActionError, match=r"step apply of tools\.robot\.act .*: no such member"):
        actions.run(template, workspace=workspace)
    with pytest.raises(ActionError, match="no such member"):
        asyncio.run(aio.actions.run(template, workspace=workspace))


@pytest.mark.usefixtures("python")
def test_lambdas_turn_the_pages(workspace: Workspace, api: Api, tmp_path: Path) -> None:
    template = written(
        tmp_path,
        f"""    - ref: pages
      action: core.http_paginate
      args: {{url: "{api.base}/1", method: GET, stop_condition: stop, next_request: next, items_jsonpath: $.path}}""",
        "${{ steps.pages.result }}",
    )

    assert actions.run(template, workspace=workspace) == ["/1"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("text", "text"),
        (2**63, 2**63),
        (-(2**70), float(-(2**70))),
        (float("nan"), None),
        ((1, {2}), [1, [2]]),
        ({1: None}, {"1": None}),
    ],
)
def test_values_cross_the_border_as_json_would_have_them(
    workspace: Workspace, tmp_path: Path, given: object, expected: object
) -> None:
    path = written(tmp_path, "    - {ref: a, action: core.transform.reshape, args: {value: 1}}", "{x: '${{ VARS.x }}'}")

    assert actions.run(path, workspace=workspace, variables={"x": given}) == {"x": expected}


def test_what_is_no_value_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    path = written(tmp_path, "    - {ref: a, action: core.transform.reshape, args: {value: 1}}", "ok")
    deep: list[Any] = []
    deep.append(deep)

    for given, error in ((object(), TypeError), (deep, ValueError), (2**200, ValueError), ("\ud800", ValueError)):
        with pytest.raises(error):
            actions.run(path, workspace=workspace, variables={"x": given})


def test_secrets_and_variables_stand_in_the_file_of_the_workspace(
    home: Path, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "evergrant.yaml"
    config.write_text("secrets: {other: {KEY: {env: OTHER}}}\nvariables: {place: here}\n", encoding="utf-8")
    monkeypatch.setenv("OTHER", "value-of-another")
    steps = "    - {ref: a, action: core.transform.reshape, args: {value: '${{ SECRETS.other.KEY }}'}}"
    template = written(tmp_path, steps, "['${{ steps.a.result }}', '${{ VARS.place }}', '${{ ENV.x }}']")

    with Workspace(store="memory:", config=config) as workspace:
        result = actions.run(template, workspace=workspace, environment={"x": "y"})

    assert result == ["***", "here", "y"]


def test_the_whole_run_has_its_time(workspace: Workspace, tmp_path: Path) -> None:
    template = written(
        tmp_path,
        """    - ref: a
      action: core.http_poll
      args: {url: "http://127.0.0.1:1", method: GET, poll_retry_codes: 1}""",
        "ok",
    )
    with pytest.raises(ActionError) as raised:
        actions.run(template, workspace=workspace, timeout=0)
    assert raised.value.code == "timeout"


def test_a_forked_child_sends_on_connections_of_its_own(home: Path, api: Api, tmp_path: Path) -> None:
    template = asking(tmp_path, api)
    code = f"""
import os
from evergrant import Workspace, actions
workspace = Workspace(store={str(tmp_path / "store.db")!r})
workspace.configure("robot", grant_type="client_credentials", client_id="r", client_secret="secret-of-the-robot",
    endpoints={{"token_endpoint": {api.base + "/token"!r}}}, api_hosts=[{api.base!r}])
actions.run({str(template)!r}, {{"path": "/parent"}}, workspace=workspace)
child = os.fork()
if child == 0:
    actions.run({str(template)!r}, {{"path": "/child"}}, workspace=workspace)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
actions.run({str(template)!r}, {{"path": "/after"}}, workspace=workspace)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert [path for _, path, _ in api.asked] == ["/parent", "/child", "/after"]


def test_the_package_finds_its_own_folder() -> None:
    assert evergrant.actions is actions
    assert _run.find("tools.github.list_issues").name == "tools.github.list_issues"
