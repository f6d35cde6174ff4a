"""Twenty exits of each program: no abort, no hang, no text on standard error, and no reply lost.

`make test-exits` lets each end a thousand times.
"""

from __future__ import annotations

import pytest

from support import AuthorizationServer, exiting
from support.exits import endings

TIMES = 20
ENDINGS = endings()


@pytest.fixture(scope="module")
def lanes(authorization_server: AuthorizationServer, tmp_path_factory: pytest.TempPathFactory) -> list[exiting.Lane]:
    """Where the programs end."""
    return exiting.lanes(tmp_path_factory.mktemp("lanes"), authorization_server)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ENDINGS)
def test_a_program_ends_cleanly(server: AuthorizationServer, lanes: list[exiting.Lane], name: str) -> None:
    """Fails without `exit::arm(py)?` in src/python/call.rs."""
    figures = exiting.run(ENDINGS[name], TIMES, lanes, server)

    assert figures.failed == 0, f"{dict(figures)}\n{figures.first}"
    assert figures["exits"] == TIMES
