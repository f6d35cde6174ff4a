"""`make bench`: the ratios of the documentation, measured in one run; it prints what it measured and the target.

Everything measured runs in processes of a clean environment that holds the release wheel, as a user would have it.
The numbers are the best of interleaved, shuffled rounds: on a shared machine the minimum is the one to trust.

    bench.py PYTHON        the interpreter of the environment in which the wheel is installed
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "python"))
from support import AuthorizationServer

PROCESS_ROUNDS = 25
CONNECTIONS = 64
REFRESHES_EACH = 5
VM_HWM = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


class Bench:
    """The wheel's environment, a home with a connected account, and the server that counts."""

    def __init__(self, python: str, folder: str, server: AuthorizationServer) -> None:
        self.python = python
        self.server = server
        self.confidential = (server.confidential.client_id, server.confidential.client_secret or "")
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("EVERGRANT_", "PYTHON"))
        }
        self.environment |= {"EVERGRANT_HOME": f"{folder}/home", "XDG_CONFIG_HOME": f"{folder}/config"}

    def start(self, script: str, *arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Starts one of the scripts beside this one; it begins when it reads a line."""
        command = [*prefix, self.python, str(HERE / script), *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=self.environment, stdin=pipe, stdout=pipe, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", f"{script} did not start"
        return process

    def run(self, script: str, *arguments: str, prefix: tuple[str, ...] = ()) -> dict[str, float]:
        """What the script measured."""
        return self.finish([self.start(script, *arguments, prefix=prefix)])[0]

    def finish(self, processes: list[subprocess.Popen[str]]) -> list[dict[str, float]]:
        """Lets processes that are ready begin together, and collects what they measured."""
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=300)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * len(processes)
        return [json.loads(output) for output in outputs]

    def connect(self, *names: str, access_token_ttl: int = 3600) -> None:
        """Signs in under each name, with access tokens of that lifetime (seconds)."""
        self.server.settings(access_token_ttl=access_token_ttl)
        self.run("sign_in.py", self.server.issuer, *self.confidential, *names)


def hot_path(bench: Bench) -> None:
    title("the cached path, per call, loop included")
    ns = bench.run("hot.py")
    ratio("get_token(provider)", ns["get_token"], ns.get("no-op"), "a PyO3 no-op, same signature", "≤ 1.6, ≤ 50 ns")
    row("get_token(provider, connection=…)", f"{ns['keyword']:.1f} ns", "≤ 100 ns")
    for result, target in (("None", "≤ 130 ns"), ("str", "≤ 150 ns")):
        on_top = ns[f"decorated {result}"] - ns[f"plain {result}"]
        row(f"@oauth on a function that returns {result}", f"{on_top:.1f} ns on top of the call", target)
    ratio("await aio.get_token(provider)", ns["await"], ns["await no-op"], "a no-op coroutine", "≤ 2.2")
    row("calls per second, two threads / one", f"{ns['two threads']:.2f}", "≥ 0.95")


def new_process(bench: Bench) -> None:
    title(f"a new process, best of {PROCESS_ROUNDS} interleaved rounds")
    fetch = "import evergrant; evergrant.get_token('acme')"
    commands = {
        "bare": [bench.python, "-c", "pass"],
        "token": [bench.python, "-c", fetch],
        "command": [str(Path(bench.python).parent / "evergrant"), "token", "acme"],
    }
    best = interleaved(bench, commands)
    ratio("to a stored token", best["token"] * 1e3, best["bare"] * 1e3, "a bare interpreter", "≤ 1.3", unit="ms")
    ratio("evergrant token acme", best["command"] * 1e3, best["bare"] * 1e3, "a bare interpreter", "≤ 2", unit="ms")
    peak = subprocess.check_output([bench.python, "-c", f"{fetch}; {VM_HWM}"], env=bench.environment, text=True)
    row("peak memory of that process (VmHWM)", f"{int(peak) / 1000:.1f} MB", "≤ 14 MB")


def expiry(bench: Bench) -> None:
    title("everybody at one expiry, zero grace; the server counts")
    for processes, threads in ((1, 64), (8, 8)):
        name = f"expiry-{processes}"
        bench.connect(name, access_token_ttl=2)
        expired_at = time.monotonic() + 2
        bench.server.settings(access_token_ttl=3600)
        waiting = [bench.start("expiry.py", name, str(threads)) for _ in range(processes)]
        time.sleep(max(0.0, expired_at - time.monotonic()))
        bench.server.reset()
        errors = sum(result["errors"] for result in bench.finish(waiting))
        counted = f"{bench.server.refreshes} refresh, {errors:.0f} errors, {bench.server.reused} reused"
        row(f"{processes} × {threads} threads", counted, "1 refresh, 0 errors")


def refreshes(bench: Bench) -> None:
    title(f"{CONNECTIONS} accounts, {REFRESHES_EACH} rotating refreshes each, against the same server")
    names = [f"account-{number}" for number in range(CONNECTIONS)]
    bench.connect(*names)
    counts = (str(REFRESHES_EACH), str(CONNECTIONS))
    rival = beside(bench, "rival.py", bench.server.issuer, *bench.confidential, *counts)
    row("msal with msal-extensions, one after the other", f"{rival:.2f} ms each, the server's own time taken off", "")
    ours = beside(bench, "refreshes.py", "1", str(REFRESHES_EACH), *names)
    text = f"{ours:.2f} ms each, the server's own time taken off: {rival / ours:.1f} × as fast"
    row("evergrant, one after the other", text, "≥ 5 ×")
    at_once = bench.run("refreshes.py", str(CONNECTIONS), str(REFRESHES_EACH), *names)["per second"]
    row(f"evergrant, {CONNECTIONS} at once", f"{at_once:.0f} per second, {bench.server.reused} reused", "")
    if shutil.which("strace") is None:
        row("fsyncs per refresh", "not measured: strace is missing", "1 alone")
        return
    row("fsyncs per refresh, one account", f"{fsyncs(bench, 50, names[:1]):.2f}", "1")
    row(f"fsyncs per refresh, {CONNECTIONS} at once", f"{fsyncs(bench, REFRESHES_EACH, names):.2f}", "≤ 0.1")


def beside(bench: Bench, script: str, *arguments: str) -> float:
    """Milliseconds that a refresh takes beside the server's own time, one after the other."""
    bench.server.reset()
    whole = 1e3 / bench.run(script, *arguments)["per second"]
    refreshes = [request for request in bench.server.requests() if request.grant_type == "refresh_token"]
    assert len(refreshes) == CONNECTIONS * REFRESHES_EACH
    return whole - sum(request.milliseconds for request in refreshes) / len(refreshes)


def fsyncs(bench: Bench, each: int, names: list[str]) -> float:
    """How many times a refresh waits for the disk, counted by strace; a thread for each account.

    The server lets the replies leave together: one that answers slowly would let every reply be stored alone.
    """
    with tempfile.NamedTemporaryFile("r") as trace:
        strace = ("strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", trace.name)
        bench.server.settings(hold=len(names))
        bench.run("refreshes.py", str(len(names)), str(each), *names, prefix=strace)
        bench.server.reset()
        return sum("sync(" in line for line in trace) / (each * len(names))


def interrupt(bench: Bench) -> None:
    title("Ctrl-C in a waiting call")
    bench.connect("waiting")
    bench.server.fault("slow", milliseconds=6000)
    row(
        "until KeyboardInterrupt, worst of 8",
        f"{bench.run('interrupt.py', 'waiting')['worst'] * 1e3:.1f} ms",
        "≤ 20 ms",
    )


def actions(bench: Bench) -> None:
    title("action templates")
    best = bench.run("actions.py", str(HERE.parent / "tests" / "data" / "actions" / "constructs"))
    ratio(
        "1,000 templates parsed and validated",
        best["validate"] * 1e3,
        best["yaml"] * 1e3,
        "libyaml in PyYAML, which only reads them",
        "",
        unit="ms",
    )
    row("an expression, read and evaluated 1,000 times", f"{best['path'] / 1e3 * 1e9:.0f} ns each: a path", "")
    row("", f"{best['text'] / 1e3 * 1e9:.0f} ns each: a URL with two functions and a choice in it", "")


def interleaved(bench: Bench, commands: dict[str, list[str]]) -> dict[str, float]:
    """The best wall time of each command in seconds; in every round all run, in another order."""
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(PROCESS_ROUNDS):
        for name in random.sample(list(commands), len(commands)):
            start = time.perf_counter()
            subprocess.run(commands[name], env=bench.environment, check=True, stdout=subprocess.DEVNULL)
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def title(text: str) -> None:
    print(f"\n{text}")


def ratio(what: str, value: float, floor: float | None, floor_is: str, target: str, unit: str = "ns") -> None:
    against = "no floor to compare with" if floor is None else f"{value / floor:.2f} × {floor_is} ({floor:.1f} {unit})"
    row(what, f"{value:.1f} {unit}, {against}", target)


def row(what: str, measured: str, target: str) -> None:
    print(f"  {what:<46} {measured:<64} {target and 'target ' + target}", flush=True)


def main(python: str) -> None:
    with tempfile.TemporaryDirectory() as folder, AuthorizationServer() as server:
        bench = Bench(python, folder, server)
        bench.connect("default")
        for part in (hot_path, new_process, expiry, refreshes, interrupt, actions):
            part(bench)


if __name__ == "__main__":
    main(*sys.argv[1:])
