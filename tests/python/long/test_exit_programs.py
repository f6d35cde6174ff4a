"""A thousand exits of each program, or as many as EXITS says, and a table of how they went: `make test-exits`.

`PYTEST_ARGUMENTS="-k trio"` lets those alone end whose names say so: what was interrupted can be gone on with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from support import AuthorizationServer, exiting
from support.exiting import Figures, Lane
from support.exits import Ending, endings

LANES = 8  # programs mostly wait
TIMES = int(os.environ.get("EXITS", "1000")) // LANES * LANES


@pytest.fixture(scope="module")
def all_exits() -> Iterator[Figures]:
    """The figures of all programs; shown at the end."""
    figures = Figures()
    _show("\n" + Figures.title())
    yield figures
    _show(figures.row("all"))


@pytest.fixture(scope="module")
def lanes(authorization_server: AuthorizationServer, tmp_path_factory: pytest.TempPathFactory) -> list[Lane]:
    """Stores, beside each of which one program ends at a time."""
    return exiting.lanes(tmp_path_factory.mktemp("lanes"), authorization_server, LANES)


@pytest.mark.timeout(0)
@pytest.mark.parametrize(("name", "ending"), endings().items(), ids=endings())
def test_a_program_ends_cleanly_each_time(
    name: str,
    ending: Ending,
    lanes: list[Lane],
    all_exits: Figures,
    authorization_server: AuthorizationServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = exiting.run(ending, TIMES, lanes, authorization_server)
    all_exits.update(figures)
    with capsys.disabled():
        _show(figures.row(name) + ("\n" + figures.first if figures.failed else ""))

    assert figures.failed == 0, figures.first
    assert figures["exits"] == TIMES


def _show(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
