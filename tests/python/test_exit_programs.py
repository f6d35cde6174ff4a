"""Twenty exits of each program: no abort, no hang, no text on standard error, and no reply lost.

`make test-exits` lets each end a thousand times.
"""

from __future__ import annotations

import pytest

from support import AuthorizationServer
from support.exiting import Lane, run
from support.exits import endings

TIMES = 20
ENDINGS = endings()


@pytest.fixture(scope="module")
def lanes(authorization_server: AuthorizationServer, tmp_path_factory: pytest.TempPathFactory) -> list[Lane]:
    """Two programs end at once."""
    authorization_server.reset()
    folder = tmp_path_factory.mktemp("lanes")
    return [Lane(folder / f"{number}", authorization_server) for number in range(2)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ENDINGS)
def test_a_program_ends_cleanly(server: AuthorizationServer, lanes: list[Lane], name: str) -> None:
    figures = run(ENDINGS[name], TIMES, lanes, server)

    assert figures.failed == 0, f"{dict(figures)}\n{figures.first}"
    assert figures["exits"] == TIMES
