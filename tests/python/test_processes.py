"""One refresh per expiry, whatever asks: processes of threads, forked and spawned workers, pools, two event loops."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest

from evergrant import _core
from support import AuthorizationServer, Program, UserAgent, acme

PROCESSES = 8
THREADS = 8
ROUNDS = 200

STARTS = 12  # rounds in which every worker is a process that starts anew
WORKERS = 4
TASKS = 500

Start = Callable[..., Program]

# Goes on for as many rounds as lines come: each ages the token, then lets all threads ask at once.
LASTING = """
    import asyncio, json, sys, threading
    from collections import Counter
    from evergrant import _core, aio
    from support import acme

    clock = _core.ManualClock(int(sys.argv[1]))
    threads, tasks = int(sys.argv[2]), int(sys.argv[3])
    workspace = acme.opened_at(clock)
    awaited = aio.Workspace.__new__(aio.Workspace)
    awaited._inner = workspace._inner
    begin, end = threading.Barrier(threads + 1), threading.Barrier(threads + 1)
    answers = []

    def work():
        while True:
            begin.wait()
            try:
                answers.append(str(workspace.get_token("acme")))
            except Exception as error:
                answers.append(f"{type(error).__name__}: {error}")
            end.wait()

    async def loop():
        while True:
            begin.wait()
            tokens = await asyncio.gather(*(awaited.get_token("acme") for _ in range(tasks)), return_exceptions=True)
            answers.extend(str(token) for token in tokens)
            end.wait()

    for _ in range(threads):
        threading.Thread(target=(lambda: asyncio.run(loop())) if tasks else work, daemon=True).start()
    print("ready")
    for aged in sys.stdin:
        clock.advance(float(aged))
        print("aged")
        sys.stdin.readline()
        begin.wait()
        end.wait()
        print(json.dumps(Counter(answers)))
        answers.clear()
"""

# What a worker does, and how often it is started; `start` is the rest of the program.
STARTED = """
    import os, signal, sys, threading, warnings
    import multiprocessing
    from collections import Counter
    from concurrent.futures import ProcessPoolExecutor
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    import evergrant
    from evergrant import _core
    from support import acme

    millis, rounds, workers, method = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    age = acme.EXPIRED

    def ask_at(at):
        ask(acme.opened_at(_core.ManualClock(at)))

    def ask(workspace, threads=4):
        answers = []
        together = threading.Barrier(threads)

        def work():
            together.wait()
            answers.append(str(workspace.get_token("acme")))

        asking = [threading.Thread(target=work) for _ in range(threads)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        for token, count in Counter(answers).items():
            os.write(1, f"{token} {count}\\n".encode())  # one call: the lines of all processes stay whole

    def ended_well(child):
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, code

    if __name__ == "__main__":
        signal.alarm(45)  # who hangs is killed
        {start}
"""

PROCESS = """
        context = multiprocessing.get_context(method)
        for number in range(1, rounds + 1):
            at = round(millis + number * age * 1000)
            children = [context.Process(target=ask_at, args=(at,)) for _ in range(workers)]
            for child in children:
                child.start()
            for child in children:
                child.join()
                assert child.exitcode == 0, child.exitcode
"""

POOL = """
        context = multiprocessing.get_context(method)
        for number in range(1, rounds + 1):
            at = round(millis + number * age * 1000)
            with ProcessPoolExecutor(workers, mp_context=context) as pool:
                list(pool.map(ask_at, [at] * workers))
"""

# As gunicorn with `preload_app`: the parent has imported, opened and asked; its workers end in several ways.
PRELOADED = """
        clock = _core.ManualClock(millis)
        workspace = acme.opened_at(clock)
        workspace.get_token("acme")
        for number in range(rounds):
            clock.advance(age)
            children = []
            for worker in range(workers):
                child = os.fork()
                if child == 0:
                    ask(workspace)
                    if worker % 2:
                        sys.exit(0)
                    os._exit(0)
                children.append(child)
            for child in children:
                ended_well(child)
"""

# The parent's threads are inside a refresh, and stay there until all workers are forked.
DURING_A_REFRESH = """
        clock = _core.ManualClock(millis)
        workspace = acme.opened_at(clock)
        workspace.get_token("acme")
        for number in range(rounds):
            clock.advance(age)
            asking = threading.Thread(target=ask, args=(workspace,))
            asking.start()
            while evergrant.drain(0):
                pass
            children = []
            for worker in range(workers):
                child = os.fork()
                if child == 0:
                    ask(workspace)
                    os._exit(0)
                children.append(child)
            asking.join()
            for child in children:
                ended_well(child)
"""


@pytest.fixture
def millis(home: object, server: AuthorizationServer, user_agent: UserAgent) -> int:
    """The instant at which `acme` was connected: the clock of every process starts there."""
    at = round(time.time() * 1000)
    with acme.opened_at(_core.ManualClock(at)) as workspace:
        acme.configure(workspace, server)
        workspace.connect("acme", open_browser=user_agent.connect)
    server.reset()
    return at


class Figures:
    """What all rounds of a test gave."""

    def __init__(self, server: AuthorizationServer) -> None:
        self._server = server
        self.callers = 0
        self.tokens: set[str] = set()
        self.seconds = 0.0

    def round(self, asking: list[Program]) -> None:
        """Ages the token in every process, then lets all ask at once."""
        for one in asking:
            one.tell(str(acme.EXPIRED))
        for one in asking:
            assert one.line() == "aged"
        start = time.perf_counter()
        for one in asking:
            one.tell()
        answers = [json.loads(one.line()) for one in asking]
        self.seconds += time.perf_counter() - start
        assert self.add(answers) == 1  # one new token, for all

    def add(self, answers: list[dict[str, int]]) -> int:
        """Counts callers; each new token has to work at the server's API. How many are new."""
        new = {token for answer in answers for token in answer} - self.tokens
        for token in new:
            assert self._server.whoami(token)["subject"] == "ada"
        self.callers += sum(count for answer in answers for count in answer.values())
        self.tokens |= new
        return len(new)

    def line(self) -> str:
        """The figures in words, by the server's own log."""
        server = self._server
        errors = sum(not request.ok for request in server.requests())
        return f"{server.refreshes} refreshes, {server.reused} reuses, {self.callers} callers, {errors} errors"


@pytest.fixture
def figures(server: AuthorizationServer) -> Figures:
    """No rounds yet."""
    return Figures(server)


def lasting(program: Start, count: int, millis: int, threads: int, tasks: int = 0) -> list[Program]:
    """So many processes of so many threads, each with an event loop of so many tasks where there are any."""
    started = [program(LASTING, str(millis), str(threads), str(tasks)) for _ in range(count)]
    for one in started:
        assert one.line() == "ready"
    return started


def test_processes_of_threads_cause_one_refresh_per_expiry(
    figures: Figures, millis: int, program: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = lasting(program, PROCESSES, millis, THREADS)

    for _ in range(ROUNDS):
        figures.round(asking)

    with capsys.disabled():
        pace = figures.seconds / ROUNDS * 1000
        all_asked = f"{PROCESSES} processes x {THREADS} threads, {ROUNDS} rounds"
        sys.stdout.write(f"\n{all_asked}: {figures.line()}, {pace:.0f} ms a round\n")
    assert figures.line() == f"{ROUNDS} refreshes, 0 reuses, {ROUNDS * PROCESSES * THREADS} callers, 0 errors"
    assert len(figures.tokens) == ROUNDS
    for one in asking:
        one.end()


def assert_one_refresh_per_start(figures: Figures, output: str) -> None:
    """Every worker of every round got the one new token of its round."""
    answers: Counter[str] = Counter()
    for line in output.splitlines():
        token, count = line.split()
        answers[token] += int(count)
    assert figures.add([answers]) == STARTS
    assert set(answers.values()) == {figures.callers // STARTS}
    assert figures.line().startswith(f"{STARTS} refreshes, 0 reuses, ")
    assert figures.line().endswith(" 0 errors")


def started(program: Start, start: str, millis: int, method: str = "fork") -> str:
    """What a program wrote whose workers are started anew in every round."""
    code = STARTED.replace("{start}", start.strip())
    return program(code, str(millis), str(STARTS), str(WORKERS), method).end()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_that_are_started_cause_one_refresh_per_expiry(
    figures: Figures, millis: int, program: Start, method: str
) -> None:
    assert_one_refresh_per_start(figures, started(program, PROCESS, millis, method))
    assert figures.callers == STARTS * WORKERS * 4


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes_cause_one_refresh_per_expiry(
    figures: Figures, millis: int, program: Start, method: str
) -> None:
    assert_one_refresh_per_start(figures, started(program, POOL, millis, method))
    assert figures.callers == STARTS * WORKERS * 4


def test_workers_forked_from_a_parent_that_had_a_token_cause_one_refresh_per_expiry(
    figures: Figures, millis: int, program: Start
) -> None:
    assert_one_refresh_per_start(figures, started(program, PRELOADED, millis))
    assert figures.callers == STARTS * WORKERS * 4


def test_workers_forked_during_a_refresh_wait_for_that_one(
    server: AuthorizationServer, figures: Figures, millis: int, program: Start
) -> None:
    for _ in range(STARTS):
        server.fault("slow", milliseconds=150)

    assert_one_refresh_per_start(figures, started(program, DURING_A_REFRESH, millis))
    assert figures.callers == STARTS * (WORKERS + 1) * 4


@pytest.mark.parametrize("processes", [1, 2])
def test_tasks_of_two_event_loops_cause_one_refresh_per_expiry(
    figures: Figures, millis: int, program: Start, processes: int
) -> None:
    asking = lasting(program, processes, millis, 2, TASKS // 2 // processes)

    for _ in range(STARTS):
        figures.round(asking)

    assert figures.line() == f"{STARTS} refreshes, 0 reuses, {STARTS * TASKS} callers, 0 errors"
    for one in asking:
        one.end()
