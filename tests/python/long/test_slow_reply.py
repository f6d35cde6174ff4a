"""A reply that takes 100 seconds, in real time: not collected by default."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evergrant import Workspace
from support import AuthorizationServer, Program, UserAgent, acme

SECONDS = 100

ASK = """
    import evergrant
    print(evergrant.get_token("acme", timeout=150))
"""


@pytest.mark.timeout(SECONDS + 60)
def test_a_reply_after_100_seconds_is_used_by_all_who_wait_for_it(
    home: object, server: AuthorizationServer, user_agent: UserAgent, program: Callable[..., Program]
) -> None:
    acme.connect(server, user_agent, age=acme.EXPIRED)
    server.fault("slow", milliseconds=SECONDS * 1000)
    first, second = program(ASK), program(ASK)

    with Workspace() as workspace:
        token = workspace.get_token("acme", timeout=SECONDS + 50)
        assert server.whoami(token)["subject"] == "ada"

    assert (first.line(), second.line()) == (token, token)
    assert (server.refreshes, server.reused) == (1, 0)
