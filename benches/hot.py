"""The cached path: nanoseconds per call, the loop included, best of interleaved and shuffled rounds."""

import asyncio
import json
import random
import sys
import threading
import time
from timeit import Timer

from evergrant import AccessToken, _core, aio, get_token, injected, oauth

ROUNDS = 25
CALLS = 20_000


def plain_none(_: int, *, token: object = None) -> None:
    return None


def plain_str(_: int, *, token: object = None) -> str:
    return "a short answer"


@oauth("acme")
def decorated_none(_: int, *, token: AccessToken = injected) -> None:
    return None


@oauth("acme")
def decorated_str(_: int, *, token: AccessToken = injected) -> str:
    return "a short answer"


async def no_op() -> None:
    return None


async def awaiting(which: str, calls: int) -> float:
    start = time.perf_counter()
    if which == "await":
        for _ in range(calls):
            await aio.get_token("acme")
    else:
        for _ in range(calls):
            await no_op()
    return time.perf_counter() - start


def two_threads() -> float:
    """Calls per second of two threads together, by those of one."""
    calls = CALLS * 10
    alone = Timer("get_token('acme')", globals=globals()).timeit(calls)
    threads = [
        threading.Thread(target=Timer("get_token('acme')", globals=globals()).timeit, args=(calls,)) for _ in range(2)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 2 * alone / (time.perf_counter() - start)


def main() -> None:
    token = get_token("acme")
    statements = {
        "get_token": "get_token('acme')",
        "keyword": "get_token('acme', connection='default')",
        "plain None": "plain_none(1, token=token)",
        "decorated None": "decorated_none(1)",
        "plain str": "plain_str(1, token=token)",
        "decorated str": "decorated_str(1)",
    }
    names = globals() | {"token": token}
    if hasattr(_core, "_noop"):
        statements["no-op"] = "no_op('acme')"
        names["no_op"] = _core._noop
    timers = {name: Timer(statement, globals=names) for name, statement in statements.items()}
    best = dict.fromkeys([*timers, "await", "await no-op"], float("inf"))
    for _ in range(ROUNDS):
        for name in random.sample(list(best), len(best)):
            seconds = timers[name].timeit(CALLS) if name in timers else asyncio.run(awaiting(name, CALLS))
            best[name] = min(best[name], seconds / CALLS * 1e9)
    print(json.dumps(best | {"two threads": max(two_threads() for _ in range(5))}))


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    main()
