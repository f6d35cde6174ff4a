"""Forces refreshes of connections: THREADS REFRESHES_EACH CONNECTION…"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import evergrant

threads, each, names = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]


def refresh(name: str) -> None:
    token = evergrant.get_token("acme", connection=name)
    for _ in range(each):
        token = evergrant.get_token("acme", connection=name, replacing=token)


print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(threads) as pool:
    start = time.perf_counter()
    list(pool.map(refresh, names))
    elapsed = time.perf_counter() - start
print(json.dumps({"per second": each * len(names) / elapsed}))
