"""Awaiting calls of the core on event loops."""

import asyncio
import gc
import inspect
import os
import threading
import weakref

import anyio
import pytest
import trio
import uvloop

import evergrant
from evergrant import AccessToken, _bridge, aio
from fake_core import Call, Port

RUNNERS = {
    "asyncio": asyncio.run,
    "uvloop": lambda main: (
        asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main) if hasattr(asyncio, "Runner") else uvloop.run(main)
    ),
    "trio": lambda main: trio.run(lambda: main),
    "anyio on asyncio": lambda main: anyio.run(lambda: main, backend="asyncio"),
    "anyio on trio": lambda main: anyio.run(lambda: main, backend="trio"),
}


@pytest.fixture(params=RUNNERS)
def run(request):
    """Runs a coroutine on an event loop."""
    return RUNNERS[request.param]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request):
    """A loop that speaks asyncio, closed at the end."""
    made = request.param()
    yield made
    made.close()


def later(call, outcome, seconds=0.01):
    """Finish a call from another thread, as the core does."""
    timer = threading.Timer(seconds, call.finish, (outcome,))
    timer.start()
    return timer


# Verbs


def test_a_cached_token_does_not_touch_the_loop(core):
    coroutine = aio.get_token("github")

    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)

    assert stop.value.value is core.token
    assert core.verbs() == ["cached_token"]


def test_a_token_that_is_not_cached_is_awaited(core, run):
    core.is_cached = False
    core.answers["get_token"] = call = Call(pending=True)
    later(call, core.token)

    assert run(aio.get_token("github", connection="ann", scopes=("s",), timeout=3.0)) is core.token
    assert core.last("get_token") == {
        "provider": "github",
        "connection": "ann",
        "scopes": ("s",),
        "timeout": 3.0,
    }


@pytest.mark.parametrize("name", [name for name in aio.__all__ if name != "actions"])
@pytest.mark.usefixtures("core")
def test_every_verb_is_a_coroutine_function_with_the_signature_of_its_twin(name):
    # The core's builtin tells its signature when it is built; the fake does not.
    place = evergrant.Workspace("any") if name == "get_token" else evergrant
    twin, verb = getattr(place, name), getattr(aio, name)
    assert inspect.iscoroutinefunction(verb) or name == "Workspace"
    ours = [(p.name, p.kind, p.default) for p in inspect.signature(verb).parameters.values()]
    theirs = [(p.name, p.kind, p.default) for p in inspect.signature(twin).parameters.values()]
    assert ours == theirs


@pytest.mark.parametrize("name", [name for name in aio.__all__ if name not in {"Workspace", "actions"}])
def test_every_verb_asks_the_core_what_its_twin_asks(core, name):
    arguments = {
        parameter.name: "fake"
        for parameter in inspect.signature(getattr(aio, name)).parameters.values()
        if parameter.default is parameter.empty
    }
    core.is_cached = False
    core.answers = {
        "connect_start": {"status": {}},
        **{verb: [] for verb in ("integrations", "connections", "providers", "check_provider")},
    }

    result = asyncio.run(getattr(aio, name)(**arguments))
    asked = core.calls[:]
    core.calls.clear()
    twin = getattr(evergrant, name)(**arguments) if name != "get_token" else core.token

    assert result == twin
    if name != "get_token":
        assert asked == core.calls


def test_a_workspace_awaits_from_itself(core):
    async def main():
        async with aio.Workspace("team", store="/elsewhere") as workspace:
            assert (workspace.name, workspace.store) == ("team", "/elsewhere")
            core.is_cached = False
            assert await workspace.get_token("github") is core.token
            assert (await workspace.status("github")).provider is None
        assert workspace._inner.closed

    asyncio.run(main())
    assert {arguments["workspace"] for _, arguments in core.calls} == {"team"}


def test_a_sign_in_is_awaited(core):
    core.answers["connect_start"] = {
        "url": "https://a",
        "device": None,
        "flow": 7,
        "redirect_uri": "http://127.0.0.1:1/callback",
        "complete": "evergrant complete-connect",
    }
    core.answers["connect_wait"] = call = Call(pending=True)
    shown = []
    later(call, {"provider": "github"})

    status = asyncio.run(aio.connect("github", open_browser=shown.append))

    assert (shown, status.provider) == (["https://a"], "github")
    assert "connect_cancel" not in core.verbs()


def test_a_cancelled_sign_in_is_given_up(core, run):
    core.answers["connect_start"] = {
        "url": "https://a",
        "device": None,
        "flow": 7,
        "redirect_uri": "http://127.0.0.1:1/callback",
        "complete": "evergrant complete-connect",
    }
    core.answers["connect_wait"] = Call(pending=True)

    async def main():
        with anyio.move_on_after(0.01):
            await aio.connect("github", open_browser=print)

    run(main())
    assert core.last("connect_cancel") == {"flow": 7}


# The bridge


@pytest.mark.usefixtures("core")
def test_an_outcome_is_awaited(run):
    call = Call(pending=True)
    later(call, "outcome")

    assert run(_bridge.outcome(call)) == "outcome"


@pytest.mark.usefixtures("core")
def test_an_error_is_raised_where_it_is_awaited(run):
    call = Call(pending=True)
    later(call, evergrant.NotConnected("no"))

    with pytest.raises(evergrant.NotConnected):
        run(_bridge.outcome(call))


@pytest.mark.usefixtures("core")
def test_a_call_that_is_done_is_not_waited_for(run):
    assert run(_bridge.outcome(Call("outcome"))) == "outcome"


@pytest.mark.usefixtures("core")
def test_many_calls_are_awaited_at_once(loop):
    calls = [Call(pending=True) for _ in range(1000)]

    def finish():
        for number, call in enumerate(calls):
            call.finish(number)

    async def main():
        waiting = [asyncio.ensure_future(_bridge.outcome(call)) for call in calls]
        await asyncio.sleep(0)
        thread = threading.Thread(target=finish)
        thread.start()
        found = await asyncio.gather(*waiting)
        thread.join()
        return found

    assert loop.run_until_complete(main()) == list(range(1000))


@pytest.mark.usefixtures("core")
def test_a_wake_up_takes_at_most_64_results(loop):
    calls = [Call(pending=True) for _ in range(100)]
    done = []

    async def main():
        waiting = [asyncio.ensure_future(_bridge.outcome(call)) for call in calls]
        await asyncio.sleep(0)
        reader = _bridge._readers[asyncio.get_running_loop()]()
        for call in calls:
            call.finish()
        reader.wake()
        done.append(sum(number not in reader._waiting for number in range(1, 101)))
        await asyncio.gather(*waiting)

    loop.run_until_complete(main())
    assert done == [64]


@pytest.mark.usefixtures("core")
def test_a_cancelled_wait_ends_and_its_late_outcome_is_dropped(run):
    late, next_one = Call(pending=True), Call(pending=True)

    async def main():
        with anyio.move_on_after(0.005) as scope:
            await _bridge.outcome(late)
        assert scope.cancelled_caught
        late.finish("late")
        later(next_one, "next")
        assert await _bridge.outcome(next_one) == "next"

    run(main())


@pytest.mark.usefixtures("core")
def test_closed_loops_free_their_ports_without_the_collector(loop):
    before = Port.open
    gc.disable()
    try:
        call = Call(pending=True)
        later(call, None, 0.001)
        loop.run_until_complete(_bridge.outcome(call))
        assert Port.open == before + 1
        del call
        loop.close()
        assert Port.open == before
    finally:
        gc.enable()


@pytest.mark.usefixtures("core")
def test_a_loop_closed_with_calls_pending_frees_its_port(loop):
    before = Port.open
    calls = [Call(pending=True) for _ in range(20)]

    async def main():
        waiting = [asyncio.ensure_future(_bridge.outcome(call)) for call in calls]
        await asyncio.sleep(0)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    loop.run_until_complete(main())
    loop.close()
    for call in calls:
        call.finish("late")
    del call
    calls.clear()
    assert Port.open == before


@pytest.mark.usefixtures("core")
def test_the_map_of_readers_keeps_no_loop_alive():
    loop = asyncio.new_event_loop()
    call = Call(pending=True)
    later(call, None, 0.001)
    loop.run_until_complete(_bridge.outcome(call))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()

    assert gone() is None


@pytest.mark.usefixtures("core")
def test_two_loops_in_two_threads_do_not_mix():
    found = {}

    def work(name):
        async def main():
            for number in range(50):
                call = Call(pending=True)
                timer = later(call, (name, number), 0)
                assert await _bridge.outcome(call) == (name, number)
                timer.join()
            found[name] = True

        asyncio.run(main())

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": True, "b": True}


@pytest.mark.usefixtures("core")
def test_a_parents_loop_is_refused_in_a_child(monkeypatch):
    async def main():
        first = Call(pending=True)
        later(first, None, 0.001)
        await _bridge.outcome(first)
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="before the process forked"):
            await _bridge.outcome(Call(pending=True))

    asyncio.run(main())


@pytest.mark.usefixtures("core")
def test_an_interrupted_wake_up_loses_no_outcome(loop):
    calls = [Call(pending=True) for _ in range(5)]

    class Interrupting(dict):
        struck = False

        def get(self, number):
            if number == 3 and not Interrupting.struck:
                Interrupting.struck = True
                raise KeyboardInterrupt
            return super().get(number)

    async def main():
        waiting = [asyncio.ensure_future(_bridge.outcome(call)) for call in calls]
        await asyncio.sleep(0)
        reader = _bridge._readers[asyncio.get_running_loop()]()
        reader._waiting = Interrupting(reader._waiting)
        for call in calls:
            call.finish("kept")
        return await asyncio.gather(*waiting)

    task = loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    assert loop.run_until_complete(task) == ["kept"] * 5


@pytest.mark.usefixtures("core")
def test_without_an_event_loop_the_reason_is_said():
    with pytest.raises(RuntimeError, match="needs a running event loop"):
        _bridge.outcome(Call(pending=True)).send(None)


def test_a_token_is_awaited_for_half_a_minute_unless_told_otherwise(core):
    core.is_cached = False

    assert isinstance(asyncio.run(aio.get_token("github")), AccessToken)
    assert core.last("get_token") == {"provider": "github", "timeout": 30.0}
