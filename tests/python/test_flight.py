"""One refresh per expiry, counted by the server: threads, tasks, and both at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import anyio
import pytest
import trio
import uvloop

import evergrant
from evergrant import AccessToken, Workspace, _core, aio
from support import AuthorizationServer, UserAgent, acme

THREADS = 64
TASKS = 500

Main = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture
def clock() -> _core.ManualClock:
    """The clock of the default workspace."""
    return acme.clock_of()


@pytest.fixture
def workspace(
    home: object, server: AuthorizationServer, user_agent: UserAgent, clock: _core.ManualClock
) -> Iterator[Workspace]:
    """The default workspace, where `acme` is connected; it lives by `clock`."""
    with acme.opened_at(clock) as workspace:
        acme.configure(workspace, server)
        workspace.connect("acme", open_browser=user_agent.connect)
        _core.set_default_workspace(workspace._inner)
        server.reset()
        yield workspace
        _core.set_default_workspace(None)


@pytest.fixture
def expired(workspace: Workspace, clock: _core.ManualClock) -> AccessToken:
    """The token that has just ended."""
    token = evergrant.get_token("acme")
    clock.advance(acme.EXPIRED)
    return token


def on_uvloop(main: Main) -> None:
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


RUNNERS: dict[str, Callable[[Main], None]] = {
    "asyncio": lambda main: asyncio.run(main()),
    "uvloop": on_uvloop,
    "trio": trio.run,
    "anyio on asyncio": lambda main: anyio.run(main, backend="asyncio"),
    "anyio on trio": lambda main: anyio.run(main, backend="trio"),
}


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    """Runs a coroutine function on an event loop."""
    return RUNNERS[request.param]


def in_threads(ask: Callable[[], AccessToken], count: int = THREADS) -> list[AccessToken]:
    """What so many threads get that ask at once."""
    together = threading.Barrier(count)

    def work() -> AccessToken:
        together.wait(30)
        return ask()

    with ThreadPoolExecutor(count) as pool:
        return [future.result(30) for future in [pool.submit(work) for _ in range(count)]]


async def in_tasks(found: list[AccessToken], count: int = TASKS, **request: Any) -> None:
    """Adds to `found` what so many tasks get that ask at once."""

    async def ask() -> None:
        found.append(await aio.get_token("acme", **request))

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(ask)


def assert_one_refresh(server: AuthorizationServer, tokens: list[AccessToken], before: str) -> None:
    assert (server.refreshes, server.count(), server.reused) == (1, 1, 0)
    assert len(set(tokens)) == 1
    assert tokens[0] != before
    assert server.whoami(tokens[0])["subject"] == "ada"


# At one expiry


def test_64_threads_cause_one_refresh(server: AuthorizationServer, expired: AccessToken) -> None:
    tokens = in_threads(lambda: evergrant.get_token("acme"))

    assert_one_refresh(server, tokens, expired)


def test_500_tasks_cause_one_refresh(
    server: AuthorizationServer, expired: AccessToken, run: Callable[[Main], None]
) -> None:
    found: list[AccessToken] = []

    run(lambda: in_tasks(found))

    assert len(found) == TASKS
    assert_one_refresh(server, found, expired)


def test_threads_and_tasks_together_cause_one_refresh(server: AuthorizationServer, expired: AccessToken) -> None:
    found: list[AccessToken] = []
    loop = threading.Thread(target=asyncio.run, args=(in_tasks(found),))
    loop.start()
    tokens = in_threads(lambda: evergrant.get_token("acme"))
    loop.join(30)

    assert len(found) == TASKS
    assert_one_refresh(server, tokens + found, expired)


def test_threads_with_a_workspace_object_each_cause_one_refresh(
    server: AuthorizationServer, expired: AccessToken, clock: _core.ManualClock
) -> None:
    def ask() -> AccessToken:
        with acme.opened_at(clock) as own:
            return own.get_token("acme")

    assert_one_refresh(server, in_threads(ask, 16), expired)


def test_decorated_functions_cause_one_refresh(server: AuthorizationServer, expired: AccessToken) -> None:
    @evergrant.oauth("acme")
    def own(*, token: AccessToken) -> list[bool]:
        return [token != expired, server.whoami(token)["subject"] == "ada"]

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda _: own(), range(THREADS)))

    assert answers == [[True, True]] * THREADS
    assert (server.refreshes, server.reused) == (1, 0)


def test_every_expiry_is_a_refresh_of_its_own(
    server: AuthorizationServer, expired: AccessToken, clock: _core.ManualClock
) -> None:
    for count in range(1, 4):
        tokens = in_threads(lambda: evergrant.get_token("acme"), 8)
        assert len(set(tokens)) == 1
        assert (server.refreshes, server.reused) == (count, 0)
        clock.advance(acme.EXPIRED)


def test_an_error_reaches_all_who_wait(server: AuthorizationServer, expired: AccessToken) -> None:
    server.fault("error", error="temporarily_unavailable", status=503)

    def ask() -> AccessToken:
        with pytest.raises(evergrant.ProviderUnavailable) as raised:
            evergrant.get_token("acme")
        assert raised.value.retry_after > 0
        return expired

    in_threads(ask, 16)

    assert server.refreshes == 1


# Within the margin


def test_an_expiring_token_is_handed_out_and_refreshed_once(
    server: AuthorizationServer, workspace: Workspace, clock: _core.ManualClock
) -> None:
    before = evergrant.get_token("acme")
    clock.advance(acme.EXPIRING)

    tokens = in_threads(lambda: evergrant.get_token("acme"), 16)
    evergrant.drain()

    assert before in tokens
    assert evergrant.get_token("acme") != before
    assert server.whoami(before)["subject"] == "ada"
    assert (server.refreshes, server.reused) == (1, 0)


# Refused tokens


def test_callers_who_report_the_same_token_cause_one_refresh(server: AuthorizationServer, workspace: Workspace) -> None:
    refused = evergrant.get_token("acme")

    tokens = in_threads(lambda: evergrant.get_token("acme", replacing=refused), 16)

    assert_one_refresh(server, tokens, refused)


def test_tasks_who_report_the_same_token_cause_one_refresh(
    server: AuthorizationServer, workspace: Workspace, run: Callable[[Main], None]
) -> None:
    refused, found = evergrant.get_token("acme"), []

    run(lambda: in_tasks(found, 50, replacing=refused))

    assert_one_refresh(server, found, refused)


def test_a_token_that_is_no_longer_current_is_not_replaced_again(
    server: AuthorizationServer, workspace: Workspace
) -> None:
    refused = evergrant.get_token("acme")
    current = evergrant.get_token("acme", replacing=refused)

    assert evergrant.get_token("acme", replacing=refused) == current
    assert evergrant.get_token("acme", replacing="never issued") == current
    assert server.refreshes == 1


# Side by side


def test_connections_refresh_in_parallel(
    server: AuthorizationServer, workspace: Workspace, clock: _core.ManualClock
) -> None:
    workspace.connect("acme", connection="grace", open_browser=UserAgent("grace").connect)
    clock.advance(acme.EXPIRED)
    server.reset()
    server.settings(hold=2)  # no reply leaves before both requests are there

    with ThreadPoolExecutor(2) as pool:
        ada, grace = pool.map(lambda name: workspace.get_token("acme", connection=name), ["default", "grace"])

    assert (server.whoami(ada)["subject"], server.whoami(grace)["subject"]) == ("ada", "grace")
    assert server.refreshes == 2


def test_resources_of_one_refresh_token_are_refreshed_one_after_the_other(
    server: AuthorizationServer, home: object, user_agent: UserAgent
) -> None:
    with Workspace() as workspace:
        acme.configure(workspace, server, scopes=(*acme.SCOPES, "files.read", "mail.read"))
        asked = urlencode([("resource", resource) for resource in server.resources])
        workspace.connect("acme", open_browser=lambda url: user_agent.connect(f"{url}&{asked}"))
        server.reset()
        server.settings(hold=2)

        with ThreadPoolExecutor(2) as pool:
            files, mail = (pool.submit(workspace.get_token, "acme", resource=resource) for resource in server.resources)
            while server.refreshes == 0:
                assert not files.done()
                assert not mail.done()
            assert server.refreshes == 1
            server.settings(hold=0)
            tokens = [files.result(30), mail.result(30)]

    assert [token.resource for token in tokens] == list(server.resources)
    assert [server.whoami(token)["audience"] for token in tokens] == list(server.resources)
    assert (server.refreshes, server.reused) == (2, 0)
