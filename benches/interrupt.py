"""Ctrl-C while a call waits for a slow server: seconds from the signal to KeyboardInterrupt: CONNECTION."""

import json
import os
import signal
import sys
import threading
import time

import evergrant

TRIALS = 8
SECONDS_BEFORE = 0.3

connection = sys.argv[1]
sent_at = 0.0


def press() -> None:
    global sent_at  # noqa: PLW0603 - one writer, read after it ran
    sent_at = time.perf_counter()
    os.kill(os.getpid(), signal.SIGINT)


print("ready", flush=True)
sys.stdin.readline()
token = evergrant.get_token("acme", connection=connection)
worst = 0.0
for _ in range(TRIALS):
    threading.Timer(SECONDS_BEFORE, press).start()
    try:
        evergrant.get_token("acme", connection=connection, replacing=token)
    except KeyboardInterrupt:
        worst = max(worst, time.perf_counter() - sent_at)
print(json.dumps({"worst": worst}))
