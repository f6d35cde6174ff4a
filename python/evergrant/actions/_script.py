"""The step `core.script.run_python`: a Python script in a process of its own.

The process is no sandbox: the script runs as you, and may read what you may and reach what you reach, this process's
memory and first environment too. What it is not given is what it has no need of: evergrant's keys and tokens, the
environment, open files, and time and memory without end. What it starts ends with it, unless that leaves its session.
"""

from __future__ import annotations

import json
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from evergrant._redact import redact
from evergrant.actions._values import as_json
from evergrant.exceptions import ActionError

TIMEOUT: Final = 300.0
"""Seconds that a script may take."""
MEMORY: Final = 1 << 30
"""Bytes of address space of each of its processes, where the system limits that (Linux)."""
LARGEST_RESULT: Final = 16 << 20
"""Bytes of its result as JSON."""
LONGEST_MESSAGE: Final = 256
"""Characters that an error shows of the script's own."""

_PROGRAM: Final = Path(__file__).with_name("_script_process.py")
_FUNCTION: Final = re.compile(r"\bdef\s+(\w+)\s*\(")
# Seconds behind the end of its time at which the process ends by itself: by then whoever started it is gone.
_ORPHAN: Final = 5
_LONGEST_ALARM: Final = (1 << 31) - 1
# Seconds after which a wait looks up.
_LOOK: Final = 0.5


def run_python(
    *,
    script: str,
    inputs: Mapping[str, Any] | None = None,
    dependencies: Any = None,
    timeout_seconds: float = TIMEOUT,
    allow_network: bool = False,
    env_vars: Mapping[str, str] | None = None,
) -> Any:
    """Run a script's function and return its result.

    That is the function called `main`, else the first one. What it prints is discarded. The process is Python in
    isolated mode, in an empty folder, with no environment but `env_vars`, and what it
    started ends with it, unless that left its session.

    Args:
        script: Python source that defines a function.
        inputs: The function's arguments by name: values of JSON's kinds.
        dependencies: Has to be empty: nothing is installed. The packages of this interpreter can be imported.
        timeout_seconds: Seconds that it may take.
        allow_network: Has no effect: the network is never closed to it.
        env_vars: Its environment.

    Returns:
        The result as JSON keeps it: sets sorted, durations as seconds, objects that JSON doesn't know as their `repr`.

    Raises:
        ActionError: An argument is wrong, the script fails (`Type: message`), or takes too long or too much.
    """
    del allow_network
    return _Process(*_checked(script, inputs, dependencies, timeout_seconds, env_vars)).outcome()


async def run_python_async(**arguments: Any) -> Any:
    """As `run_python`, on asyncio and trio; cancelling it ends the script."""
    arguments.pop("allow_network", None)
    process = _Process(*_checked_by_name(**arguments))
    try:
        return await _in_thread(process)
    finally:
        process.stop()


def _checked_by_name(
    *,
    script: str,
    inputs: Mapping[str, Any] | None = None,
    dependencies: Any = None,
    timeout_seconds: float = TIMEOUT,
    env_vars: Mapping[str, str] | None = None,
) -> tuple[bytes, float, dict[str, str]]:
    return _checked(script, inputs, dependencies, timeout_seconds, env_vars)


def _checked(
    script: Any, inputs: Any, dependencies: Any, timeout_seconds: Any, env_vars: Any
) -> tuple[bytes, float, dict[str, str]]:
    """What the process reads, the seconds it has, and its environment."""
    if not isinstance(script, str):
        raise _wrong(f"script: text is needed, not {type(script).__name__}")
    functions = _FUNCTION.findall(script)
    if not functions:
        raise _wrong("script: it defines no function: write `def main(…):`")
    if len(functions) > 1 and "main" not in functions:
        raise _wrong("script: of several functions the one to call is named `main`, and there is none")
    if dependencies:
        raise _wrong("dependencies: nothing is installed for a script; what this Python has installed it can import")
    if isinstance(timeout_seconds, bool) or not isinstance(timeout_seconds, (int, float)):
        raise _wrong("timeout_seconds: a number of seconds is needed")
    if not 0 < timeout_seconds < threading.TIMEOUT_MAX:
        raise _wrong("timeout_seconds: it is more than 0")
    if not isinstance(inputs, (Mapping, type(None))) or not all(isinstance(name, str) for name in inputs or ()):
        raise _wrong("inputs: a mapping of the function's arguments is needed")
    environment = _environment(env_vars)
    asked = {"script": script, "inputs": dict(inputs or {})}
    if redact(asked) is not asked or redact(environment) is not environment:
        raise _wrong("a token or another secret of evergrant's was about to be handed to a script")
    return _written(asked), float(timeout_seconds), environment


def _environment(env_vars: Any) -> dict[str, str]:
    if not isinstance(env_vars, (Mapping, type(None))):
        raise _wrong("env_vars: a mapping of text is needed")
    environment = dict(env_vars or {})
    for name, value in environment.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise _wrong("env_vars: a mapping of text is needed")
        if not name or "=" in name or "\0" in name + value:
            raise _wrong("env_vars: a name has no `=`, and nothing has a null byte")
        if name.startswith("EVERGRANT_KEY"):
            raise _wrong("env_vars: the key of a store is not for scripts")
    return environment


def _written(asked: dict[str, Any]) -> bytes:
    try:
        return json.dumps(asked).encode()
    except TypeError as error:
        why = str(error)  # names the type
    except (ValueError, RecursionError):
        why = "they hold themselves"
    raise _wrong(f"inputs: they can't be written as JSON: {why}")


def _wrong(reason: str) -> ActionError:
    return ActionError(reason, code="action_argument")


class _Process:
    """A script that runs."""

    def __init__(self, asked: bytes, seconds: float, environment: dict[str, str]) -> None:
        self._asked = memoryview(asked)
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._ended = False
        self._folder = tempfile.TemporaryDirectory(prefix="evergrant-", ignore_cleanup_errors=True)
        self._result, writer = os.pipe()
        alarm = min(math.ceil(seconds) + _ORPHAN, _LONGEST_ALARM)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", str(_PROGRAM), str(writer), str(MEMORY), str(alarm)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._folder.name,
                env=environment,
                pass_fds=(writer,),
                # Of its own: it is ended with all that it started, and a Ctrl-C is ours alone.
                start_new_session=True,
                bufsize=0,
            )
        except BaseException as error:
            os.close(self._result)
            self._folder.cleanup()
            if isinstance(error, OSError):
                reason = f"no process can be started for the script: {error.strerror}"
                raise ActionError(reason, code="script_failed") from None
            raise
        finally:
            os.close(writer)

    def outcome(self) -> Any:
        """Wait for the result; afterwards nothing of the script is left."""
        try:
            answer = self._exchange()
        finally:
            self.stop()
            status = self._process.wait()
            os.close(self._result)
            self._folder.cleanup()
        return self._result_of(answer, status)

    def stop(self) -> None:
        """End the script and all that it started in its session; again has no effect. From any thread."""
        with self._lock:
            # Before the process is waited for: its number is its own until then.
            if not self._ended:
                self._ended = True
                try:
                    os.killpg(self._process.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass  # it is gone; macOS says so in its own way

    def _exchange(self) -> bytes:
        """What the process answers, without its first line; empty if it ended without an answer."""
        answer = _Answer()
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        with selectors.DefaultSelector() as selector, self._process.stdin as stdin:
            os.set_blocking(stdin.fileno(), False)
            selector.register(stdin, selectors.EVENT_WRITE)
            selector.register(self._result, selectors.EVENT_READ)
            while not answer.is_whole:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise ActionError(f"the script took longer than {self._seconds:g} seconds", code="script_timeout")
                for ready, _ in selector.select(min(left, _LOOK)):
                    if ready.fd == self._result:
                        answer.add(os.read(self._result, 1 << 16))
                    elif not self._write(ready.fd):
                        selector.unregister(stdin)
                        stdin.close()
                if self._ended:
                    raise ActionError("the script was stopped", code="script_failed")
        return answer.body()

    def _write(self, descriptor: int) -> bool:
        """Write a part of what the process reads; whether there is more."""
        try:
            self._asked = self._asked[os.write(descriptor, self._asked) :]
        except BrokenPipeError:
            return False
        return bool(self._asked)

    @staticmethod
    def _result_of(answer: bytes, status: int) -> Any:
        try:
            told = json.loads(answer) if answer else None
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or not {"result", "error"} & set(told):
            # SIGKILL may have been ours.
            how = (
                ""
                if status == -signal.SIGKILL
                else f" (signal {-status})"
                if status < 0
                else f" (exit status {status})"
            )
            raise ActionError(f"the script ended without a result{how}", code="script_failed")
        if "error" in told:
            raise ActionError(f"the script failed: {_shown(str(told['error']))}", code="script_failed")
        return as_json(told["result"], "the result of the script")


class _Answer:
    """What a process says, as it comes: the length of its answer, a line break, the answer."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._begin = self._end = 0
        self.is_whole = False

    def add(self, part: bytes) -> None:
        """Another part; an empty one is the end, whatever was announced."""
        self._received += part
        if not part:
            self._begin = self._end = 0
            self.is_whole = True
            return
        if not self._end:
            head = bytes(self._received[: len(str(LARGEST_RESULT)) + 1])
            digits, line, _ = head.partition(b"\n")
            if line or len(digits) == len(head) > len(str(LARGEST_RESULT)):
                if not digits.isdigit() or int(digits) > LARGEST_RESULT:
                    reason = f"the result of the script has more than {LARGEST_RESULT >> 20} MiB"
                    raise ActionError(reason, code="script_failed")
                self._begin = len(digits) + 1
                self._end = self._begin + int(digits)
        self.is_whole = 0 < self._end <= len(self._received)

    def body(self) -> bytes:
        """The answer; empty if there was none."""
        return bytes(self._received[self._begin : self._end])


def _shown(message: str) -> str:
    """The script's own words: masked, cut, and without what could steer a terminal."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in redact(message))
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"


async def _in_thread(process: _Process) -> Any:
    """The outcome, waited for on a thread of its own."""
    trio = sys.modules.get("trio")
    if trio is not None and _is_running(trio):
        return await trio.to_thread.run_sync(process.outcome, abandon_on_cancel=True)
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    thread = ThreadPoolExecutor(1, "evergrant-script")
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, process.outcome)
    finally:
        thread.shutdown(wait=False)


def _is_running(trio: Any) -> bool:
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
