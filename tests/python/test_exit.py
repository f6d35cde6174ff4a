"""However a program ends, the reply to a request that it began is stored; what skips every handler breaks nothing.

The programs are those of `support.exits`; here the reply certainly comes after the end. Each test names the line
without which it fails; of the four mechanisms that let a process wait, two cover most ends.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from evergrant import AccessToken, ReauthorizationRequired, Workspace
from support import AuthorizationServer, Program, UserAgent, acme
from support.exits import endings

SLOW = 600  # milliseconds: the reply comes when the program has ended
ENDINGS = endings()

ENDS = [
    "ends normally",
    "ends by an exception",
    "ends by sys.exit",
    "ends by KeyboardInterrupt",
    "ends by a SIGTERM that raises SystemExit",
]
THREADS = ["a daemon thread asks", "daemon threads that wait for the reply"]
OUTLIVING = "a thread that asks after the main thread has ended"
FORKED = "a bare fork whose child ends by sys.exit"
FINALIZERS = "a fork whose child calls only the finalizers of multiprocessing"
AT_EXIT = "an atexit callback asks"
LOOPS = [f"{loop}: the loop ends before the reply" for loop in ("asyncio", "uvloop", "trio")]
CHILDREN = [name for name in ENDINGS if name.startswith(("Process ", "ProcessPoolExecutor", "Pool "))]

# What skips every handler. Each ends when a line comes: by then the request is at the server.
SKIPPING = {
    "os._exit": ("begin(); input(); os._exit(7)", 7),
    "SIGTERM's default action": ("begin(); input(); os.kill(os.getpid(), signal.SIGTERM)", -15),
    "Process.terminate": ("child = context.Process(target=begin); child.start(); input(); child.terminate()", 0),
    "a Pool that is left by `with`": ("with context.Pool(1) as pool:\n    pool.apply(ask); print('ready'); input()", 0),
}

Start = Callable[..., Program]


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


def ends(program: Start, name: str) -> None:
    """Lets the program of this name end as it should, without a word."""
    program(ENDINGS[name].code).end(code=ENDINGS[name].exit_code)


@pytest.mark.parametrize("name", ENDS)
def test_a_program_that_ends(server: AuthorizationServer, program: Start, name: str) -> None:
    """Fails without `exit::arm(py)?` in src/python/call.rs."""
    ends(program, name)

    assert_stored(server)


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_of_multiprocessing(server: AuthorizationServer, program: Start, name: str) -> None:
    """Fails without `exit::arm(py)?` in src/python/call.rs."""
    ends(program, name)

    assert_stored(server)


def test_a_bare_fork_whose_child_ends_by_sys_exit(server: AuthorizationServer, program: Start) -> None:
    """Fails without `exit::arm(py)?` in src/python/call.rs."""
    ends(program, FORKED)

    assert_stored(server)


def test_a_fork_that_calls_only_the_finalizers_of_multiprocessing(server: AuthorizationServer, program: Start) -> None:
    """Fails without `in_multiprocessing(py, &wait)` in src/python/exit.rs."""
    ends(program, FINALIZERS)

    assert_stored(server)


@pytest.mark.parametrize("name", LOOPS)
def test_a_program_whose_loop_ended_first(server: AuthorizationServer, program: Start, name: str) -> None:
    """Fails without `exit::arm(py)?` in src/python/call.rs."""
    ends(program, name)

    assert_stored(server)


@pytest.mark.parametrize("name", THREADS)
def test_a_request_of_daemon_threads(server: AuthorizationServer, program: Start, name: str) -> None:
    """Fails without `exit::arm(py)?` in src/python/call.rs."""
    ends(program, name)

    assert_stored(server)


def test_a_request_that_a_thread_began_after_the_main_thread_ended(server: AuthorizationServer, program: Start) -> None:
    """Fails without `exit::arm(py)?` in src/python/call.rs."""
    ends(program, OUTLIVING)

    assert_stored(server)


def test_a_request_that_an_atexit_callback_began(server: AuthorizationServer, program: Start) -> None:
    """Fails without `system::at_exit(wait_without_python)` in src/python/exit.rs."""
    ends(program, AT_EXIT)

    assert_stored(server)


def test_a_child_whose_parent_had_requests_of_its_own(
    server: AuthorizationServer, user_agent: UserAgent, program: Start
) -> None:
    """Fails without `system::epoch() + 1` in src/python/exit.rs."""
    acme.connect(server, user_agent, age=acme.EXPIRING, connection="parent")
    server.fault("slow", milliseconds=0)
    server.fault("slow", milliseconds=SLOW)
    program(
        """
        import os, sys
        from multiprocessing import util
        import evergrant

        evergrant.get_token("acme", connection="parent")
        evergrant.drain()
        child = os.fork()
        if child == 0:
            util._finalizer_registry.clear()  # what the parent has armed is gone, as in a child of multiprocessing
            evergrant.get_token("acme")
            util._exit_function()
            os._exit(0)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    ).end()

    with Workspace() as workspace:
        assert remaining(workspace.get_token("acme")) > acme.LIFETIME / 2
    assert (server.refreshes, server.reused) == (2, 0)


def test_drain_waits_for_the_reply(server: AuthorizationServer, program: Start) -> None:
    """Fails without `py.detach(|| runtime::drain(slice))` in src/python/exit.rs."""
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


@pytest.mark.parametrize("name", SKIPPING)
def test_what_skips_every_handler_is_asked_again_once_the_token_is_used_up(
    server: AuthorizationServer, program: Start, name: str
) -> None:
    """Fails without `self.check_replay(begun_at)?` in src/engine/refresh/mod.rs."""
    code, exit_code = SKIPPING[name]
    server.reset()
    server.fault("slow", milliseconds=20_000)
    ending = program(
        "import multiprocessing, os, signal, threading, evergrant\n"
        'context = multiprocessing.get_context("fork")\n'
        'def ask(): evergrant.get_token("acme")\n'
        'def begin(): ask(); print("ready"); multiprocessing.parent_process() and threading.Event().wait()\n' + code
    )
    assert ending.line() == "ready"
    while not server.refreshes:
        pass
    ending.tell()
    ending.end(code=exit_code)

    with Workspace() as workspace:
        token = workspace.get_token("acme")
        assert server.whoami(token)["subject"] == "ada"  # it still works: nobody may end it by asking again
    assert server.refreshes == 1
    used_up = acme.clock_of(seconds_ago=-acme.EXPIRED)
    with acme.opened_at(used_up) as later, pytest.raises(ReauthorizationRequired, match="lost"):
        later.get_token("acme")
    assert (server.refreshes, server.reused) == (2, 1)


def test_a_reply_that_comes_when_the_interpreter_is_gone_wakes_no_event_loop(program: Start) -> None:
    """Fails without `_ if !exit::may_wake() => {}` in src/python/call.rs: uvloop crashes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ending = program(
            f"""
            import ctypes, threading
            import evergrant, uvloop
            from evergrant import aio

            evergrant.configure(
                "nobody",
                grant_type="client_credentials",
                endpoints={{"token_endpoint": "http://127.0.0.1:{listener.getsockname()[1]}/token"}},
                client_id="nobody",
                client_secret="unimportant",
            )
            # When the interpreter is gone: closes standard output, and waits for a line.
            libc = ctypes.CDLL(None)
            libc.__cxa_atexit(libc.getchar, None, None)
            libc.__cxa_atexit(libc.close, ctypes.c_void_p(1), None)  # the last one is called first
            asked = threading.Event()

            async def main():
                asked.set()
                await aio.test("nobody")

            threading.Thread(target=uvloop.run, args=(main(),), daemon=True).start()
            asked.wait()
            input()
            """
        )
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(65536)
            ending.tell()
            stdout = ending.process.stdout
            assert stdout is not None
            assert stdout.read() == ""
            connection.sendall(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
            assert connection.recv(65536) == b""  # it was read
    while any(state != "S" for state in ending.states()):
        pass
    ending.tell()
    ending.end()
