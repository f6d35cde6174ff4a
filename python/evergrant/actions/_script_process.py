"""The program that runs the script of a template, in a process of its own: `python -I THIS RESULT MEMORY SECONDS`.

It reads `{"script": …, "inputs": …}` from standard input and writes the length of its answer in bytes, a line break and
the answer to the file descriptor RESULT: `{"result": …}` or `{"error": "Type: message"}`. It imports nothing of
evergrant.
"""

import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import json
import os
import pathlib
import resource
import signal
import sys
import types
import uuid
from typing import Any

LONGEST_ERROR = 4096  # characters; the other side shows fewer


def main() -> None:
    """Read, run, answer, and end at once: whatever the script left behind is not waited for."""
    result, memory, seconds = map(int, sys.argv[1:])
    os.set_inheritable(result, False)  # noqa: FBT003 - its only form
    _limit(resource.RLIMIT_AS, memory)
    _limit(resource.RLIMIT_CORE, 0)
    # Ends the script if whoever started it is no longer there to do it.
    signal.alarm(seconds)
    asked = json.loads(sys.stdin.buffer.read())
    try:
        answer = json.dumps({"result": _run(asked["script"], asked["inputs"])}, default=_plain)
    except BaseException as error:  # noqa: BLE001 - SystemExit is an error like any other
        answer = json.dumps({"error": _described(error)})
    whole = answer.encode()
    _write(result, b"%d\n" % len(whole) + whole)
    os._exit(0)


def _limit(what: int, most: int) -> None:
    try:
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    except (OSError, ValueError):
        pass  # macOS knows the limit and refuses to set it


def _run(script: str, inputs: "dict[str, Any]") -> Any:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    names = vars(module)
    exec(compile(script, "<script>", "exec"), names)  # noqa: S102 - what this program is for
    function = names.get("main")
    if not callable(function):
        function = next((value for name, value in names.items() if _is_written_here(name, value, names)), None)
    if function is None:
        message = "the script defines no function"
        raise NameError(message)
    made = function(**inputs)
    if not inspect.isawaitable(made):
        return made
    import asyncio

    return asyncio.run(_awaited(made))


def _is_written_here(name: str, value: object, names: "dict[str, Any]") -> bool:
    return not name.startswith("_") and isinstance(value, types.FunctionType) and value.__globals__ is names


async def _awaited(made: Any) -> Any:
    return await made


def _plain(value: Any) -> Any:
    """What stands for a value that JSON doesn't know."""
    if isinstance(value, (set, frozenset)):
        try:
            return sorted(value)
        except TypeError:
            return sorted(value, key=repr)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, (decimal.Decimal, uuid.UUID, pathlib.PurePath)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return repr(value)


def _described(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
    except Exception:  # noqa: BLE001 - its text is the script's own code
        return type(error).__name__


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


if __name__ == "__main__":
    main()
