"""However a program ends, the reply to a request that it began is stored."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evergrant import AccessToken, Workspace
from support import AuthorizationServer, Program, UserAgent, acme

SLOW = 600  # milliseconds: the reply comes when the program has ended
TIMES = 3

Start = Callable[..., Program]

# How a program ends, and its exit code. Each gets its token at once and leaves a refresh in the background.
ENDS = {
    "normally": ("", 0),
    "by an exception": ("raise RuntimeError('on purpose')", 1),
    "by sys.exit": ("import sys; sys.exit(7)", 7),
    "by KeyboardInterrupt": ("raise KeyboardInterrupt", -2),
}

IN_CHILDREN = """
    import multiprocessing, sys
    import evergrant

    def work(number=0):
        return evergrant.get_token("acme").connection

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        {body}
"""

CHILDREN = {
    "Process": """
        child = context.Process(target=work)
        child.start()
        child.join()
        sys.exit(child.exitcode)
    """,
    "Process that ends by sys.exit": """
        child = context.Process(target=leave)
        child.start()
        child.join()
        sys.exit(child.exitcode - 7)
    """,
    "Pool": """
        pool = context.Pool(1)
        assert pool.map(work, range(3)) == ["default"] * 3
        pool.close()
        pool.join()
    """,
    "ProcessPoolExecutor": """
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            assert list(pool.map(work, range(3))) == ["default"] * 3
    """,
}


@pytest.fixture(autouse=True)
def expiring(home: object, server: AuthorizationServer, user_agent: UserAgent) -> None:
    """`acme` is connected, its token is handed out and refreshed in the background, and the server is slow."""
    acme.connect(server, user_agent, age=acme.EXPIRING)
    server.fault("slow", milliseconds=SLOW)


def remaining(token: AccessToken) -> float:
    """Seconds until it ends."""
    return token.expires_in or 0.0


def assert_stored(server: AuthorizationServer) -> None:
    """The new token is in the store: nobody has to ask again."""
    with Workspace() as workspace:
        token = workspace.get_token("acme")
    assert remaining(token) > acme.LIFETIME / 2
    assert server.whoami(token)["subject"] == "ada"
    assert (server.refreshes, server.reused) == (1, 0)


@pytest.mark.parametrize("time", range(TIMES))
@pytest.mark.parametrize("end", ENDS)
def test_a_program_that_ends(server: AuthorizationServer, program: Start, end: str, time: int) -> None:
    last, code = ENDS[end]
    complaint = {"by an exception": "on purpose", "by KeyboardInterrupt": "KeyboardInterrupt"}.get(end)

    program(f'import evergrant\nevergrant.get_token("acme")\n{last}').end(code=code, complains=complaint)

    assert_stored(server)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_of_multiprocessing(server: AuthorizationServer, program: Start, method: str, child: str) -> None:
    code = IN_CHILDREN.replace("{body}", CHILDREN[child].strip()).replace(
        "    if __name__", "    def leave():\n        work()\n        sys.exit(7)\n\n    if __name__"
    )

    program(code, method).end()

    assert_stored(server)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_whose_parent_had_requests_of_its_own(
    server: AuthorizationServer, user_agent: UserAgent, program: Start, method: str
) -> None:
    acme.connect(server, user_agent, age=acme.EXPIRING, connection="parent")
    server.fault("slow", milliseconds=0)
    server.fault("slow", milliseconds=SLOW)
    begin = 'evergrant.get_token("acme", connection="parent")\n        evergrant.drain()'

    program(IN_CHILDREN.replace("{body}", begin + CHILDREN["Process"]), method).end()

    with Workspace() as workspace:
        assert remaining(workspace.get_token("acme")) > acme.LIFETIME / 2
    assert (server.refreshes, server.reused) == (2, 0)


def test_a_bare_fork_whose_child_ends_by_sys_exit(server: AuthorizationServer, program: Start) -> None:
    program(
        """
        import os, sys
        import evergrant
        child = os.fork()
        if child == 0:
            evergrant.get_token("acme")
            sys.exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        """
    ).end()

    assert_stored(server)


@pytest.mark.parametrize("time", range(TIMES))
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_a_program_whose_loop_ended_first(server: AuthorizationServer, program: Start, loop: str, time: int) -> None:
    program(
        """
        import asyncio, sys
        from evergrant import aio

        async def main():
            await aio.get_token("acme")

        if sys.argv[1] == "trio":
            import trio
            trio.run(main)
        else:
            if sys.argv[1] == "uvloop":
                import uvloop
                loop = uvloop.new_event_loop()
            else:
                loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            loop.close()
        """,
        loop,
    ).end()

    assert_stored(server)


def test_a_request_that_a_daemon_thread_began(server: AuthorizationServer, program: Start) -> None:
    program(
        """
        import threading
        import evergrant
        begun = threading.Event()

        def work():
            evergrant.get_token("acme")
            begun.set()
            threading.Event().wait()

        threading.Thread(target=work, daemon=True).start()
        begun.wait()
        """
    ).end()

    assert_stored(server)


@pytest.mark.parametrize("time", range(TIMES))
def test_daemon_threads_that_wait_for_the_reply(server: AuthorizationServer, program: Start, time: int) -> None:
    program(
        """
        import threading
        import evergrant
        token = evergrant.get_token("acme")
        def work():
            evergrant.get_token("acme", replacing=token)

        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        """
    ).end()

    assert_stored(server)


def test_a_request_that_a_thread_began_after_the_main_thread_ended(server: AuthorizationServer, program: Start) -> None:
    program(
        """
        import threading
        import evergrant

        def work():
            threading.main_thread().join()
            evergrant.get_token("acme")

        threading.Thread(target=work).start()
        """
    ).end()

    assert_stored(server)


def test_a_request_that_an_atexit_callback_began(server: AuthorizationServer, program: Start) -> None:
    program(
        """
        import atexit
        import evergrant
        atexit.register(evergrant.get_token, "acme")
        """
    ).end()

    assert_stored(server)


def test_drain_waits_for_the_reply(server: AuthorizationServer, program: Start) -> None:
    output = program(
        """
        import os
        import evergrant
        evergrant.get_token("acme")
        print(evergrant.drain(0.05), evergrant.drain(), flush=True)
        os._exit(0)
        """
    ).end()

    assert output == "False True\n"
    assert_stored(server)


def test_what_skips_every_handler_is_asked_again_once_the_token_is_used_up(
    server: AuthorizationServer, program: Start
) -> None:
    killed = program(
        """
        import os
        import evergrant
        evergrant.get_token("acme")
        print("ready")
        input()
        """
    )
    assert killed.line() == "ready"
    while not server.refreshes:
        pass
    killed.kill()

    with Workspace() as workspace:
        token = workspace.get_token("acme")
        assert server.whoami(token)["subject"] == "ada"  # it still works: nobody may end it by asking again
    assert server.refreshes == 1
