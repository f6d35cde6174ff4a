"""Many threads ask for one expired token at the same moment: CONNECTION THREADS."""

import json
import sys
import threading

import evergrant

connection, count = sys.argv[1], int(sys.argv[2])
barrier = threading.Barrier(count)
errors: list[BaseException] = []


def ask() -> None:
    barrier.wait()
    try:
        evergrant.get_token("acme", connection=connection)
    except evergrant.EvergrantError as error:
        errors.append(error)


threads = [threading.Thread(target=ask) for _ in range(count)]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for error in errors:
    print(repr(error), file=sys.stderr)
print(json.dumps({"errors": len(errors)}))
