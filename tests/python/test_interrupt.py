"""Ctrl-C ends the waiting; the request goes on and is stored."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from evergrant import Workspace
from support import AuthorizationServer, Program, UserAgent, acme

AT_ONCE = 1.0  # seconds; 0.1 ms on an idle machine
SLOW = 2500  # milliseconds that the server takes

Start = Callable[..., Program]

INTERRUPTED = """
    import time
    import evergrant
    print("ready")
    try:
        evergrant.get_token("acme")
    except KeyboardInterrupt:
        print("interrupted")
        print(evergrant.drain())
"""

LOOP_INTERRUPTED = """
    import asyncio
    from evergrant import aio

    print("ready")
    try:
        asyncio.run(aio.get_token("acme"))
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.fixture(autouse=True)
def expired(home: object, server: AuthorizationServer, user_agent: UserAgent) -> None:
    """`acme` is connected, its token has ended, and the server is slow."""
    acme.connect(server, user_agent, age=acme.EXPIRED)
    server.fault("slow", milliseconds=SLOW)


def assert_stored(server: AuthorizationServer) -> None:
    """What the server sent is in the store: nobody has to ask again."""
    with Workspace() as workspace:
        assert server.whoami(workspace.get_token("acme"))["subject"] == "ada"
    assert (server.refreshes, server.reused) == (1, 0)


def sent(server: AuthorizationServer) -> None:
    """Waits until the request is at the server."""
    while not server.refreshes:
        pass


@pytest.mark.parametrize("code", [INTERRUPTED, LOOP_INTERRUPTED], ids=["get_token", "asyncio.run"])
def test_ctrl_c_is_answered_at_once_and_the_request_goes_on(
    server: AuthorizationServer, program: Start, code: str
) -> None:
    waiting = program(code)
    assert waiting.line() == "ready"
    sent(server)

    waiting.interrupt()
    start = time.monotonic()

    assert waiting.line() == "interrupted"
    assert time.monotonic() - start < AT_ONCE
    waiting.end()
    assert_stored(server)


def test_ctrl_c_that_nobody_catches_ends_the_program_after_the_request(
    server: AuthorizationServer, program: Start
) -> None:
    waiting = program('import evergrant\nevergrant.get_token("acme")')
    sent(server)

    waiting.interrupt()

    waiting.end(code=-2, complains="KeyboardInterrupt")
    assert_stored(server)


def test_ctrl_c_in_another_thread_than_the_waiting_one_reaches_the_main_thread(
    server: AuthorizationServer, program: Start
) -> None:
    waiting = program(
        """
        import threading
        import evergrant
        done = threading.Event()

        def work():
            evergrant.get_token("acme")
            done.set()

        threading.Thread(target=work).start()
        print("ready")
        try:
            done.wait()
        except KeyboardInterrupt:
            print("interrupted")
        print(done.wait())
        """
    )
    assert waiting.line() == "ready"
    sent(server)

    waiting.interrupt()

    assert waiting.line() == "interrupted"
    assert waiting.end() == "True\n"
    assert_stored(server)


def test_ctrl_c_that_arrives_while_events_are_logged_is_not_lost(server: AuthorizationServer, program: Start) -> None:
    """Fails without `log::deliver(py)?` in src/python/call.rs."""
    output = program(
        """
        import logging, signal, threading
        import evergrant
        current_thread = threading.current_thread

        def interrupted():
            threading.current_thread = current_thread
            signal.raise_signal(signal.SIGINT)

        # Called before events go to `logging`: a signal may be pending by then.
        threading.current_thread = interrupted
        try:
            evergrant.get_token("acme")
        except KeyboardInterrupt:
            print("interrupted")
        """
    ).end()

    assert output == "interrupted\n"


def test_arguments_are_read_without_python_code_in_which_ctrl_c_could_change_them(
    server: AuthorizationServer, program: Start
) -> None:
    """Fails without `text.to_string_lossy().into_owned()` in src/python/convert.rs."""
    output = program(
        """
        import evergrant

        class Text(str):
            def __str__(self):
                raise KeyboardInterrupt  # as `str()` does with a signal pending

        status = evergrant.configure(
            Text("other"), client_id=Text("mine"), client_secret=Text("unimportant"),
            scopes=[Text("read")], endpoints={"token_endpoint": Text("https://a.example/token")},
        )
        print(status.provider, status.client_id, status.requested_scopes)
        """
    ).end()

    assert output == "other mine ('read',)\n"


def test_a_second_ctrl_c_ends_the_wait_at_exit(server: AuthorizationServer, program: Start) -> None:
    """Fails without `GIVEN_UP.store(this_process(), Ordering::Relaxed)` in src/python/exit.rs."""
    server.reset()
    server.fault("slow", milliseconds=20_000)
    waiting = program(
        """
        import threading
        import evergrant
        print("ready")
        try:
            evergrant.get_token("acme")
        except KeyboardInterrupt:
            pass
        # Of these the last to be registered is the first to be called: the wait comes next.
        threading._register_atexit(print, "ending")
        """
    )
    assert waiting.line() == "ready"
    sent(server)
    waiting.interrupt()
    assert waiting.line() == "ending"
    while waiting.state() != "S":  # it sleeps: it waits
        pass

    start = time.monotonic()
    waiting.interrupt()

    waiting.end()  # by itself, and without a word
    assert time.monotonic() - start < 5


def test_ctrl_c_while_the_wait_is_armed_arms_it_all_the_same(server: AuthorizationServer, program: Start) -> None:
    """Fails without `armed.into_iter().collect()` in src/python/exit.rs."""
    output = program(
        """
        import builtins, signal
        import evergrant
        import_ = builtins.__import__

        def interrupted(name, *arguments):
            if name == "threading":
                builtins.__import__ = import_
                signal.raise_signal(signal.SIGINT)
            return import_(name, *arguments)

        builtins.__import__ = interrupted
        try:
            evergrant.get_token("acme")
        except KeyboardInterrupt:
            print("interrupted")
        """
    ).end()

    assert output == "interrupted\n"
    assert_stored(server)


# Signing in

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
        print("ready")

    try:
        evergrant.connect("acme", again=True, open_browser=browser)
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_ctrl_c_in_connect_closes_the_port_at_once(server: AuthorizationServer, program: Start) -> None:
    waiting = program(
        """
        import evergrant
        try:
            evergrant.connect("acme", again=True, open_browser=lambda url: print(url))
        except KeyboardInterrupt:
            print("interrupted")
        input()
        """
    )
    callback = UserAgent().consent(waiting.line())

    waiting.interrupt()
    start = time.monotonic()

    assert waiting.line() == "interrupted"
    assert time.monotonic() - start < AT_ONCE
    with pytest.raises(OSError, match=r"refused|reset"):
        UserAgent().deliver(callback)
    waiting.tell()
    waiting.end()
    assert server.count("authorization_code") == 0


def test_ctrl_c_during_the_exchange_of_the_code_stores_what_comes(server: AuthorizationServer, program: Start) -> None:
    waiting = program(SIGN_IN)
    assert waiting.line() == "ready"
    while not server.count("authorization_code"):
        pass

    waiting.interrupt()
    start = time.monotonic()

    assert waiting.line() == "interrupted"
    assert time.monotonic() - start < AT_ONCE
    waiting.end()
    with Workspace() as workspace:
        assert server.whoami(workspace.get_token("acme"))["subject"] == "grace"
    assert server.count() == 1
