"""Forks: with threads, with an open store, during a refresh; parent and child both go on, and nobody hangs."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from evergrant import Workspace
from support import AuthorizationServer, Program, UserAgent, acme

TIMES = 5
FORKS = 120

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


@pytest.mark.usefixtures("connected")
def test_refreshes_of_parent_and_child_are_seen_by_each_other_and_by_a_third_process(
    server: AuthorizationServer, user_agent: UserAgent, run: Run
) -> None:
    acme.connect(server, user_agent, connection="grace")
    output = run(
        """
        def refresh(connection):
            old = evergrant.get_token("acme", connection=connection)
            return evergrant.get_token("acme", connection=connection, replacing=old)

        def other_side_told(reader, connection):
            # Whoever reports the token before gets the one that the other side has committed.
            before = evergrant.get_token("acme", connection=connection)
            told = os.read(reader, 100).decode()
            assert evergrant.get_token("acme", connection=connection, replacing=before) == told

        refresh("default")  # the parent's store is open
        evergrant.get_token("acme", connection="grace")
        (child_reads, parent_writes), (parent_reads, child_writes) = os.pipe(), os.pipe()

        def body():
            for _ in range(3):
                other_side_told(child_reads, "default")
                os.write(child_writes, refresh("grace").encode())

        child = fork(body)
        for _ in range(3):
            os.write(parent_writes, refresh("default").encode())
            other_side_told(parent_reads, "grace")
        ended_well(child)
        print(evergrant.get_token("acme"), evergrant.get_token("acme", connection="grace"))
        """
    )
    with Workspace() as workspace:
        found = [str(workspace.get_token("acme", connection=connection)) for connection in ("default", "grace")]
    assert found == output.split()
    assert [server.whoami(token)["subject"] for token in found] == ["ada", "ada"]
    assert (server.refreshes, server.reused) == (7, 0)


@pytest.mark.usefixtures("connected")
def test_a_fork_in_the_middle_of_writing_loses_no_commit(run: Run) -> None:
    output = run(
        """
        evergrant.status("acme")
        over, made = threading.Event(), []

        def write(thread):
            while not over.is_set():
                configure(f"parent{thread}_{len(made)}")
                made.append(thread)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for number in range(20):
            ended_well(fork(lambda: configure(f"child{number}")))
        over.set()
        for thread in threads:
            thread.join()
        names = {status.provider for status in evergrant.integrations()}
        assert len(names) > 21
        print(len(names), end="")
        """
    )
    with Workspace() as workspace:
        found = {status.provider for status in workspace.integrations()}
    assert len(found) == int(output)
    assert {f"child{number}" for number in range(20)} < found


@pytest.mark.usefixtures("connected")
def test_a_fork_does_not_wait_for_a_writer_in_another_process(
    home: Path, server: AuthorizationServer, run: Run
) -> None:
    run(
        f"""
        import subprocess, time
        evergrant.status("acme")
        hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        hold += "c.execute('BEGIN IMMEDIATE'); print(flush=True); input(); c.execute('COMMIT')"
        other = subprocess.Popen(
            [sys.executable, "-c", hold, {str(home / "store.db")!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        other.stdout.readline()
        waiting = threading.Thread(target=configure, args=("parent",))
        waiting.start()
        start = time.monotonic()
        for _ in range(5):
            ended_well(fork(lambda: evergrant.status("acme")))
        assert time.monotonic() - start < 5  # the writer's patience is 10 s
        assert waiting.is_alive()
        other.communicate(b"\\n")
        waiting.join()
        assert evergrant.status("parent").state == "configured"
        """
    )


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


@pytest.mark.usefixtures("expired")
def test_a_grandchild_refreshes_and_commits_and_its_reply_is_stored_when_it_ends(
    server: AuthorizationServer, run: Run
) -> None:
    run(
        """
        def grandchild():
            old = evergrant.get_token("acme")
            assert whoami(api, old) == "ada"
            assert whoami(api, evergrant.get_token("acme", replacing=old)) == "ada"
            configure("grandchild")

        def child():
            evergrant.status("acme")
            ended_well(fork(grandchild))
            assert evergrant.status("grandchild").state == "configured"

        evergrant.status("acme")
        ended_well(fork(child))
        assert evergrant.status("grandchild").state == "configured"
        assert whoami(api, evergrant.get_token("acme")) == "ada"
        """
    )
    assert (server.refreshes, server.reused) == (2, 0)


def test_a_fork_during_a_refresh_in_the_background_leaves_it_to_the_parent(
    home: object, server: AuthorizationServer, user_agent: UserAgent, run: Run
) -> None:
    acme.connect(server, user_agent, age=acme.EXPIRING)
    server.fault("slow", milliseconds=800)
    run(
        """
        token = evergrant.get_token("acme")
        while evergrant.drain(0):
            pass

        def body():
            assert evergrant.drain(0)  # the request is the parent's
            assert whoami(api, evergrant.get_token("acme")) == "ada"

        for child in [fork(body) for _ in range(3)]:
            ended_well(child)
        assert evergrant.drain()
        assert evergrant.get_token("acme") != token
        """
    )
    assert (server.refreshes, server.reused) == (1, 0)


@pytest.mark.usefixtures("connected")
def test_a_fork_during_connect_leaves_the_sign_in_to_the_parent(server: AuthorizationServer, run: Run) -> None:
    run(
        """
        import socket
        from urllib.parse import parse_qs, urlsplit
        from support import UserAgent
        read, write = os.pipe()
        seen = []

        def body():
            evergrant.get_token("acme")
            evergrant.connect("acme", connection="child", open_browser=UserAgent().connect)
            os.close(write)
            os.read(read, 1)  # lives on: until the parent is done

        def browser(url):
            seen.append((fork(body), parse_qs(urlsplit(url).query)["redirect_uri"][0]))
            UserAgent("grace").connect(url)

        evergrant.connect("acme", connection="parent", open_browser=browser)
        (child, redirect_uri), = seen
        try:
            socket.create_connection(("127.0.0.1", urlsplit(redirect_uri).port)).close()
            raise AssertionError("the port is open in the child")
        except ConnectionRefusedError:
            pass
        os.close(write)
        ended_well(child)
        for connection in ("parent", "child"):
            assert evergrant.status("acme", connection=connection).state == "connected"
        """
    )
    assert server.count("authorization_code") == 2


@pytest.mark.usefixtures("connected")
def test_a_fork_does_not_wait_for_the_command_that_gives_the_key(tmp_path: Path, run: Run) -> None:
    os.mkfifo(tmp_path / "key")
    run(
        f"""
        import base64
        os.environ["EVERGRANT_KEY_COMMAND"] = {f"cat {tmp_path / 'key'}"!r}
        other = evergrant.Workspace.__new__(evergrant.Workspace)
        opening = threading.Thread(
            target=lambda: evergrant.Workspace(store={str(tmp_path / "other.db")!r}).close()
        )
        opening.start()
        with open({str(tmp_path / "key")!r}, "wb") as key:  # opens when the command does
            ended_well(fork(lambda: None))
            key.write(base64.b64encode(bytes(range(32))))
        opening.join()
        """
    )


RAW_FORK = """
import ctypes, platform
CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]  # the numbers of the kernel
SIGCHLD = 17

def raw_fork(body):
    # PyDLL keeps the interpreter's lock: the child needs it.
    child = ctypes.PyDLL(None).syscall(CLONE, SIGCHLD, 0, 0, 0, 0)
    if child:
        return child
    try:
        signal.alarm(20)
        body()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
"""


@pytest.mark.usefixtures("connected")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a page that a raw fork wipes")
def test_a_raw_fork_is_an_error_that_names_the_next_step(run: Run) -> None:
    run(
        RAW_FORK
        + """
evergrant.get_token("acme")  # no other thread runs: a raw fork may leave any lock of the C library held

def body():
    for verb in (evergrant.status, evergrant.test, evergrant.Workspace):
        try:
            verb("acme")
        except evergrant.StoreError as error:
            assert error.code == "unprepared_fork"
            assert "os.fork()" in str(error) and "multiprocessing" in str(error)
        else:
            raise AssertionError(verb)
    assert evergrant.drain()  # as its end does

for _ in range(5):
    ended_well(raw_fork(body))
assert evergrant.status("acme").state == "connected"
"""
    )


@pytest.mark.usefixtures("connected")
def test_a_child_that_closes_the_workspace_leaves_its_parents_connections_alone(run: Run) -> None:
    run(
        """
        over = threading.Event()

        def busy():
            while not over.is_set():
                assert evergrant.test("acme").ok

        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads:
            thread.start()

        def body():
            evergrant._core.set_default_workspace(None).close()
            assert evergrant.test("acme").ok

        evergrant.test("acme")
        for _ in range(10):
            for child in [fork(body) for _ in range(3)]:
                ended_well(child)
        over.set()
        for thread in threads:
            thread.join()
        """
    )


# What runs through every lock of the core: the cache, flights, back-offs, the table of engines, of stores and of
# sign-ins, keys, the catalog, the store's two connections and its queue, slots, the HTTP client, the runtime, the
# calls and ports of event loops, waiting log events, live secrets.
EVERYTHING = """
        import asyncio, logging
        from evergrant import aio
        logging.basicConfig(level=logging.DEBUG, handlers=[logging.NullHandler()])
        own = str(sys.argv[2])

        def sign_in():
            call = evergrant._core.call("connect_start", {"provider": "acme", "again": True, "connection": "unused"})
            evergrant._core.call("connect_cancel", {"flow": call.wait()["flow"]}).wait()

        def open_and_close():
            with evergrant.Workspace(store=f"{own}{os.getpid()}.db", key=bytes(32)) as workspace:
                workspace.integrations()

        def renew(provider, **keywords):
            token = evergrant.get_token(provider, **keywords)
            evergrant.get_token(provider, replacing=token, **keywords)

        VERBS = {
            "a cached token": lambda: evergrant.get_token("acme"),
            "a rotating refresh": lambda: renew("acme"),
            "a service grant": lambda: renew("robot", grant_type="client_credentials"),
            "a missing connection": lambda: evergrant.connections("acme"),
            "the state": lambda: evergrant.status("acme"),
            "a write": lambda: configure(f"other{threading.get_ident() % 50}_{os.getpid() % 50}"),
            "the catalog": lambda: (evergrant.providers(), evergrant.provider("google_drive")),
            "redaction": lambda: evergrant.redact("a line of a log"),
            "a sign-in": sign_in,
            "another store": open_and_close,
            "an event loop": lambda: asyncio.run(aio.test("acme")),
        }
"""


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("connected")
def test_no_lock_that_a_thread_holds_at_a_fork_stops_the_child(
    server: AuthorizationServer, tmp_path: Path, program: Start
) -> None:
    with Workspace() as workspace:
        acme.configure_service(workspace, server)
    code = (
        PREAMBLE
        + textwrap.dedent(EVERYTHING)
        + textwrap.dedent(
            """
            signal.alarm(140)
            over, failed = threading.Event(), []

            def busy(name):
                try:
                    while not over.is_set():
                        VERBS[name]()
                except BaseException as error:
                    failed.append((name, repr(error)))

            def body():
                for name, verb in VERBS.items():
                    signal.alarm(20)
                    verb()

            threads = [threading.Thread(target=busy, args=(name,), daemon=True) for name in VERBS]
            for thread in threads:
                thread.start()
            for _ in range(FORKS // 4):
                for child in [fork(body) for _ in range(4)]:
                    ended_well(child)
            over.set()
            for thread in threads:
                thread.join()
            assert not failed, failed
            """
        ).replace("FORKS", str(FORKS))
    )

    program(code, server.api, str(tmp_path / "own")).end(patience=150)

    assert server.reused == 0
    assert server.refreshes >= FORKS


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
