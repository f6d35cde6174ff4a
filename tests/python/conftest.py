"""Fixtures of all tests: the authorization server, a browser, an empty home, and a leak check over all output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from fake_core import core  # noqa: F401 - a fixture: a stand-in for the Rust core, where a test asks for it
from support import AuthorizationServer, Program, UserAgent, leaks

CLEARED = ("EVERGRANT_", "XDG_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_", "BROWSER")

# A shell that starts us in the background has us ignore Ctrl-C, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_secrets: Callable[[], list[tuple[str, str]]] = list  # what the leak check looks for, as of now


@pytest.fixture(scope="session")
def authorization_server() -> Iterator[AuthorizationServer]:
    """The server of this test session, started once."""
    global _secrets  # noqa: PLW0603 - one server, one session
    with AuthorizationServer() as server:
        _secrets = server.secrets
        yield server
        last = server.secrets()  # the last test is judged after this
        _secrets = lambda: last  # noqa: E731


@pytest.fixture
def server(authorization_server: AuthorizationServer) -> AuthorizationServer:
    """The server with an empty log and no faults."""
    authorization_server.reset()
    return authorization_server


@pytest.fixture
def user_agent() -> UserAgent:
    """The browser of a person who has not signed in yet."""
    return UserAgent()


@pytest.fixture
def program(home: Path) -> Iterator[Callable[..., Program]]:
    """Starts a program in a process of its own; none outlives its test, and none complains of a secret."""
    started: list[Program] = []

    def start(
        code: str, *arguments: str, powerless: bool = False, under: tuple[str, ...] = (), **environment: str
    ) -> Program:
        keywords = {"environment": environment, "powerless": powerless, "under": under}
        started.append(Program(home.parent, code, *arguments, **keywords))
        return started[-1]

    yield start
    complaints = "".join(one.errors() for one in started)
    for one in started:
        one.close()
    assert leaks(complaints, _secrets()) == []


@pytest.fixture(scope="session", autouse=True)
def _nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test ever sees the developer's own store, key, proxies or browser, not even one that asks for nothing."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _move_into(tmp_path_factory.mktemp("nobody"), monkeypatch)
        yield
        _forget_default_workspace()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home of evergrant, in an environment that holds nothing else of it."""
    _forget_default_workspace()
    yield _move_into(tmp_path, monkeypatch)
    _forget_default_workspace()


def _move_into(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.upper().startswith(CLEARED):
            monkeypatch.delenv(name)
    for name, place in (("HOME", "."), ("EVERGRANT_HOME", "home"), ("XDG_CONFIG_HOME", "config")):
        monkeypatch.setenv(name, str(folder / place))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    return folder / "home"


def _forget_default_workspace() -> None:
    extension = sys.modules.get("evergrant._core")
    previous = extension.set_default_workspace(None) if extension else None
    if previous is not None:
        previous.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Two rules for every test: it shows no secret that the server handed out, and in CI none is skipped."""
    report = yield
    if report.when == "teardown" and "authorization_server" in getattr(item, "fixturenames", ()):
        secrets = _secrets()
        shown = [f"{found}, in {title}" for title, content in report.sections for found in leaks(content, secrets)]
        if shown:
            report.outcome = "failed"
            report.longrepr = "secrets were shown:\n" + "\n".join(shown)
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but CI is set: {call.excinfo.value if call.excinfo else 'marked'}"
    return report
