"""What a refresh costs, counted by strace: flushes of the disk, and what stands between a reply and its slot.

The server rotates every refresh token, so every reply has to be on the disk before anybody sees its token.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import AuthorizationServer, Program, UserAgent, acme

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing; run scripts/setup dev")

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "target" / "figures" / "cost.txt"
CONNECTIONS = 64
ROUNDS = 5

REFRESHES = """
    import sys
    from concurrent.futures import ThreadPoolExecutor

    import evergrant

    each, names = int(sys.argv[1]), sys.argv[2:]


    def refresh(name):
        token = evergrant.get_token("acme", connection=name)
        for _ in range(each):
            token = evergrant.get_token("acme", connection=name, replacing=token)


    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(refresh, names))
"""

Trace = Callable[..., list[str]]


@pytest.fixture(scope="module")
def figure() -> Iterator[Callable[[str, object], None]]:
    """Notes a figure; all of them are in target/figures/cost.txt afterwards."""
    figures: list[str] = []
    yield lambda name, value: figures.append(f"{name}: {value}\n")
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text("".join(figures))


@pytest.fixture
def trace(program: Callable[..., Program], tmp_path: Path) -> Trace:
    """Lets a process refresh connections at once, so many times each; what strace wrote of its system calls."""

    def run(calls: str, each: int, *names: str) -> list[str]:
        file = tmp_path / "trace"
        fast = () if calls == "all" else ("--seccomp-bpf",)  # stops at no other call
        strace = ("strace", "-f", *fast, "-qq", "-y", "-s", "16", "-e", f"trace={calls}", "-o", str(file))
        program(REFRESHES, str(each), *names, under=strace).end()
        return file.read_text().splitlines()

    return run


def connect(server: AuthorizationServer, user_agent: UserAgent, count: int = 1) -> list[str]:
    """Connects so many accounts, each with a grant of its own; their names. The server's log is empty afterwards."""
    names = [f"account-{number}" for number in range(count)]
    with acme.opened_at(acme.clock_of()) as workspace:
        acme.configure(workspace, server)
        for name in names:
            workspace.connect("acme", connection=name, open_browser=user_agent.connect)
    server.reset()
    return names


def flushes(lines: list[str]) -> list[str]:
    """The files that the disk was waited for, one for each time."""
    found = (re.search(r"f(?:data)?sync\(\d+<(.+?)>", line) for line in lines)
    return [match[1] for match in found if match]


def between_reply_and_slot(lines: list[str]) -> list[list[str]]:
    """For each reply of the server the calls after the one that read it, up to the write of its slot.

    Of the threads of the core: whatever the interpreter's own thread does meanwhile delays nothing.
    """
    interpreter = lines[0].split()[0]
    found: list[list[str]] = []
    calls: list[str] | None = None
    for line in lines:
        thread, call = line.split(maxsplit=1)
        name = re.match(r"(?:<\.\.\. )?(\w+)", call)
        assert name, line
        if "recvfrom" in call and '"HTTP/1.1 200' in call:
            calls = []
        elif calls is not None and name[1] == "pwrite64" and '"EGR1' in call:
            found.append(calls)
            calls = None
        elif calls is not None and thread != interpreter and "resumed>" not in call:
            calls.append(name[1])
    return found


# Flushes of the disk


def test_a_lone_refresh_waits_for_the_disk_once(
    trace: Trace, server: AuthorizationServer, user_agent: UserAgent, figure: Callable[[str, object], None]
) -> None:
    names = connect(server, user_agent)

    files = flushes(trace("fsync,fdatasync", 200, *names))

    assert (server.refreshes, server.reused) == (200, 0)
    figure("flushes per refresh, one account, 200 refreshes", len(files) / 200)
    # The rest: the log's name once in a process, and at most once in 200 refreshes the log is merged.
    assert 1.0 <= len(files) / 200 <= 1.02


def test_64_refreshes_at_once_share_their_waits_for_the_disk(
    trace: Trace, server: AuthorizationServer, user_agent: UserAgent, figure: Callable[[str, object], None]
) -> None:
    names = connect(server, user_agent, CONNECTIONS)
    server.settings(hold=CONNECTIONS)

    files = flushes(trace("fsync,fdatasync", ROUNDS, *names))

    assert (server.refreshes, server.reused) == (CONNECTIONS * ROUNDS, 0)
    figure(f"flushes per refresh, {CONNECTIONS} accounts at once", len(files) / (CONNECTIONS * ROUNDS))
    assert len(files) / (CONNECTIONS * ROUNDS) <= 0.1


def test_a_process_that_makes_the_log_waits_for_the_disk_twice_more(
    trace: Trace, server: AuthorizationServer, user_agent: UserAgent, figure: Callable[[str, object], None]
) -> None:
    names = connect(server, user_agent)

    files = [Path(file).name for file in flushes(trace("fsync,fdatasync", 1, *names))]

    figure("flushes of a process that makes the log and refreshes once", ", ".join(files))
    # SQLite's, when it begins a log: its first page and its name.
    assert files == ["store.db-wal", "home", "store.db-wal"]


# From the last byte of a reply to its slot

WAKING = {"futex", "epoll_wait", "write"}  # where the runtime hands the flight to its other thread
MEMORY = {"brk", "madvise", "mmap", "mprotect", "munmap"}  # where the allocator asks the system for more


def test_no_system_call_stands_between_the_last_byte_of_a_reply_and_its_slot(
    trace: Trace, server: AuthorizationServer, user_agent: UserAgent, figure: Callable[[str, object], None]
) -> None:
    names = connect(server, user_agent)

    windows = between_reply_and_slot(trace("all", 40, *names))

    assert len(windows) == 40
    figure("system calls between a reply and its slot", sorted({call for calls in windows for call in calls}) or "none")
    assert [calls for calls in windows if not set(calls) <= WAKING | MEMORY] == []
    assert sum(not calls for calls in windows) > 20, "as a rule there is none at all"
