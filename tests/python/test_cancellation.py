"""A cancelled task, a closed loop and an expired `timeout=` end the waiting; the request goes on and is stored.

The server holds every reply back until the caller has gone. What Ctrl-C does stands in test_interrupt.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evergrant import Workspace
from support import AuthorizationServer, Program, UserAgent, acme

Start = Callable[..., Program]

IN_ASYNCIO = """
    import asyncio
    from contextlib import suppress
    from evergrant import aio

    async def main():
        task = asyncio.ensure_future(aio.get_token("acme"))
        await asyncio.to_thread(input)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        print("cancelled", task.cancelled())

    asyncio.run(main())
"""

IN_TRIO = """
    import trio
    from evergrant import aio

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(aio.get_token, "acme")
            await trio.to_thread.run_sync(input)
            nursery.cancel_scope.cancel()
        print("cancelled", nursery.cancel_scope.cancelled_caught)

    trio.run(main)
"""

IN_ANYIO = """
    import anyio
    from evergrant import aio

    async def main():
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(aio.get_token, "acme")
                await anyio.to_thread.run_sync(input)
                scope.cancel()
        print("cancelled", scope.cancelled_caught)

    anyio.run(main, backend="BACKEND")
"""

CANCELLED = {
    "asyncio": IN_ASYNCIO,
    "trio": IN_TRIO,
    "anyio on asyncio": IN_ANYIO.replace("BACKEND", "asyncio"),
    "anyio on trio": IN_ANYIO.replace("BACKEND", "trio"),
}

GOES_ON = """
    import asyncio
    from evergrant import aio

    async def main():
        task = asyncio.ensure_future(aio.get_token("acme"))
        await asyncio.to_thread(input)
        task.cancel()
        await asyncio.wait([task])
        print("cancelled", task.cancelled())
        print(await aio.get_token("acme"))

    asyncio.run(main())
"""

CLOSED = """
    import asyncio
    from evergrant import aio

    loop = asyncio.new_event_loop()
    task = loop.create_task(aio.get_token("acme"))
    loop.run_until_complete(asyncio.wait_for(asyncio.to_thread(input), None))
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    print("closed", task.cancelled())
"""

TIMED_OUT = """
    import evergrant
    try:
        evergrant.get_token("acme", timeout=0.3)
    except evergrant.ProviderUnavailable as error:
        print(error.code)
    print(evergrant.get_token("acme"))
"""

AWAITED_TIMEOUT = """
    import asyncio
    from evergrant import ProviderUnavailable, aio

    async def main():
        try:
            await aio.get_token("acme", timeout=0.3)
        except ProviderUnavailable as error:
            print(error.code)
        print(await aio.get_token("acme"))

    asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def expired(home: object, server: AuthorizationServer, user_agent: UserAgent) -> None:
    """`acme` is connected, its token has ended, and the server holds its replies back."""
    acme.connect(server, user_agent, age=acme.EXPIRED)
    server.settings(hold=2)


def at_the_server(server: AuthorizationServer) -> None:
    """Waits until a request is at the server, which holds the reply back."""
    while not server.count():
        pass


def assert_stored(server: AuthorizationServer) -> str:
    """The new token is in the store, from the one request that there was; that token."""
    with Workspace() as workspace:
        token = workspace.get_token("acme")
        assert server.whoami(token)["subject"] == "ada"
    assert (server.refreshes, server.reused) == (1, 0)
    return str(token)


@pytest.mark.parametrize("library", CANCELLED)
def test_a_cancelled_task_leaves_its_request_to_the_store(
    server: AuthorizationServer, program: Start, library: str
) -> None:
    caller = program(CANCELLED[library])
    at_the_server(server)

    caller.tell()
    assert caller.line() == "cancelled True"
    server.settings(hold=0)

    caller.end()
    assert_stored(server)


def test_a_call_after_a_cancelled_one_gets_the_token_of_the_same_request(
    server: AuthorizationServer, program: Start
) -> None:
    caller = program(GOES_ON)
    at_the_server(server)

    caller.tell()
    assert caller.line() == "cancelled True"
    server.settings(hold=0)

    token = caller.line()
    caller.end()
    assert assert_stored(server) == token


def test_a_loop_that_is_closed_leaves_its_request_to_the_store(server: AuthorizationServer, program: Start) -> None:
    caller = program(CLOSED)
    at_the_server(server)

    caller.tell()
    assert caller.line() == "closed True"
    server.settings(hold=0)

    caller.end()
    assert_stored(server)


@pytest.mark.parametrize("code", [TIMED_OUT, AWAITED_TIMEOUT], ids=["sync", "asyncio"])
def test_a_call_after_an_expired_timeout_gets_the_token_of_the_same_request(
    server: AuthorizationServer, program: Start, code: str
) -> None:
    caller = program(code)

    assert caller.line() == "timeout"
    server.settings(hold=0)

    token = caller.line()
    caller.end()
    assert assert_stored(server) == token


# Signing in

BROWSER = """
    import threading
    from contextlib import suppress
    from support import UserAgent

    def deliver(callback):
        with suppress(OSError):
            UserAgent().deliver(callback)

    def browser(url):
        callback = UserAgent("grace").consent(url)
        threading.Thread(target=deliver, args=(callback,), daemon=True).start()
"""

CONNECT_IN_ASYNCIO = """
    import asyncio
    from evergrant import aio

    async def main():
        task = asyncio.ensure_future(aio.connect("acme", again=True, open_browser=browser))
        await asyncio.to_thread(input)
        task.cancel()
        await asyncio.wait([task])
        print("cancelled", task.cancelled())

    asyncio.run(main())
"""

CONNECT_IN_TRIO = """
    import trio
    from evergrant import aio

    async def connect():
        await aio.connect("acme", again=True, open_browser=browser)

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect)
            await trio.to_thread.run_sync(input)
            nursery.cancel_scope.cancel()
        print("cancelled", nursery.cancel_scope.cancelled_caught)

    trio.run(main)
"""

CONNECT_TIMED_OUT = """
    import evergrant
    try:
        evergrant.connect("acme", again=True, open_browser=browser, timeout=5)
    except evergrant.ConnectTimeout as error:
        print("cancelled", error.code == "connect_timeout")
"""


@pytest.mark.parametrize("code", [CONNECT_IN_ASYNCIO, CONNECT_IN_TRIO], ids=["asyncio", "trio"])
def test_a_sign_in_that_is_cancelled_after_its_code_was_sent_is_stored(
    server: AuthorizationServer, program: Start, code: str
) -> None:
    caller = program(BROWSER + code)
    at_the_server(server)

    caller.tell()
    assert caller.line() == "cancelled True"
    server.settings(hold=0)

    caller.end()
    assert_signed_in(server)


def test_a_sign_in_whose_timeout_ends_after_its_code_was_sent_is_stored(
    server: AuthorizationServer, program: Start
) -> None:
    caller = program(BROWSER + CONNECT_TIMED_OUT)
    at_the_server(server)

    assert caller.line() == "cancelled True"
    server.settings(hold=0)

    caller.end()
    assert_signed_in(server)


def assert_signed_in(server: AuthorizationServer) -> None:
    """The connection is that of the new sign-in, from the one request that there was."""
    with Workspace() as workspace:
        assert server.whoami(workspace.get_token("acme"))["subject"] == "grace"
    assert (server.count("authorization_code"), server.count()) == (1, 1)
