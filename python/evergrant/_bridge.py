"""Awaits calls of the core on asyncio, uvloop, trio and anyio.

No thread of the core ever calls into Python: one that does while the interpreter ends aborts the process. A finished
call announces itself on a file descriptor that the event loop watches, and the loop's own thread takes the outcome.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from evergrant import _core

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable


async def outcome(call: _core.Call) -> Any:
    """The outcome of a call under way, awaited on the event loop that runs this coroutine."""
    wait_readable = _trio_wait()
    if wait_readable is not None:
        # trio lets one task wait for a descriptor, so each call has its own.
        port = _core.Port()
        if call.attach(port, 0):
            await wait_readable(port.fileno())
        return call.result()
    future = _watch(_running_loop(), call)
    if future is not None:
        await future
    return call.result()


class _Reader:
    """The calls that one asyncio loop waits for, and the port where they announce themselves.

    The loop's own reader handle is its only owner: a loop that is closed, or dropped, frees the port. Only the
    loop's thread touches it.
    """

    __slots__ = ("__weakref__", "_finished", "_last", "_process", "_waiting", "port")

    def __init__(self) -> None:
        self.port = _core.Port()
        self._process = os.getpid()
        self._waiting: dict[int, Future[None]] = {}
        self._finished: list[int] = []
        self._last = 0

    def watch(self, call: _core.Call, future: Future[None]) -> bool:
        """Have `future` done when `call` is; false if the call is done already."""
        if self._process != os.getpid():
            message = "this event loop was made before the process forked: run a new one in the child"
            raise RuntimeError(message)
        self._last += 1
        self._waiting[self._last] = future
        if call.attach(self.port, self._last):
            return True
        del self._waiting[self._last]
        return False

    def wake(self) -> None:
        """Finish the futures of at most 64 calls, so that the loop's other callbacks get their turn."""
        try:
            self._finished += self.port.take()
            while self._finished:
                # Each step may be interrupted and done again.
                number = self._finished[-1]
                future = self._waiting.get(number)
                if future is not None and not future.done():
                    future.set_result(None)
                self._waiting.pop(number, None)
                self._finished.pop()
        except BaseException:
            # Ctrl-C: the rest is finished when the loop goes on, which no signal of the port may announce.
            _running_loop().call_soon(self.wake)
            raise


# Weak on both sides: neither keeps a loop, nor a port whose loop is gone.
_readers: WeakKeyDictionary[AbstractEventLoop, ReferenceType[_Reader]] = WeakKeyDictionary()


def _watch(loop: AbstractEventLoop, call: _core.Call) -> Future[None] | None:
    """A future of `loop` that is done when `call` is, or `None` if it is done already.

    The waiting coroutine holds the future only: held reader and future would keep each other alive beyond the loop.
    """
    known = _readers.get(loop)
    reader = known() if known is not None else None
    if reader is None:
        reader = _Reader()
        loop.add_reader(reader.port.fileno(), reader.wake)
        _readers[loop] = ref(reader)
    future: Future[None] = loop.create_future()
    return future if reader.watch(call, future) else None


def _running_loop() -> AbstractEventLoop:
    # Whoever runs a loop of asyncio has imported it.
    asyncio = sys.modules.get("asyncio")
    try:
        if asyncio is not None:
            loop: AbstractEventLoop = asyncio.get_running_loop()
            return loop
    except RuntimeError:
        pass
    message = "evergrant.aio needs a running event loop of asyncio, uvloop or trio"
    raise RuntimeError(message)


def _trio_wait() -> Callable[[int], Any] | None:
    """`wait_readable` of trio inside a task of trio; where trio was never imported there is none."""
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return None
    wait_readable: Callable[[int], Any] = trio.lowlevel.wait_readable
    return wait_readable
