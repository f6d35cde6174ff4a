"""A thousand exits of each program, or as many as EXITS says, and a table of how they went: `make test-exits`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from support import AuthorizationServer, exiting
from support.exiting import Figures
from support.exits import endings

LANES = 8  # programs mostly wait
TIMES = int(os.environ.get("EXITS", "1000")) // LANES * LANES


@pytest.mark.timeout(0)
def test_every_program_ends_cleanly_each_time(
    authorization_server: AuthorizationServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lanes = exiting.lanes(tmp_path, authorization_server, LANES)
    failures = []
    _show(capsys, "\n" + Figures.title())
    all_exits = Figures()
    for name, ending in endings().items():
        figures = exiting.run(ending, TIMES, lanes, authorization_server)
        all_exits.update(figures)
        _show(capsys, figures.row(name))
        if figures.failed:
            failures.append(f"{name}: {figures.first}")
    _show(capsys, all_exits.row("all"))

    assert not failures, "\n\n".join(failures)
    assert all_exits["exits"] == TIMES * len(endings())


def _show(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
