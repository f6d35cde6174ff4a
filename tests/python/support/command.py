"""The command line in processes of its own, as a person or a script runs it."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from typing import NamedTuple

DEADLINE = 50.0  # seconds
COMMAND = (sys.executable, "-W", "error", "-m", "evergrant.cli")


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def evergrant(*arguments: str, stdin: str = "", **environment: str) -> Done:
    """Runs `evergrant` with these arguments, in a session without a terminal."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        text=True,
        timeout=DEADLINE,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Waiting:
    """`evergrant connect` while it waits for the person."""

    def __init__(self, *arguments: str, stdin: int = -1) -> None:
        """Starts `evergrant` with these arguments; `stdin` may be a terminal."""
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL if stdin < 0 else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Only who runs in the foreground of a terminal may read it.
            preexec_fn=_take_terminal if stdin >= 0 else None,  # noqa: PLW1509 - it only makes one call of the kernel
        )
        self._said = ""

    def url(self) -> str:
        """The authorization URL that it shows on standard error."""
        assert self._process.stderr is not None
        while not (found := re.search(r"https?://\S+redirect_uri=\S+", self._said)):
            line = self._process.stderr.readline()
            assert line, self._said
            self._said += line
        return found[0]

    def said(self, text: str) -> None:
        """Waits until it has said this on standard error."""
        assert self._process.stderr is not None
        while text not in self._said:
            line = self._process.stderr.readline()
            assert line, self._said
            self._said += line

    @property
    def shown(self) -> str:
        """What was read of its standard error so far."""
        return self._said

    def end(self) -> Done:
        """Waits until it ends."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        out, err = self._process.stdout.read(), self._process.stderr.read()
        return Done(self._process.wait(DEADLINE), out, self._said + err)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdout, self._process.stderr):
            assert file is not None
            with suppress(OSError):
                file.close()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
