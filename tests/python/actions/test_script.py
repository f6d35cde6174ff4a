"""The step `core.script.run_python`: what a script gets, returns, and can not do."""

import asyncio
import os
import socket
import textwrap
from pathlib import Path

import pytest
import trio

from evergrant import ActionError
from evergrant.actions import _script

# A process that says it is there, and is seen to end when the connection does.
CONNECT = """
import os, socket, time
def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.send(b"x")
    return connection
"""


def run(script, **arguments):
    return _script.run_python(script=textwrap.dedent(script), **arguments)


def refused(script, **arguments):
    with pytest.raises(ActionError) as caught:
        run(script, **arguments)
    return caught.value


class Listener:
    """A socket to which scripts connect, and the connections."""

    def __init__(self, folder):
        self.path = str(folder / "s")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen()
        self._listening.settimeout(30)
        self._accepted = []

    def accept(self):
        connection = self._listening.accept()[0]
        self._accepted.append(connection)
        connection.settimeout(30)
        assert connection.recv(1) == b"x"
        return connection

    def close(self):
        for one in (self._listening, *self._accepted):
            one.close()


@pytest.fixture
def listener(tmp_path):
    listener = Listener(tmp_path)
    yield listener
    listener.close()


# The function and its arguments


def test_main_is_called_with_the_inputs():
    assert run("def main(a, b=2): return [a, b]", inputs={"a": 1}) == [1, 2]


def test_without_inputs_it_is_called_without_arguments():
    assert run("def main(): return 1", inputs=None) == run("def main(): return 1", inputs={}) == 1


def test_keys_that_are_no_identifiers_reach_keywords():
    assert run("def main(**words): return words", inputs={"a-b": 1}) == {"a-b": 1}


def test_the_only_function_needs_no_name():
    assert (
        run("import json\nfrom urllib.parse import quote\ndef build(x): return quote(x)", inputs={"x": "é"}) == "%C3%A9"
    )


def test_main_may_be_any_callable_and_is_preferred():
    script = """
        from functools import partial
        def helper(x): return x
        def another(x): return -x
        main = partial(another, 7)  # def main(
    """
    assert run(script) == -7


def test_a_coroutine_is_awaited():
    assert run("import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return 1") == 1


def test_the_script_is_the_main_module():
    script = """
        from dataclasses import dataclass
        from typing import get_type_hints
        @dataclass
        class File:
            size: "int"
        def main(): return [__name__, str(get_type_hints(File)["size"]), File(1)]
    """
    assert run(script) == ["__main__", "<class 'int'>", {"size": 1}]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("x = 1", "it defines no function"),
        ("def a(): 1\ndef b(): 2", "named `main`"),
        ("  def main(): 1", None),
        ("# def main(x):", "NameError: the script defines no function"),
        ("def main(x): return x", r"TypeError: main\(\) missing 1 required positional argument: 'x'"),
        ("def main(", "SyntaxError: '\\(' was never closed"),
        (1, "text is needed, not int"),
    ],
)
def test_what_can_not_be_called_is_an_error(script, why):
    with pytest.raises(ActionError, match=why or "IndentationError: unexpected indent"):
        _script.run_python(script=script)


def test_a_surplus_argument_is_an_error():
    assert "unexpected keyword argument 'b'" in str(refused("def main(a=1): return a", inputs={"b": 1}))


# The result


def test_a_result_comes_through_json():
    script = """
        import datetime, decimal, enum, pathlib, uuid
        class Colour(enum.Enum):
            RED = "r"
        class Thing:
            def __repr__(self): return "a thing"
        def main():
            return {
                "tuple": (1, 2), "set": {3, 1, 2}, "mixed": {1, "a"}, "enum": Colour.RED,
                "time": datetime.datetime(2024, 1, 2), "day": datetime.date(2024, 1, 2), "clock": datetime.time(10),
                "span": datetime.timedelta(minutes=1.5), "decimal": decimal.Decimal("1.50"), "uuid": uuid.UUID(int=1),
                "path": pathlib.Path("a/b"), "bytes": b"a\\xff", "thing": Thing(), 1: None, None: True, True: 1.5,
            }
    """
    assert run(script) == {
        "tuple": [1, 2], "set": [1, 2, 3], "mixed": ["a", 1], "enum": "r",
        "time": "2024-01-02T00:00:00", "day": "2024-01-02", "clock": "10:00:00",
        "span": 90.0, "decimal": "1.50", "uuid": "00000000-0000-0000-0000-000000000001",
        "path": "a/b", "bytes": "a\ufffd", "thing": "a thing", "1": 1.5, "null": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ("{(1, 2): 3}", "TypeError: keys must be str, int, float, bool or None, not tuple"),
        ("[x := [], x.append(x)]", "ValueError: Circular reference detected"),
        ("'\\ud800'", "holds text that is no Unicode"),
        ("__import__('functools').reduce(lambda a, _: [a], range(300), 1)", "more than 150 levels"),
        ("'a' * (16 << 20)", "more than 16 MiB"),
    ],
)
def test_a_result_that_json_can_not_hold_is_an_error(result, why):
    assert why in str(refused(f"def main(): return {result}"))


def test_what_is_printed_does_not_mix_with_the_result():
    assert run('import sys\ndef main():\n    print("{}")\n    print(1, file=sys.stderr)\n    return 1') == 1


def test_large_inputs_and_results_pass():
    assert run("def main(x): return x", inputs={"x": "é" * (1 << 20)}) == "é" * (1 << 20)


# Failures


def test_an_exception_is_told_by_its_type_and_message():
    error = refused("def main(x): raise LookupError(x)", inputs={"x": "no such file"})
    assert error.code == "script_failed"
    assert error.reason == "the script failed: LookupError: no such file"


def test_a_message_is_cut_and_escaped():
    reason = refused("def main(): raise ValueError('\\x1b[1m\\n\\u202e' + 'a' * 5000)").reason
    assert reason.startswith("the script failed: ValueError: \\x1b[1m\\n\\u202eaaa")
    assert len(reason) == len("the script failed: ") + 256


def test_an_exception_without_a_text_is_told_by_its_type():
    script = "class Odd(Exception):\n    def __str__(self): return 1 / 0\ndef main(): raise Odd"
    assert refused(script).reason == "the script failed: Odd"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("os._exit(3)", "ended without a result (exit status 3)"),
        ("os.kill(os.getpid(), 15)", "ended without a result (signal 15)"),
        ("os.closerange(0, 1000)", "ended without a result"),
        ("os.write(int(sys.argv[1]), b'1\\nx')", "ended without a result"),
        ("return 'a' * (2 << 30)", "MemoryError"),
        ("return [bytearray(1 << 28) for _ in range(100)]", "MemoryError"),
        ("main()", "RecursionError"),
    ],
)
def test_a_script_that_breaks_is_an_error(body, why):
    assert why in str(refused(f"import os, sys\ndef main():\n    {body}"))


def test_what_says_it_is_larger_than_it_may_be_is_not_read():
    script = "import os, sys\ndef main(): os.write(int(sys.argv[1]), b'9' * 100)"
    assert "more than 16 MiB" in str(refused(script))


# Time


def test_a_script_that_runs_for_ever_is_ended_with_all_it_started(listener):
    script = f"""{CONNECT}
def main(path):
    os.fork()
    connection = connect(path)
    while True: pass
"""
    error = refused(script, inputs={"path": listener.path}, timeout_seconds=2)
    assert (error.code, error.reason) == ("script_timeout", "the script took longer than 2 seconds")
    for connection in (listener.accept(), listener.accept()):
        assert connection.recv(1) == b""  # both are gone


def test_what_a_script_leaves_behind_is_ended(listener):
    script = f"""{CONNECT}
def main(path):
    reader, writer = os.pipe()
    if os.fork() == 0:
        connection = connect(path)
        os.write(writer, b"x")
        while True: time.sleep(60)
    os.read(reader, 1)
    return "done"
"""
    assert run(script, inputs={"path": listener.path}) == "done"
    assert listener.accept().recv(1) == b""


def test_a_thread_of_the_script_is_not_waited_for():
    script = "import threading\ndef main():\n    threading.Thread(target=threading.Event().wait).start()\n    return 1"
    assert run(script) == 1


# What is kept from it


def test_it_has_no_environment_but_what_is_named(monkeypatch):
    monkeypatch.setenv("EVERGRANT_KEY", "secret")
    monkeypatch.setenv("SOMETHING", "else")
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    script = "import os, sys\ndef main(): return [dict(os.environ), sys.flags.isolated, sys.path]"
    environment, isolated, path = run(script, env_vars={"A": "b"})
    environment.pop("LC_CTYPE", None)  # Python's own
    assert environment == {"A": "b"}
    assert isolated == 1
    assert not any("somewhere" in folder or "actions" in folder for folder in path)


def test_its_folder_is_empty_and_gone_afterwards():
    script = "import os\ndef main():\n    open('left', 'w').close()\n    return os.getcwd()"
    folder = run(script)
    assert Path(folder) != Path.cwd()
    assert not Path(folder).exists()


def test_it_inherits_no_open_file(tmp_path):
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)  # noqa: FBT003 - its only form
        place = "/proc/self/fd"
        script = f"import os\ndef main(): return [os.path.realpath('{place}/' + n) for n in os.listdir('{place}')]"
        assert not any(name.endswith("/open") for name in run(script))


@pytest.mark.parametrize(
    "arguments",
    [
        {"inputs": {"a": ["the-token"]}},
        {"env_vars": {"A": "Bearer the-token"}},
        {"script": "def main(): return 'the-token'"},
    ],
)
def test_no_token_reaches_it(core, arguments):
    core.secrets = ["the-token"]
    error = refused(**{"script": "def main(**x): return x", **arguments})
    assert "a token or another secret" in error.reason


def test_a_secret_in_a_message_is_masked(core):
    core.secrets = ["the-token"]
    assert refused("def main(): raise ValueError('the-' + 'token')").reason.endswith("ValueError: [redacted]")


# Arguments


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"dependencies": ["requests"]}, "dependencies: nothing is installed"),
        ({"timeout_seconds": "5"}, "timeout_seconds: a number"),
        ({"timeout_seconds": True}, "timeout_seconds: a number"),
        ({"timeout_seconds": 0}, "timeout_seconds: it is more than 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds: it is more than 0"),
        ({"inputs": [1]}, "inputs: a mapping"),
        ({"inputs": {1: 2}}, "inputs: a mapping"),
        ({"inputs": {"a": {1}}}, "Object of type set is not JSON serializable"),
        ({"env_vars": {"A": 1}}, "env_vars: a mapping of text"),
        ({"env_vars": ["A"]}, "env_vars: a mapping of text"),
        ({"env_vars": {"A=": "b"}}, "a name has no `=`"),
        ({"env_vars": {"A": "\0"}}, "null byte"),
        ({"env_vars": {"EVERGRANT_KEY_FILE": "x"}}, "the key of a store"),
    ],
)
def test_a_wrong_argument_is_named(arguments, why):
    error = refused("def main(**x): return x", **arguments)
    assert error.code == "action_argument"
    assert why in error.reason


def test_inputs_that_hold_themselves_are_refused():
    inputs = {}
    inputs["a"] = inputs
    assert "they hold themselves" in refused("def main(**x): return x", inputs=inputs).reason


def test_empty_dependencies_and_the_network_are_accepted():
    assert run("def main(): return 1", dependencies=[], allow_network=True) == 1


def test_a_python_that_is_not_there_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    assert "no process can be started" in refused("def main(): return 1").reason


# Awaited


RUNNERS = {"asyncio": asyncio.run, "trio": lambda coroutine: trio.run(lambda: coroutine)}


@pytest.mark.parametrize("runner", RUNNERS)
def test_it_can_be_awaited(runner):
    assert RUNNERS[runner](_script.run_python_async(script="def main(): return 1", allow_network=False)) == 1


def test_the_event_loop_goes_on_meanwhile(listener):
    async def both():
        script = f"{CONNECT}\ndef main(path): return connect(path).recv(1).decode()"
        waiting = asyncio.ensure_future(_script.run_python_async(script=script, inputs={"path": listener.path}))
        connection = await asyncio.to_thread(listener.accept)
        connection.send(b"y")
        return await waiting

    assert asyncio.run(both()) == "y"


FOR_EVER = f"{CONNECT}\ndef main(path):\n    connection = connect(path)\n    while True: time.sleep(60)"


def test_cancelling_ends_the_script_on_asyncio(listener):
    async def cancel():
        arguments = {"script": FOR_EVER, "inputs": {"path": listener.path}}
        waiting = asyncio.ensure_future(_script.run_python_async(**arguments))
        connection = await asyncio.to_thread(listener.accept)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return connection

    assert asyncio.run(cancel()).recv(1) == b""


def test_cancelling_ends_the_script_on_trio(listener):
    async def cancel():
        arguments = {"script": FOR_EVER, "inputs": {"path": listener.path}}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: _script.run_python_async(**arguments))
            connection = await trio.to_thread.run_sync(listener.accept)
            nursery.cancel_scope.cancel()
        return connection

    assert trio.run(cancel).recv(1) == b""
