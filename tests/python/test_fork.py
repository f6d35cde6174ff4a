"""Forks: with threads, with an open store, during a refresh; parent and child both go on, and nobody hangs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evergrant import Workspace
from support import AuthorizationServer, Program, UserAgent, acme

TIMES = 5

Start = Callable[..., Program]

# From Python 3.12 on a fork beside threads warns, whatever these do.
PREAMBLE = """
import os, signal, sys, threading, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
import evergrant
from support import whoami

api = sys.argv[1]
signal.alarm(40)  # who hangs is killed

def configure(name):
    endpoint = {"token_endpoint": "https://a.example/token"}
    evergrant.configure(name, endpoints=endpoint, client_id="x", client_secret="y")

def ended_well(child):
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, code

def fork(body):
    child = os.fork()
    if child:
        return child
    try:
        signal.alarm(40)
        body()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    evergrant.drain()
    os._exit(0)
"""


@pytest.fixture
def run(server: AuthorizationServer, program: Start) -> Callable[[str], str]:
    """Runs a program that forks, and returns what it wrote."""

    def run(code: str) -> str:
        import textwrap

        return program(PREAMBLE + textwrap.dedent(code), server.api).end()

    return run


Run = Callable[[str], str]


@pytest.fixture
def connected(home: object, server: AuthorizationServer, user_agent: UserAgent) -> None:
    """`acme` is connected."""
    acme.connect(server, user_agent)


@pytest.fixture
def expired(home: object, server: AuthorizationServer, user_agent: UserAgent) -> None:
    """`acme` is connected, and its token has ended."""
    acme.connect(server, user_agent, age=acme.EXPIRED)


@pytest.mark.usefixtures("connected")
def test_parent_and_child_get_tokens_from_an_open_store(server: AuthorizationServer, run: Run) -> None:
    run(
        """
        token = evergrant.get_token("acme")

        def body():
            assert evergrant.get_token("acme") == token
            assert evergrant.status("acme").state == "connected"

        ended_well(fork(body))
        assert evergrant.get_token("acme") == token
        """
    )
    assert server.count() == 0


@pytest.mark.usefixtures("connected")
def test_what_parent_and_child_commit_is_seen_by_a_third_process(server: AuthorizationServer, run: Run) -> None:
    run(
        """
        evergrant.get_token("acme")
        read, write = os.pipe()

        def body():
            os.read(read, 1)  # the parent has let go of the store
            for number in range(5):
                configure(f"child{number}")

        child = fork(body)
        configure("parent")
        evergrant._core.set_default_workspace(None).close()
        os.write(write, b"x")
        ended_well(child)
        configure("parent2")
        """
    )
    with Workspace() as workspace:
        found = sorted(status.provider for status in workspace.integrations())
    assert found == ["acme", *(f"child{number}" for number in range(5)), "parent", "parent2"]


@pytest.mark.usefixtures("expired")
def test_both_refresh_after_the_fork_and_the_server_sees_one(server: AuthorizationServer, run: Run) -> None:
    run(
        """
        evergrant.status("acme")

        def body():
            assert whoami(api, evergrant.get_token("acme")) == "ada"

        children = [fork(body) for _ in range(3)]
        body()
        for child in children:
            ended_well(child)
        """
    )
    assert (server.refreshes, server.reused) == (1, 0)


@pytest.mark.usefixtures("expired")
def test_a_child_of_a_fork_during_a_refresh_waits_for_its_parent(server: AuthorizationServer, run: Run) -> None:
    server.fault("slow", milliseconds=1500)
    run(
        """
        waiting = threading.Thread(target=evergrant.get_token, args=("acme",))
        waiting.start()
        while evergrant.drain(0):
            pass

        def body():
            assert whoami(api, evergrant.get_token("acme")) == "ada"

        child = fork(body)
        waiting.join()
        ended_well(child)
        body()
        """
    )
    assert (server.refreshes, server.reused) == (1, 0)


@pytest.mark.usefixtures("expired")
def test_a_child_whose_parent_dies_during_the_refresh_does_not_hang(server: AuthorizationServer, run: Run) -> None:
    server.fault("slow", milliseconds=700)
    run(
        """
        def parent():
            waiting = threading.Thread(target=evergrant.get_token, args=("acme",), daemon=True)
            waiting.start()
            while evergrant.drain(0):
                pass

            def body():
                assert whoami(api, evergrant.get_token("acme", timeout=10)) == "ada"

            child = fork(body)
            ended_well(child)

        ended_well(fork(parent))
        """
    )
    assert server.reused == 0


@pytest.mark.usefixtures("expired")
def test_a_grandchild_gets_a_token(server: AuthorizationServer, run: Run) -> None:
    run(
        """
        def body():
            assert whoami(api, evergrant.get_token("acme")) == "ada"

        def child():
            body()
            ended_well(fork(body))

        evergrant.status("acme")
        ended_well(fork(child))
        body()
        """
    )
    assert (server.refreshes, server.reused) == (1, 0)


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("time", range(TIMES))
def test_a_fork_beside_busy_threads_and_tasks(server: AuthorizationServer, run: Run, time: int) -> None:
    run(
        """
        import asyncio
        from evergrant import aio
        token = evergrant.get_token("acme")
        over = threading.Event()

        def busy():
            while not over.is_set():
                evergrant.status("acme")
                evergrant.get_token("acme")

        async def tasks():
            while not over.is_set():
                await asyncio.gather(*(aio.status("acme") for _ in range(10)))

        threads = [threading.Thread(target=busy, daemon=True) for _ in range(3)]
        threads.append(threading.Thread(target=lambda: asyncio.run(tasks()), daemon=True))
        for thread in threads:
            thread.start()

        def body():
            assert evergrant.get_token("acme") == token
            asyncio.run(aio.status("acme"))
            configure(f"child{os.getpid()}")

        for child in [fork(body) for _ in range(10)]:
            ended_well(child)
        over.set()
        for thread in threads:
            thread.join()
        assert len(evergrant.integrations()) == 11
        """
    )


@pytest.mark.usefixtures("expired")
def test_workers_of_a_process_pool_share_one_refresh(server: AuthorizationServer, run: Run) -> None:
    run(
        """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        def work(number):
            return whoami(api, evergrant.get_token("acme"))

        evergrant.status("acme")
        with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:
            assert list(pool.map(work, range(9))) == ["ada"] * 9
        """
    )
    assert (server.refreshes, server.reused) == (1, 0)


@pytest.mark.usefixtures("connected")
def test_a_loop_of_the_parent_is_refused_in_the_child(run: Run) -> None:
    run(
        """
        import asyncio
        from evergrant import aio

        async def main():
            await aio.test("acme")
            child = os.fork()
            if child == 0:
                try:
                    await aio.test("acme")
                except RuntimeError:
                    os._exit(0)
                os._exit(1)
            ended_well(child)
            await aio.test("acme")

        asyncio.run(main())
        """
    )


@pytest.mark.usefixtures("connected")
def test_a_child_runs_a_loop_of_its_own(run: Run) -> None:
    run(
        """
        import asyncio
        from evergrant import aio

        def body():
            assert asyncio.run(aio.test("acme")).ok

        body()
        ended_well(fork(body))
        body()
        """
    )


@pytest.mark.usefixtures("connected")
def test_a_subprocess_inherits_no_descriptor(home: object, run: Run) -> None:
    output = run(
        """
        import subprocess
        evergrant.test("acme")
        print(subprocess.check_output(["ls", "-l", "/proc/self/fd"], close_fds=False, text=True))
        """
    )
    assert "store.db" not in output
    assert "socket" not in output
    assert "eventfd" not in output
