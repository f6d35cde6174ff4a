"""Another process disconnects or connects anew while this one refreshes; the server's log says what was sent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError

import pytest

from evergrant import Workspace
from support import AuthorizationServer, Program, UserAgent, acme

DEADLINE = 30.0  # seconds

Start = Callable[..., Program]

REFRESH = """
    import sys
    import evergrant
    from support import whoami
    try:
        print(whoami(sys.argv[1], evergrant.get_token("acme")))
    except evergrant.EvergrantError as error:
        print(type(error).__name__)
"""

DISCONNECT = """
    import evergrant
    assert evergrant.disconnect("acme").ok
"""

RECONNECT = """
    import evergrant
    from support import UserAgent
    evergrant.connect("acme", again=True, open_browser=UserAgent("grace").connect)
"""

IMPORT = """
    import evergrant
    evergrant.import_refresh_token("acme", input())
"""


@pytest.fixture
def expired(home: object, server: AuthorizationServer, user_agent: UserAgent) -> None:
    """`acme` is connected as ada in the default workspace, and its token is over."""
    acme.connect(server, user_agent, age=acme.EXPIRED)


@pytest.fixture
def of_grace(home: object, server: AuthorizationServer, tmp_path: Path) -> str:
    """A refresh token of grace's, which no store of these tests refreshes."""
    acme.connect(server, UserAgent("grace"), store=tmp_path / "of-grace.db")
    return [value for kind, value in server.issued() if kind == "RefreshToken"][-1]


@pytest.fixture
def parked(expired: None, server: AuthorizationServer, program: Start) -> Program:
    """A process whose refresh the server has done; the reply waits for a second one, or for `settings(hold=0)`."""
    server.settings(hold=2)
    refreshing = program(REFRESH, server.api)
    start = time.monotonic()
    while not any(request.ok for request in server.requests()):
        assert time.monotonic() - start < DEADLINE
    return refreshing


@pytest.fixture
def frozen(expired: None, server: AuthorizationServer, program: Start) -> Program:
    """A process that stands still after it claimed the refresh and before it sends anything."""
    refreshing = program(REFRESH, server.api, EVERGRANT_TEST_FAULTS="refresh.claimed=freeze")
    _, status = os.waitpid(refreshing.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return refreshing


def goes_on(program: Program) -> str:
    program.process.send_signal(signal.SIGCONT)
    return program.end()


def now(server: AuthorizationServer) -> str:
    """Whose token the default workspace hands out now."""
    with Workspace() as workspace:
        subject: str = server.whoami(workspace.get_token("acme"))["subject"]
        return subject


def test_what_is_issued_during_a_disconnect_is_ended_at_the_server(
    parked: Program, server: AuthorizationServer, program: Start
) -> None:
    program(DISCONNECT).end()
    server.settings(hold=0)
    assert parked.end() == "NotConnected\n"
    assert server.refreshes == 1
    newest = [value for kind, value in server.issued() if kind == "AccessToken"][-1]
    with pytest.raises(HTTPError, match="401") as refused:
        server.whoami(newest)
    refused.value.close()


def test_a_disconnect_after_the_claim_keeps_the_refresh_from_being_sent(
    frozen: Program, server: AuthorizationServer, program: Start
) -> None:
    program(DISCONNECT).end()
    assert goes_on(frozen) == "NotConnected\n"
    assert server.refreshes == 0


def test_a_sign_in_after_the_claim_is_what_the_caller_gets(
    frozen: Program, server: AuthorizationServer, program: Start
) -> None:
    program(RECONNECT).end()
    assert goes_on(frozen) == "grace\n"
    assert (server.refreshes, server.reused) == (0, 0)


def test_a_sign_in_whose_reply_leaves_together_with_a_refresh_wins_in_either_order(
    parked: Program, server: AuthorizationServer, program: Start
) -> None:
    program(RECONNECT).end()
    assert parked.end() in {"ada\n", "grace\n"}
    server.settings(hold=0)
    assert now(server) == "grace"
    assert server.reused == 0


def test_a_refresh_token_imported_during_a_refresh_is_what_the_caller_gets(
    of_grace: str, parked: Program, server: AuthorizationServer, program: Start
) -> None:
    importing = program(IMPORT)
    importing.tell(of_grace)
    importing.end()
    server.settings(hold=0)
    assert parked.end() == "grace\n"
    assert server.reused == 0
