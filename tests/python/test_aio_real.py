"""The awaited verbs with the real core, on every event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
import uvloop

from evergrant import NotConnected, Workspace, aio
from support import AuthorizationServer, UserAgent, acme

Main = Callable[[], Coroutine[Any, Any, None]]


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
    "anyio on trio": lambda main: anyio.run(main, backend="trio"),
}


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest, home: Path) -> Callable[[Main], None]:
    """Runs a coroutine function on an event loop."""
    return RUNNERS[request.param]


def test_the_whole_way_of_a_connection(server: AuthorizationServer, run: Callable[[Main], None]) -> None:
    async def main() -> None:
        await aio.configure(
            "acme", issuer=server.issuer, client_id=server.public.client_id, scopes=[*acme.SCOPES, "profile"]
        )
        status = await aio.connect("acme", open_browser=in_a_thread(UserAgent("ada").connect))
        assert (status.state, status.account) == ("connected", "ada@example.com")
        token = await aio.get_token("acme", scopes=["profile"])
        assert server.whoami(token)["subject"] == "ada"
        assert (await aio.test("acme")).ok
        assert (await aio.refresh("acme")).ok
        assert await aio.get_token("acme") != token
        assert [one.provider for one in await aio.integrations()] == ["acme"]
        assert (await aio.disconnect("acme")).ok
        with pytest.raises(NotConnected):
            await aio.get_token("acme")
        assert (await aio.remove("acme")).ok
        assert await aio.integrations() == ()

    run(main)
    assert (server.refreshes, server.reused) == (1, 0)


def test_a_workspace_is_an_asynchronous_context(
    server: AuthorizationServer, user_agent: UserAgent, run: Callable[[Main], None]
) -> None:
    acme.connect(server, user_agent, name="team")

    async def main() -> None:
        async with aio.Workspace("team") as workspace:
            assert (await workspace.get_token("acme")).workspace == "team"

            @workspace.oauth("acme")
            async def who(*, token: str) -> str:
                return str(server.whoami(token)["subject"])

            assert await who() == "ada"

    run(main)


def test_a_web_application_begins_and_completes(server: AuthorizationServer, run: Callable[[Main], None]) -> None:
    with Workspace() as workspace:
        acme.configure(workspace, server)

    async def main() -> None:
        begun = await aio.begin_connect("acme", redirect_uri="http://127.0.0.1/callback", session="s")
        callback = UserAgent("grace").consent(begun.authorization_url)
        assert (await aio.complete_connect(callback, session="s")).account == "grace@example.com"

    run(main)


def test_a_cancelled_sign_in_closes_its_port(server: AuthorizationServer, run: Callable[[Main], None]) -> None:
    with Workspace() as workspace:
        acme.configure(workspace, server)
    callbacks = []

    async def main() -> None:
        with anyio.move_on_after(0.2) as scope:
            await aio.connect("acme", open_browser=lambda url: callbacks.append(UserAgent().consent(url)))
        assert scope.cancelled_caught

    run(main)
    with pytest.raises(OSError, match=r"refused|reset"):
        UserAgent().deliver(callbacks[0])
    assert server.count("authorization_code") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_a_loop_leaves_no_descriptor(
    server: AuthorizationServer, user_agent: UserAgent, run: Callable[[Main], None]
) -> None:
    acme.connect(server, user_agent)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(aio.test, "acme")

    run(main)
    before = descriptors()
    for _ in range(3):
        run(main)
    assert descriptors() <= before


def descriptors() -> int:
    """Open ones that are no connections to the server: those are kept for the next request."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # another thread closed it
            count += "socket" not in str(link.readlink())
    return count


def in_a_thread(browser: Callable[[str], object]) -> Callable[[str], None]:
    """A browser does not stop the loop that waits for it."""
    return lambda url: threading.Thread(target=browser, args=(url,)).start()
