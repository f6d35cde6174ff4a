"""Lets programs end many times, several at once, and counts how they did: aborts, hangs, stray text, lost replies."""

from __future__ import annotations

import signal
from base64 import b64encode
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError

from evergrant import Workspace
from support import acme
from support.exits import Ending
from support.program import Program
from support.server import AuthorizationServer
from support.user_agent import UserAgent

LANES = 4  # so many programs end at once
LATE = 80  # milliseconds at most: replies come before, during and after the end of a program
PATIENCE = 30.0  # seconds: a program that takes longer hangs
CRASHES = {-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGTRAP}
FAILURES = ("aborts", "hangs", "text", "wrong codes", "not stored")
KEY = b64encode(bytes(range(32))).decode()


class Figures(Counter[str]):
    """How often what happened: `exits`, and each of `FAILURES`; `first` says what the first failure was."""

    first = ""

    @property
    def failed(self) -> int:
        """How often anything went wrong."""
        return sum(self[failure] for failure in FAILURES)

    def row(self, name: str) -> str:
        """The figures as a row of a table."""
        return " | ".join([f"{name:72}", f"{self['exits']:5}", *(f"{self[one]:{len(one)}}" for one in FAILURES)])

    @staticmethod
    def title() -> str:
        """The heading of the table."""
        return " | ".join([f"{'program':72}", "exits", *FAILURES])


class Lane:
    """A store of its own, beside which one program after the other ends."""

    def __init__(self, folder: Path, server: AuthorizationServer) -> None:
        """`acme` is connected in a new store in `folder`."""
        folder.mkdir()
        self._folder, self._server, self._store = folder, server, folder / "store.db"
        self.refreshes = 0  # its own, which age the token
        self._connect()

    def end(self, ending: Ending, times: int, figures: Figures) -> None:
        """Lets a program end so often, and counts how."""
        for _ in range(times):
            if ending.stored is not None:
                self._age()
            failure, said = self._outcome(ending)
            figures["exits"] += 1
            if failure:
                figures[failure] += 1
                figures.first = figures.first or f"{failure}: {said}"
            if failure or ending.stored is False:
                self._connect()  # nobody knows what became of its request

    def _outcome(self, ending: Ending) -> tuple[str | None, str]:
        environment = {"EVERGRANT_STORE": str(self._store), "EVERGRANT_KEY": KEY}
        program = Program(self._folder, ending.code, environment=environment)
        program.wait(PATIENCE)
        code, errors = program.process.returncode, program.errors()
        program.close()
        said = f"exit code {code}\n{errors}"
        if program.hung:
            return "hangs", said
        if code in CRASHES:
            return "aborts", said
        if code != ending.exit_code:
            return "wrong codes", said
        if errors:
            return "text", said
        if ending.stored is not None and not self._works(new=ending.stored):
            return "not stored", said
        return None, said

    def _connect(self) -> None:
        with Workspace(store=self._store, key=KEY) as workspace:
            workspace.configure(
                "nobody",
                grant_type="client_credentials",
                endpoints={"token_endpoint": "http://127.0.0.1:1/token"},  # refused at once
                client_id="nobody",
                client_secret="unimportant",
            )
            acme.configure(workspace, self._server)
            workspace.connect("acme", again=True, open_browser=UserAgent().connect)

    def _age(self) -> None:
        """Has the token be within the margin in which it is handed out and refreshed in the background."""
        with acme.opened_at(acme.clock_of(seconds_ago=acme.EXPIRING), store=self._store, key=KEY) as workspace:
            workspace.get_token("acme")
        self.refreshes += 1

    def _works(self, *, new: bool) -> bool:
        """Whether a third process finds a token that works: a new one, or at least the one that was handed out."""
        with Workspace(store=self._store, key=KEY) as workspace:
            token = workspace.get_token("acme")
            if new and (token.expires_in or 0.0) < acme.LIFETIME / 2:
                return False
        try:
            return bool(self._server.whoami(token)["subject"] == "ada")
        except HTTPError:
            return False


def lanes(folder: Path, server: AuthorizationServer, number: int = LANES) -> list[Lane]:
    """New stores in `folder`, so many, beside each of which one program ends at a time."""
    server.reset()
    return [Lane(folder / f"{lane}", server) for lane in range(number)]


def run(ending: Ending, times: int, beside: list[Lane], server: AuthorizationServer) -> Figures:
    """Lets a program end so often, as many at once as there are lanes: a multiple of their number.

    Where replies have to be stored, the server's own log has to show one refresh for each exit, and none that reused.
    """
    figures = [Figures() for _ in beside]
    server.reset()
    server.settings(late=LATE)
    for lane in beside:
        lane.refreshes = 0
    with ThreadPoolExecutor(len(beside)) as pool:
        list(pool.map(lambda lane, own: lane.end(ending, times // len(beside), own), beside, figures))
    total = Figures()
    for own in figures:
        total.update(own)
        total.first = total.first or own.first
    if ending.stored and not total.failed:
        asked = server.refreshes - sum(lane.refreshes for lane in beside)
        assert (asked, server.reused) == (total["exits"], 0)
    return total
