"""Programs that tests run in processes of their own: what they say, how they end, and signals to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from contextlib import suppress
from pathlib import Path

FOLDER = Path(__file__).parents[1]
WITHOUT_POWER = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
DEADLINE = 50.0  # seconds; a program that hangs is killed, and its test fails


class Program:
    """A Python program in a process of its own; every warning is an error in it, and `support` can be imported."""

    def __init__(
        self,
        folder: Path,
        code: str,
        *arguments: str,
        environment: dict[str, str] | None = None,
        powerless: bool = False,
        under: tuple[str, ...] = (),
    ) -> None:
        """Starts `code` as a file of `folder`: multiprocessing imports the file again.

        `powerless`: not even root may write to what is read-only. `under`: the command that starts the interpreter.
        """
        self.hung = False
        self._file = folder / f"program_{os.urandom(4).hex()}.py"
        self._file.write_text(textwrap.dedent(code))
        # A file: a pipe that nobody reads would stop the program.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `close`
        self.process = subprocess.Popen(
            [
                *(WITHOUT_POWER if powerless and os.geteuid() == 0 else ()),
                *under,
                sys.executable,
                "-W",
                "error",
                str(self._file),
                *arguments,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": str(FOLDER), "PYTHONUNBUFFERED": "1", **(environment or {})},
            text=True,
            start_new_session=True,
        )

    def line(self) -> str:
        """The next line it writes to standard output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the program ended: {self.errors()}"
        return line.rstrip("\n")

    def tell(self, line: str = "") -> None:
        """Writes a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def state(self) -> str:
        """What its main thread does: `R` runs, `S` waits (proc_pid_stat(5))."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def states(self) -> list[str]:
        """What each of its threads does, as in `state`; none when it has ended."""
        stats = []
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                stats.append(task.read_text())
        return [stat.rpartition(")")[2].split()[0] for stat in stats if self.process.poll() is None]

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Ends it and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def errors(self) -> str:
        """What it has written to standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def close(self) -> None:
        """Ends it, and lets go of its files."""
        self.kill()
        for file in (self.process.stdin, self.process.stdout, self._errors):
            assert file is not None
            with suppress(BrokenPipeError):
                file.close()

    def wait(self, patience: float = DEADLINE) -> str:
        """Waits until it ends, at most so many seconds: `hung` says whether it had to be killed.

        Returns the rest of its standard output.
        """
        killer = threading.Timer(patience, self._give_up)
        killer.start()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        output = self.process.stdout.read()
        self.process.wait()
        killer.cancel()
        return output

    def _give_up(self) -> None:
        self.hung = True
        self.kill()

    def end(self, *, code: int = 0, complains: str | None = None, patience: float = DEADLINE) -> str:
        """Waits until it ends with this exit code; the rest of its standard output.

        Standard error has to be empty, or to hold `complains`.
        """
        output = self.wait(patience)
        errors = self.errors()
        assert self.process.returncode == code, errors
        if complains is None:
            assert not errors, errors
        else:
            assert complains in errors, errors
        return output
