"""What one process does, another sees: at once in the same process, within a second elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from evergrant import AccessToken, NotConnected, ReauthorizationRequired, UnknownProvider, Workspace
from support import AuthorizationServer, Program, UserAgent, acme

WITHIN = 1.0  # seconds, by the manual
SLACK = 4.0  # seconds that a loaded machine may add

Start = Callable[..., Program]

DISCONNECT = """
    import evergrant
    evergrant.disconnect("acme", revoke=False)
"""

RECONNECT = """
    import evergrant, sys
    from support import UserAgent
    evergrant.connect("acme", again=True, open_browser=UserAgent("grace").connect)
"""

CONFIGURE = """
    import evergrant
    evergrant.configure("acme", client_id="another-app", client_secret="")
"""

REMOVE = """
    import evergrant
    evergrant.remove("acme", revoke=False)
"""

WATCH = """
    import evergrant
    first = evergrant.get_token("acme")
    print("ready")
    while True:
        try:
            if evergrant.get_token("acme") != first:
                break
        except evergrant.EvergrantError as error:
            print(type(error).__name__)
            break
"""


@pytest.fixture
def workspace(home: object, server: AuthorizationServer, user_agent: UserAgent) -> Workspace:
    """The default workspace, where `acme` is connected and its token is cached."""
    acme.connect(server, user_agent)
    workspace = Workspace()
    workspace.get_token("acme")
    return workspace


def until(seen: Callable[[], bool]) -> None:
    """Asks again and again, as a program would, and fails when it takes longer than promised."""
    start = time.monotonic()
    while not seen():
        assert time.monotonic() - start < WITHIN + SLACK


def raises(error: type[Exception], ask: Callable[[], object]) -> bool:
    try:
        ask()
    except error:
        return True
    return False


# From another process


def test_a_disconnect_elsewhere_ends_the_cached_token(workspace: Workspace, program: Start) -> None:
    program(DISCONNECT).end()

    until(lambda: raises(NotConnected, lambda: workspace.get_token("acme")))


def test_a_reconnect_elsewhere_brings_its_token(
    server: AuthorizationServer, workspace: Workspace, program: Start
) -> None:
    before = workspace.get_token("acme")
    program(RECONNECT).end()

    until(lambda: workspace.get_token("acme") != before)
    assert server.whoami(workspace.get_token("acme"))["subject"] == "grace"


def test_another_client_configured_elsewhere_needs_a_person(workspace: Workspace, program: Start) -> None:
    program(CONFIGURE).end()

    until(lambda: raises(ReauthorizationRequired, lambda: workspace.get_token("acme")))


def test_an_integration_removed_elsewhere_is_gone(workspace: Workspace, program: Start) -> None:
    program(REMOVE).end()

    until(lambda: raises(UnknownProvider, lambda: workspace.get_token("acme")))
    assert workspace.integrations() == ()


@pytest.mark.parametrize("ask", ["get_token", "decorated"])
def test_a_program_that_only_asks_for_tokens_sees_the_disconnect(
    workspace: Workspace, program: Start, ask: str
) -> None:
    code = WATCH
    if ask == "decorated":
        code = code.replace("    first", "    from evergrant import oauth\n    first", 1).replace(
            'if evergrant.get_token("acme") != first', 'if oauth("acme")(lambda token: str(token) != str(first))()'
        )
    watching = program(code)
    assert watching.line() == "ready"

    workspace.disconnect("acme", revoke=False)
    start = time.monotonic()

    assert watching.line() == "NotConnected"
    assert time.monotonic() - start < WITHIN + SLACK
    watching.end()


def test_status_elsewhere_is_never_old(workspace: Workspace, program: Start) -> None:
    asking = program(
        """
        import evergrant
        while input():
            print(evergrant.status("acme").state, evergrant.status("acme").client_id, flush=True)
        """
    )
    asking.tell("now")
    assert asking.line() == "connected confidential:app"
    workspace.disconnect("acme", revoke=False)
    asking.tell("now")
    assert asking.line() == "configured confidential:app"
    workspace.configure("acme", client_id="another-app")
    asking.tell("now")
    assert asking.line() == "configured another-app"
    asking.tell("")
    asking.end()


# In the same process


def test_a_disconnect_is_seen_at_once(workspace: Workspace) -> None:
    workspace.disconnect("acme", revoke=False)

    with pytest.raises(NotConnected):
        workspace.get_token("acme")


def test_a_reconnect_is_seen_at_once(server: AuthorizationServer, workspace: Workspace) -> None:
    workspace.connect("acme", again=True, open_browser=UserAgent("grace").connect)

    assert server.whoami(workspace.get_token("acme"))["subject"] == "grace"


def test_another_object_of_the_same_workspace_sees_it_at_once(workspace: Workspace) -> None:
    with Workspace() as other:
        token: AccessToken = other.get_token("acme")
        assert token is workspace.get_token("acme")
        workspace.disconnect("acme", revoke=False)

        with pytest.raises(NotConnected):
            other.get_token("acme")


def test_a_new_client_is_seen_at_once(workspace: Workspace) -> None:
    workspace.configure("acme", client_id="another-app", client_secret="")

    with pytest.raises(ReauthorizationRequired, match="client id"):
        workspace.get_token("acme")


# Processes at one expiry

RACE = """
    import sys
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier
    import evergrant
    from support import whoami

    api, threads = sys.argv[1], 8
    together = Barrier(threads)

    def work(_):
        together.wait(30)
        return whoami(api, evergrant.get_token("acme"))

    print("ready")
    input()
    with ThreadPoolExecutor(threads) as pool:
        print(*set(pool.map(work, range(threads))))
"""


def test_processes_with_threads_cause_one_refresh_at_one_expiry(
    home: object, server: AuthorizationServer, user_agent: UserAgent, program: Start
) -> None:
    acme.connect(server, user_agent, age=acme.EXPIRED)
    racing = [program(RACE, server.api) for _ in range(4)]
    assert [one.line() for one in racing] == ["ready"] * 4

    for one in racing:
        one.tell()

    assert [one.end() for one in racing] == ["ada\n"] * 4
    assert (server.refreshes, server.reused) == (1, 0)


def test_a_slow_reply_is_waited_for_by_the_other_processes(
    home: object, server: AuthorizationServer, user_agent: UserAgent, program: Start
) -> None:
    acme.connect(server, user_agent, age=acme.EXPIRED)
    racing = [program(RACE, server.api) for _ in range(2)]
    assert [one.line() for one in racing] == ["ready"] * 2
    server.fault("slow", milliseconds=1500)

    for one in racing:
        one.tell()

    assert [one.end() for one in racing] == ["ada\n"] * 2
    assert (server.refreshes, server.reused) == (1, 0)
