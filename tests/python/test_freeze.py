"""A process that is stopped (SIGSTOP, Ctrl-Z, a paused container) as it refreshes, for a moment or past its deadline.

By `EVERGRANT_TEST_PACE` the lease of 150 s and the deadlines of a request come 50 times sooner: after 3 s.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import evergrant
from evergrant import Workspace
from support import AuthorizationServer, Program, UserAgent, acme

PACE = 50
LEASE = 150 / PACE  # seconds

Start = Callable[..., Program]
Leader = Callable[..., Program]

# Asks for a token, finishes what that began, and asks again.
LEADER = """
    import evergrant

    def ask():
        try:
            return str(evergrant.get_token("acme"))
        except evergrant.EvergrantError as error:
            return f"{type(error).__name__}: {error.reason}"

    print(ask())
    evergrant.drain()
    print(ask())
"""

IMPATIENT = """
    import evergrant
    try:
        evergrant.get_token("acme", timeout=0.3)
    except evergrant.ProviderUnavailable as error:
        print(error.code)
"""

SIGN_IN = """
    import threading
    from contextlib import suppress
    import evergrant
    from support import UserAgent

    def deliver(callback):
        with suppress(OSError):
            UserAgent().deliver(callback)

    def browser(url):
        callback = UserAgent("grace").consent(url)
        threading.Thread(target=deliver, args=(callback,), daemon=True).start()

    print(evergrant.connect("acme", again=True, open_browser=browser).account)
"""

ASK = """
    import evergrant
    print("ready")
    print(evergrant.get_token("acme"))
"""


@pytest.fixture(autouse=True)
def expired(home: object, server: AuthorizationServer, user_agent: UserAgent) -> None:
    """`acme` is connected, and its token has ended."""
    acme.connect(server, user_agent, age=acme.EXPIRED)


@pytest.fixture
def expiring(expired: None, server: AuthorizationServer, user_agent: UserAgent) -> None:
    """The token of `acme` still works, and is refreshed in the background."""
    acme.connect(server, user_agent, age=acme.EXPIRING)


@pytest.fixture
def paced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines come sooner, here and in every program."""
    monkeypatch.setenv("EVERGRANT_TEST_PACE", str(PACE))


@pytest.fixture
def leader(program: Start, server: AuthorizationServer) -> Iterator[Leader]:
    """Starts a process that is stopped at a point of its refresh; `reply`: when its request is at the server."""

    def start(point: str) -> Program:
        if point != "reply":
            started = program(LEADER, EVERGRANT_TEST_FAULTS=f"{point}=freeze")
            wait_until_stopped(started)
            return started
        server.settings(hold=2)
        started = program(LEADER)
        while not server.refreshes:
            pass
        started.process.send_signal(signal.SIGSTOP)
        wait_until_stopped(started)
        server.settings(hold=0)
        return started

    yield start
    server.settings(hold=0)


def state(process: Program) -> str:
    """The state of a process as the kernel names it: `T` is stopped."""
    return Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_until_stopped(process: Program) -> None:
    while state(process) != "T":
        assert process.process.poll() is None, process.errors()
        time.sleep(0.005)


def goes_on(process: Program) -> tuple[str, str]:
    """Lets a stopped process go on; what its call gets, and what it gets when it asks again."""
    process.process.send_signal(signal.SIGCONT)
    return process.line(), process.line()


def token_of_another(timeout: float = 30.0) -> str:
    """The token that another process than the stopped one gets."""
    with Workspace() as workspace:
        return str(workspace.get_token("acme", timeout=timeout))


def assert_works(server: AuthorizationServer, token: str, requests: int = 1) -> None:
    """The token works, so many requests brought it, and what is stored can be refreshed again."""
    assert (server.refreshes, server.reused) == (requests, 0)
    assert server.whoami(token)["subject"] == "ada"
    with Workspace() as workspace:
        assert workspace.get_token("acme") == token
        assert server.whoami(workspace.get_token("acme", replacing=token))["subject"] == "ada"
    assert (server.refreshes, server.reused) == (requests + 1, 0)


# For a moment


@pytest.mark.parametrize("point", ["refresh.claimed", "refresh.send", "reply", "refresh.reply", "refresh.commit"])
def test_others_wait_for_a_leader_that_is_stopped_for_a_moment(
    server: AuthorizationServer, program: Start, leader: Leader, point: str
) -> None:
    """Fails without `one.holds_off(claimant)` in src/store/sqlite/queries.rs."""
    stopped = leader(point)
    sent = server.refreshes

    assert program(IMPATIENT).line() == "timeout"
    assert server.refreshes == sent

    other = program(ASK)
    assert other.line() == "ready"
    token, again = goes_on(stopped)
    assert (other.line(), again) == (token, token)
    assert_works(server, token)


# Before it sends


@pytest.mark.parametrize("seconds", [0, LEASE], ids=["for a moment", "past the deadline"])
def test_a_leader_that_was_stopped_before_it_claimed_takes_what_another_brought(
    server: AuthorizationServer, paced: None, leader: Leader, seconds: float
) -> None:
    """Fails without `Claimed::Changed => {}` in src/engine/refresh/mod.rs."""
    stopped = leader("refresh.claim")
    token = token_of_another()
    time.sleep(seconds)

    assert goes_on(stopped) == (token, token)
    assert_works(server, token)


def test_a_leader_whose_claim_was_taken_over_does_not_send(
    server: AuthorizationServer, paced: None, program: Start, leader: Leader
) -> None:
    """Fails without `attempt.id == self.attempt` in src/engine/refresh/claim.rs."""
    stopped = leader("refresh.claimed")
    server.settings(hold=2)
    other = program(ASK)
    while not server.refreshes:
        pass

    stopped.process.send_signal(signal.SIGCONT)
    assert program(IMPATIENT).line() == "timeout"  # while the request of the other is under way
    assert server.refreshes == 1
    server.settings(hold=0)

    token = stopped.line()
    assert (stopped.line(), other.line(), other.line()) == (token, "ready", token)
    assert_works(server, token)


def test_a_request_that_was_about_to_leave_does_not_leave_after_the_deadline(
    server: AuthorizationServer, paced: None, leader: Leader
) -> None:
    """Fails without `if this.clock.monotonic() >= this.leaves_by` in src/http.rs."""
    stopped = leader("refresh.send")
    token = token_of_another()
    assert server.refreshes == 1

    assert goes_on(stopped) == (token, token)
    assert_works(server, token)


def test_a_leader_that_nobody_took_over_from_claims_anew_and_sends(
    server: AuthorizationServer, paced: None, leader: Leader
) -> None:
    """Fails without `if self.engine.clock.monotonic() >= leaves_by` in src/engine/refresh/mod.rs."""
    stopped = leader("refresh.send")
    time.sleep(LEASE)

    token, again = goes_on(stopped)
    assert again == token
    assert_works(server, token)


# With its request sent


def test_a_reply_that_came_while_its_process_was_stopped_past_every_deadline_is_stored(
    server: AuthorizationServer, paced: None, leader: Leader
) -> None:
    """Fails without `self.until = Instant::now() + self.last_look.take()?` in src/http.rs."""
    stopped = leader("reply")
    time.sleep(LEASE)

    token, again = goes_on(stopped)
    assert again == token
    assert_works(server, token)


@pytest.mark.parametrize("point", ["reply", "refresh.reply"])
def test_nobody_asks_again_for_a_stopped_leader_while_the_token_works(
    server: AuthorizationServer, expiring: None, paced: None, leader: Leader, point: str
) -> None:
    """Fails without `self.check_replay(begun_at)?` in src/engine/refresh/mod.rs."""
    stopped = leader(point)

    before = token_of_another()
    assert evergrant.drain()  # past the deadline, in the background

    assert server.whoami(before)["subject"] == "ada"
    assert token_of_another() == before
    assert server.refreshes == 1
    first, token = goes_on(stopped)
    assert first == before != token
    assert_works(server, token)


@pytest.mark.parametrize("point", ["reply", "refresh.reply"])
def test_once_the_token_is_used_up_the_reply_of_a_stopped_leader_counts_as_lost(
    server: AuthorizationServer, paced: None, leader: Leader, point: str
) -> None:
    """Fails without `abandoned.is_some()` in src/engine/refresh/mod.rs."""
    stopped = leader(point)

    with pytest.raises(evergrant.ReauthorizationRequired, match="an earlier refresh was lost") as raised:
        token_of_another()

    assert raised.value.hint == "evergrant connect acme --again"
    assert (server.refreshes, server.reused) == (2, 1)
    said = f"ReauthorizationRequired: {raised.value.reason}"
    assert goes_on(stopped) == (said, said)
    assert server.refreshes == 2
    with Workspace() as workspace:
        assert workspace.status("acme").state == "reauthorization_required"


def test_a_sign_in_that_was_stopped_after_its_code_was_sent_is_stored(
    server: AuthorizationServer, paced: None, program: Start
) -> None:
    """Fails without `self.until = Instant::now() + self.last_look.take()?` in src/http.rs."""
    server.settings(hold=2)
    stopped = program(SIGN_IN)
    while not server.count("authorization_code"):
        pass
    stopped.process.send_signal(signal.SIGSTOP)
    wait_until_stopped(stopped)
    server.settings(hold=0)
    time.sleep(LEASE)

    stopped.process.send_signal(signal.SIGCONT)

    assert stopped.line() == "grace@example.com"
    assert server.count() == 1
    assert server.whoami(token_of_another())["subject"] == "grace"


# With its reply in hand


def test_the_reply_in_the_slot_of_a_stopped_leader_is_stored_by_another(
    server: AuthorizationServer, paced: None, leader: Leader
) -> None:
    """Fails without `self.engine.replay_attempt(id)` in src/engine/refresh/mod.rs."""
    stopped = leader("refresh.commit")
    token = token_of_another()

    assert goes_on(stopped) == (token, token)
    assert_works(server, token)


@pytest.mark.parametrize("seconds", [0, LEASE], ids=["for a moment", "past the deadline"])
def test_what_a_stopped_leader_has_stored_is_there_for_all(
    server: AuthorizationServer, paced: None, leader: Leader, seconds: float
) -> None:
    """Fails without `self.commit_reply(key, &reply)` in src/engine/refresh/reply.rs."""
    stopped = leader("refresh.committed")
    time.sleep(seconds)
    token = token_of_another(timeout=1.0)  # nobody waits for the deadline

    assert goes_on(stopped) == (token, token)
    assert_works(server, token)


# In the middle of a write


def test_a_process_that_is_stopped_while_it_writes_keeps_others_from_writing_and_not_from_reading(
    server: AuthorizationServer, user_agent: UserAgent, leader: Leader
) -> None:
    """Fails without `"store_busy",` in src/store/sqlite/connection.rs."""
    acme.connect(server, user_agent, connection="another")
    stopped = leader("store.write")

    with Workspace() as workspace:
        assert workspace.get_token("acme", connection="another").connection == "another"
        with pytest.raises(evergrant.StoreError, match="another process") as raised:
            workspace.get_token("acme")

    assert raised.value.code == "store_busy"
    assert server.refreshes == 0
    token, again = goes_on(stopped)
    assert again == token
    assert_works(server, token)


# Slow servers


def test_a_reply_after_100_seconds_is_used_by_all_who_wait_for_it(
    server: AuthorizationServer, paced: None, program: Start
) -> None:
    """Fails without `const TOKEN_DEADLINE: Duration = Duration::from_secs(130);` in src/oauth/request.rs."""
    server.fault("slow", milliseconds=100_000 / PACE)
    first = program(ASK)
    assert first.line() == "ready"
    while not server.refreshes:
        pass

    token = token_of_another()

    assert first.line() == token
    assert_works(server, token)
