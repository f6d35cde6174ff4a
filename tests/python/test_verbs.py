"""The verbs, and the person's side of `connect`."""

import inspect
import os
import pickle
import pty
import sys

import pytest

import evergrant
from evergrant import _sign_in
from fake_core import Call

STARTED = {
    "url": "https://provider/authorize?state=x",
    "flow": 7,
    "loopback": True,
    "redirect_uri": "http://127.0.0.1:5123/callback",
    "complete": "evergrant complete-connect",
    "device": None,
}
CODE = {
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://provider/device",
    "verification_uri_complete": "https://provider/device?user_code=WDJB-MJHT",
    "expires_in": 900.0,
}
BY_CODE = {**STARTED, "url": None, "redirect_uri": None, "loopback": False, "device": CODE}


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    monkeypatch.setattr(_sign_in, "_terminal", lambda: None)


@pytest.fixture
def sign_in(core):
    """The core's call that waits for the person."""
    core.answers["connect_start"] = STARTED
    core.answers["connect_wait"] = call = Call(pending=True)
    return call


# What the core is asked


def test_configure_asks_what_it_was_told(core):
    core.answers["configure"] = {"provider": "github", "state": "configured"}

    status = evergrant.configure("github", client_id="x", client_secret="s", scopes=("a",), parameters={"k": "v"})

    assert status.state == "configured"
    asked = {name: value for name, value in core.last("configure").items() if value is not None}
    assert asked == {
        "provider": "github",
        "client_id": "x",
        "client_secret": "s",
        "scopes": ["a"],
        "parameters": {"k": "v"},
    }


def test_empty_values_are_not_none(core):
    evergrant.configure("github", scopes=(), parameters={}, redirect_uri="", api_hosts=[])

    asked = core.last("configure")
    assert (asked["scopes"], asked["parameters"], asked["redirect_uri"], asked["api_hosts"]) == ([], {}, "", [])
    assert asked["client_id"] is None


def test_one_string_for_scopes_is_refused(core):
    with pytest.raises(TypeError, match=r"write scopes=\['repo'\]"):
        evergrant.configure("github", scopes="repo")
    assert core.calls == []


def test_results_are_types(core):
    core.answers = {
        "test": {"ok": True, "steps": [{"what": "ask", "ok": True, "detail": ""}], "reason": None, "hint": None},
        "connections": [{"provider": "github"}],
        "providers": [{"id": "github"}],
        "check_provider": [{"severity": "error"}],
        "begin_connect": {"authorization_url": "https://a", "state": "s", "expires_at": 0},
    }

    assert evergrant.test("github").steps[0].what == "ask"
    assert evergrant.connections()[0].provider == "github"
    assert evergrant.providers()[0].id == "github"
    assert evergrant.check_provider("x.yaml")[0].severity == "error"
    pending = evergrant.begin_connect("github", redirect_uri="https://me", session="s")
    assert pending.expires_at.year == 1970


def test_an_error_of_the_core_is_raised(core):
    core.answers["status"] = evergrant.UnknownProvider("no")

    with pytest.raises(LookupError):
        evergrant.status("nowhere")


@pytest.mark.parametrize("name", ["configure", "connect", "status", "remove", "drain", "redact"])
def test_no_verb_takes_keywords_it_does_not_name(name):
    kinds = {parameter.kind for parameter in inspect.signature(getattr(evergrant, name)).parameters.values()}

    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert inspect.getdoc(getattr(evergrant, name))


def test_drain_asks_the_core(core):
    assert evergrant.drain(3.0) is True
    assert core.last("drain") == {"timeout": 3.0}


def test_redact_masks(core):
    core.secrets = ["s3cret"]

    assert evergrant.redact({"a": "s3cret!"}) == {"a": "[redacted]!"}


# Workspaces


def test_a_workspace_has_the_verbs(core):
    with evergrant.Workspace("team", store="/elsewhere") as workspace:
        assert (workspace.name, workspace.store) == ("team", "/elsewhere")
        assert repr(workspace) == "<Workspace team in /elsewhere>"
        assert workspace.get_token("github", scopes=("s",)) is core.token
        workspace.status("github")

    assert workspace._inner.closed
    assert core.opened == [("team", "/elsewhere", None, None, "any")]
    assert core.last("get_token")["scopes"] == ["s"]
    assert {arguments["workspace"] for _, arguments in core.calls} == {"team"}


def test_a_workspace_pickles_without_its_key(core):
    workspace = evergrant.Workspace("team", store="/elsewhere", key="c2VjcmV0")

    pickled = pickle.dumps(workspace)

    assert b"c2VjcmV0" not in pickled
    assert pickle.loads(pickled).name == "team"
    assert core.opened[-1] == ("team", "/elsewhere", None, None, "any")


# Signing in


def test_connect_returns_at_once_when_nothing_is_to_be_done(core):
    core.answers["connect_start"] = {"status": {"provider": "github", "state": "connected"}}

    assert evergrant.connect("github", open_browser=pytest.fail).state == "connected"
    assert core.verbs() == ["connect_start"]


def test_connect_shows_the_url_and_waits(core, sign_in):
    sign_in.finish({"provider": "github", "state": "connected"})
    shown = []

    status = evergrant.connect("github", connection="ann", scopes=["a"], open_browser=shown.append, timeout=9.0)

    assert (shown, status.state) == ([STARTED["url"]], "connected")
    assert (core.last("connect_start")["scopes"], core.last("connect_start")["timeout"]) == (["a"], 9.0)
    assert core.last("connect_wait") == {"flow": 7}
    assert "connect_cancel" not in core.verbs()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), evergrant.ConnectTimeout("late"), ValueError()])
def test_a_sign_in_that_ends_early_is_given_up(core, sign_in, error):
    sign_in.finish(error)

    with pytest.raises(type(error)):
        evergrant.connect("github", open_browser=print)

    assert core.last("connect_cancel") == {"flow": 7}


def test_a_sign_in_whose_url_cannot_be_shown_is_given_up(core, sign_in):
    def fail(url):
        raise OSError("no screen")

    with pytest.raises(OSError, match="no screen"):
        evergrant.connect("github", open_browser=fail)

    assert core.verbs() == ["connect_start", "connect_cancel"]


def test_the_url_goes_to_standard_error(sign_in, capsys):
    sign_in.finish({})
    evergrant.connect("github", open_browser=False)

    shown = capsys.readouterr()
    assert STARTED["url"] in shown.err
    assert "evergrant complete-connect" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "1 2 3 4"}, "linux", False),
        ({"BROWSER": "open-elsewhere", "SSH_CONNECTION": "1 2 3 4"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin", False),
    ],
)
def test_a_browser_is_opened_where_the_person_would_see_it(monkeypatch, environment, platform, expected):
    monkeypatch.setattr(sys, "platform", platform)

    assert _sign_in.has_browser(environment) is expected


def test_the_browser_is_the_persons_and_gets_no_key(tmp_path):
    browser = tmp_path / "browser"
    # A named pipe makes the test wait for the browser, and no longer.
    os.mkfifo(tmp_path / "told")
    browser.write_text(f'#!/bin/sh\n{{ echo "url=$1"; env; }} > {tmp_path}/told\n')
    browser.chmod(0o755)
    keys = {"EVERGRANT_KEY": "k1", "EVERGRANT_KEY_FILE": "k2", "EVERGRANT_KEY_COMMAND": "k3"}

    _sign_in.show(
        STARTED,
        open_browser=None,
        environment={"BROWSER": str(browser), "PATH": os.environ["PATH"], "KEPT": "yes", **keys},
    )

    told = (tmp_path / "told").read_text()
    assert f"url={STARTED['url']}\n" in told
    assert "KEPT=yes" in told
    assert "EVERGRANT_KEY" not in told


def test_over_ssh_the_tunnel_is_said(capsys):
    _sign_in.show(
        STARTED,
        open_browser=None,
        environment={"SSH_CONNECTION": "10.0.0.9 50000 192.0.2.7 22", "USER": "ann"},
    )

    shown = capsys.readouterr().err
    assert STARTED["url"] in shown
    assert "ssh -L 5123:127.0.0.1:5123 ann@192.0.2.7" in shown


def test_a_code_is_shown_beside_the_url(capsys):
    _sign_in.show({**STARTED, "device": CODE}, open_browser=False, environment={"SSH_CONNECTION": "1 2 192.0.2.7 22"})

    shown = capsys.readouterr()
    for expected in ("code WDJB-MJHT", CODE["verification_uri_complete"], STARTED["url"], "ssh -L 5123:127.0.0.1:5123"):
        assert expected in shown.err
    assert f"  {CODE['verification_uri']}\n" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("opens", [None, True, False])
def test_a_code_alone_opens_no_browser(monkeypatch, capsys, opens):
    monkeypatch.setattr(_sign_in, "_open", pytest.fail)

    _sign_in.show(BY_CODE, open_browser=opens, environment={"DISPLAY": ":0"})

    shown = capsys.readouterr().err
    assert "code WDJB-MJHT" in shown
    assert "paste" not in shown.lower()
    assert "complete-connect" not in shown


def test_a_callable_gets_the_link_with_the_code():
    shown = []
    _sign_in.show(BY_CODE, open_browser=shown.append)
    assert shown == [CODE["verification_uri_complete"]]


@pytest.mark.parametrize(
    ("opens", "environment", "expected"),
    [
        (None, {"DISPLAY": ":0"}, False),
        (None, {"DISPLAY": ":0", "SSH_CONNECTION": "1 2 3 4"}, True),
        (None, {}, True),
        (False, {"DISPLAY": ":0"}, True),
        (True, {}, False),
        (print, {}, False),
    ],
)
def test_a_code_is_asked_for_where_nobody_opens_a_browser(monkeypatch, opens, environment, expected):
    monkeypatch.setattr(sys, "platform", "linux")

    assert _sign_in.is_headless(opens, environment) is expected


def test_no_tunnel_is_said_for_a_redirect_elsewhere(capsys):
    _sign_in.show(
        {**STARTED, "redirect_uri": "https://me.example/callback"},
        open_browser=None,
        environment={"SSH_CONNECTION": "10.0.0.9 50000 192.0.2.7 22"},
    )

    assert "ssh -L" not in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [None, 0])
def test_nobody_waits_for_a_browser_that_is_sent_elsewhere(monkeypatch, capsys, terminal):
    monkeypatch.setattr(_sign_in, "_terminal", lambda: terminal)

    _sign_in.show({**STARTED, "redirect_uri": "https://me.example/callback"}, open_browser=None, environment={})

    shown = capsys.readouterr().err
    assert "the URL the browser ends at" in shown
    assert "Waiting" not in shown


@pytest.fixture
def typed(monkeypatch):
    """Types lines at the terminal of `connect`."""
    keyboard, terminal = pty.openpty()
    monkeypatch.setattr(_sign_in, "_terminal", lambda: terminal)
    yield lambda text: os.write(keyboard, text.encode())
    os.close(keyboard)
    os.close(terminal)


def test_a_pasted_callback_url_finishes_the_sign_in(core, sign_in, typed):
    core.answers["complete_connect"] = {"provider": "github", "state": "connected"}
    typed("  http://127.0.0.1/callback?code=1&state=x \n")

    assert evergrant.connect("github", open_browser=print).state == "connected"
    assert core.last("complete_connect")["callback_url"] == "http://127.0.0.1/callback?code=1&state=x"
    assert sign_in.watches[0] is not None


def test_a_paste_that_is_not_the_url_is_said_and_the_wait_goes_on(core, sign_in, typed, capsys):
    def complete(arguments):
        sign_in.finish({"provider": "github", "state": "connected"})
        return evergrant.ConnectFailed("That is not the callback of this sign-in")

    core.answers["complete_connect"] = complete
    typed("\n")
    typed("something\n")

    assert evergrant.connect("github", open_browser=print).state == "connected"
    assert core.verbs().count("complete_connect") == 1
    assert "That is not the callback of this sign-in. Paste the whole URL" in capsys.readouterr().err


def test_a_pasted_refusal_ends_the_sign_in(core, sign_in, typed):
    core.answers["complete_connect"] = evergrant.ConnectDenied("no")
    typed("http://127.0.0.1/callback?error=access_denied\n")

    with pytest.raises(evergrant.ConnectDenied):
        evergrant.connect("github", open_browser=print)
    assert core.last("connect_cancel") == {"flow": 7}


def test_the_end_of_input_ends_only_the_pasting(sign_in, typed, monkeypatch):
    monkeypatch.setattr(os, "read", lambda *_: b"")
    monkeypatch.setattr(sign_in, "wait", _ends_without_a_terminal(sign_in))

    assert evergrant.connect("github", open_browser=print).state == "connected"


def _ends_without_a_terminal(call):
    wait = call.wait

    def waiting(timeout=None, watch=None):
        if watch is None:
            call.finish({"state": "connected"})
        return wait(timeout, watch)

    return waiting
