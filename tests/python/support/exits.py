"""Programs that end, each in its own way: with awaits under way, and with a request whose reply is not there yet."""

from __future__ import annotations

import textwrap
from typing import NamedTuple


class Ending(NamedTuple):
    """A program that ends."""

    code: str
    exit_code: int = 0
    stored: bool | None = None
    """Whether the reply that it leaves behind is stored when it has ended; `None` where it leaves none behind."""


# How an event loop is run: `run(main)`, `gather(coroutine, ...)`, `sleep(seconds)`.
LOOPS = {
    "asyncio": """
        import asyncio
        from asyncio import gather, sleep
        new_event_loop = asyncio.new_event_loop
        def run(main): asyncio.run(main())
    """,
    "uvloop": """
        import asyncio, uvloop
        from asyncio import gather, sleep
        new_event_loop = uvloop.new_event_loop
        def run(main): uvloop.run(main())
    """,
    "trio": """
        import trio
        from trio import run, sleep
        async def gather(*coroutines):
            async def one(coroutine): await coroutine
            async with trio.open_nursery() as nursery:
                for coroutine in coroutines:
                    nursery.start_soon(one, coroutine)
    """,
}

# Awaits, on every loop.
AWAITING = {
    "awaits once": """
        async def main(): await aio.test("acme")
        run(main)
    """,
    "awaits 200 times": """
        async def main():
            for _ in range(200):
                await aio.test("nobody")
        run(main)
    """,
    "the loop ends with 30 requests under way": """
        async def main():
            async def all_of_them(): await gather(*(aio.test("acme") for _ in range(30)))
            await cancelled(all_of_them)
        run(main)
    """,
    "Ctrl-C while it awaits": """
        import os, signal, threading
        async def main():
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
            await gather(*(aio.test("acme") for _ in range(10)))
            await sleep(30)
        try:
            run(main)
        except BaseException as error:  # trio has it in a group
            if "KeyboardInterrupt" not in repr(error):
                raise
    """,
    "a daemon thread whose loop awaits": """
        import threading
        begun = threading.Event()
        async def main():
            while True:
                await aio.test("acme")
                begun.set()
        threading.Thread(target=run, args=(main,), daemon=True).start()
        begun.wait()
    """,
    "a thread that awaits after the main thread has ended": """
        import threading
        async def main(): await aio.test("acme")
        def work():
            threading.main_thread().join()
            run(main)
        threading.Thread(target=work).start()
    """,
    "os._exit with requests under way": """
        import os
        async def main():
            await aio.test("acme")
            async def ends(): os._exit(5)
            await gather(*(aio.test("acme") for _ in range(10)), ends())
        run(main)
    """,
    "an atexit callback awaits": """
        import atexit
        async def main(): await aio.test("acme")
        atexit.register(run, main)
        run(main)
    """,
    "an exception ends the main coroutine": """
        import sys
        sys.excepthook = lambda *_: None
        async def main():
            await aio.test("acme")
            raise RuntimeError("on purpose")
        run(main)
    """,
    "sys.exit in the main coroutine": """
        import sys
        async def main():
            await aio.test("acme")
            sys.exit(7)
        run(main)
    """,
    "a fork after the parent has awaited": """
        import os, sys
        async def main(): await aio.test("acme")
        run(main)
        child = os.fork()
        run(main)
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """,
}
CANCELLED = {
    "trio": """
        async def cancelled(work):
            with trio.move_on_after(0.005):
                await work()
    """,
    "": """
        async def cancelled(work):
            task = asyncio.ensure_future(work())
            await sleep(0.005)
            task.cancel()
    """,
}

# Awaits, where the loop is an object that can be left.
LEAVING = {
    "the loop is closed with 30 requests under way": """
        async def main():
            tasks.extend(asyncio.ensure_future(aio.test("acme")) for _ in range(30))
            await sleep(0.005)
        tasks = []
        loop = new_event_loop()
        loop.run_until_complete(main())
        for task in tasks:
            task.cancel()
        loop.run_until_complete(sleep(0))
        loop.close()
    """,
    "sys.exit in a task": """
        import sys
        async def main():
            async def leave():
                await aio.test("acme")
                sys.exit(7)
            leaving = asyncio.ensure_future(leave())
            leaving.add_done_callback(lambda task: task.exception())  # else asyncio says that nobody looked
            await asyncio.wait([leaving])
        run(main)
    """,
}

IN_A_CHILD = """
    import asyncio, multiprocessing, sys
    from evergrant import aio

    def work():
        asyncio.run(aio.test("acme"))

    if __name__ == "__main__":
        child = multiprocessing.get_context("{method}").Process(target=work)
        child.start()
        child.join()
        sys.exit(child.exitcode)
"""

IN_PYTEST = """
    import asyncio, io, os, sys
    from contextlib import redirect_stdout
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take seconds to load
    from evergrant import aio

    def test_one(): asyncio.run(aio.test("acme"))
    def test_two(): asyncio.run(aio.test("acme"))

    if __name__ == "__main__":
        import pytest
        with redirect_stdout(io.StringIO()):
            code = pytest.main([__file__, "-q", "-p", "no:cacheprovider", "-c", os.devnull])
        sys.exit(code)
"""

# Gets its token at once, and leaves a refresh behind: one process, several ways to end it.
ORPHANING = {
    "ends normally": ('evergrant.get_token("acme")', 0),
    "ends by an exception": (
        """
        import sys
        sys.excepthook = lambda *_: None
        evergrant.get_token("acme")
        raise RuntimeError("on purpose")
        """,
        1,
    ),
    "ends by sys.exit": (
        """
        import sys
        evergrant.get_token("acme")
        sys.exit(7)
        """,
        7,
    ),
    "ends by KeyboardInterrupt": (
        """
        import sys
        sys.excepthook = lambda *_: None
        evergrant.get_token("acme")
        raise KeyboardInterrupt
        """,
        -2,
    ),
    "ends by a SIGTERM that raises SystemExit": (
        """
        import os, signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
        evergrant.get_token("acme")
        os.kill(os.getpid(), signal.SIGTERM)
        """,
        3,
    ),
    "a thread that asks after the main thread has ended": (
        """
        import threading
        def work():
            threading.main_thread().join()
            evergrant.get_token("acme")
        threading.Thread(target=work).start()
        """,
        0,
    ),
    "an atexit callback asks": (
        """
        import atexit
        atexit.register(evergrant.get_token, "acme")
        """,
        0,
    ),
    "a daemon thread asks": (
        """
        import threading
        begun = threading.Event()
        def work():
            evergrant.get_token("acme")
            begun.set()
            threading.Event().wait()
        threading.Thread(target=work, daemon=True).start()
        begun.wait()
        """,
        0,
    ),
    "daemon threads that wait for the reply": (
        """
        import threading
        token = evergrant.get_token("acme")
        for _ in range(3):
            threading.Thread(target=lambda: evergrant.get_token("acme", replacing=token), daemon=True).start()
        """,
        0,
    ),
    "a bare fork whose child ends by sys.exit": (
        """
        import os, sys
        child = os.fork()
        if child == 0:
            evergrant.get_token("acme")
            sys.exit(7)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) - 7)
        """,
        0,
    ),
    # As celery's billiard: of all that runs at an exit, its children call this alone.
    "a fork whose child calls only the finalizers of multiprocessing": (
        """
        import os, sys
        from multiprocessing import util
        child = os.fork()
        if child == 0:
            util._finalizer_registry.clear()
            evergrant.get_token("acme")
            util._exit_function()
            os._exit(7)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) - 7)
        """,
        0,
    ),
}

# A loop that has ended before the program does.
ORPHANING_LOOP = """
    from evergrant import aio
    async def main(): await aio.get_token("acme")
    run(main)
"""

CHILDREN = """
    import multiprocessing, sys
    import evergrant

    def work(number=0):
        evergrant.get_token("acme")

    def leave():
        work()
        sys.exit(7)

    if __name__ == "__main__":
        context = multiprocessing.get_context("{method}")
        {body}
"""
BODIES = {
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
    "Process whose parent had requests": """
        evergrant.test("acme")
        child = context.Process(target=work)
        child.start()
        child.join()
        sys.exit(child.exitcode)
    """,
    "Pool": """
        pool = context.Pool(1)
        pool.map(work, range(3))
        pool.close()
        pool.join()
    """,
    "ProcessPoolExecutor": """
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            list(pool.map(work, range(3)))
    """,
}

# What skips every handler: nothing is promised but that the token that was handed out goes on working.
SKIPPING = {
    "os._exit": (
        """
        import os
        evergrant.get_token("acme")
        os._exit(7)
        """,
        7,
    ),
    "SIGTERM's default action": (
        """
        import os, signal
        evergrant.get_token("acme")
        os.kill(os.getpid(), signal.SIGTERM)
        """,
        -15,
    ),
    "Process.terminate": (
        """
        import multiprocessing, sys, threading
        def work(asked):
            evergrant.get_token("acme")
            asked.set()
            threading.Event().wait()
        context = multiprocessing.get_context("fork")
        asked = context.Event()
        child = context.Process(target=work, args=(asked,))
        child.start()
        asked.wait()
        child.terminate()
        child.join()
        sys.exit(child.exitcode + 15)
        """,
        0,
    ),
    "a Pool that is left by `with`": (
        """
        import multiprocessing
        def work(number):
            evergrant.get_token("acme")
        with multiprocessing.get_context("fork").Pool(1) as pool:
            pool.map(work, range(3))
        """,
        0,
    ),
}


def endings() -> dict[str, Ending]:
    """All of them, by their names."""
    found: dict[str, Ending] = {}
    codes = {"os._exit with requests under way": 5, "an exception ends the main coroutine": 1}
    for loop, prelude in LOOPS.items():
        begin = _joined(prelude, CANCELLED.get(loop, CANCELLED[""]), "from evergrant import aio")
        programs = AWAITING if loop == "trio" else AWAITING | LEAVING
        for name, code in programs.items():
            exit_code = 7 if name.startswith("sys.exit") else codes.get(name, 0)
            found[f"{loop}: {name}"] = Ending(begin + _joined(code), exit_code)
        found[f"{loop}: the loop ends before the reply"] = Ending(_joined(prelude, ORPHANING_LOOP), stored=True)
    for method in ("fork", "spawn", "forkserver"):
        found[f"asyncio: in a child ({method})"] = Ending(IN_A_CHILD.replace("{method}", method))
    found["asyncio: two tests of pytest"] = Ending(IN_PYTEST)
    for name, (code, exit_code) in ORPHANING.items():
        found[name] = Ending(_joined("import evergrant", code), exit_code, stored=True)
    for name, body in BODIES.items():
        for method in ("fork", "spawn", "forkserver"):
            code = CHILDREN.replace("{method}", method).replace("{body}", body.strip())
            found[f"{name} ({method})"] = Ending(code, stored=True)
    for name, (code, exit_code) in SKIPPING.items():
        found[name] = Ending(_joined("import evergrant", code), exit_code, stored=False)
    return found


def _joined(*parts: str) -> str:
    return "".join(textwrap.dedent(part).strip("\n") + "\n" for part in parts)
