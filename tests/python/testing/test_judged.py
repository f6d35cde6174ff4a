"""The kit's server, judged by a certified one: the same requests to both, and every difference on purpose."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evergrant.testing import Server
from support import AuthorizationServer, UserAgent
from support.judge import Judge, Target

DOCUMENT = Path(__file__).parents[3] / "docs" / "testing.md"


@pytest.fixture(scope="module")
def certified(authorization_server: AuthorizationServer) -> dict[str, str]:
    """How npm oidc-provider answers."""
    authorization_server.reset()
    return Judge(
        Target(
            authorization_server.endpoints,
            authorization_server.confidential,
            authorization_server.public,
            authorization_server.service,
            lambda url: UserAgent().consent(url),
            lambda url: UserAgent().deny(url),
        )
    ).play()


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    """How the kit's server answers."""
    with Server() as server:
        confidential = server.ledger.clients[server.client_id]
        public = server.register("public-app")
        service = server.register("service-app", "secret-of-the-service-app")
        person = server.person()
        target = Target(server.endpoints, confidential, public, service, person.consent, person.deny)
        return Judge(target).play()


def test_every_difference_to_the_certified_server_stands_in_the_documentation(
    certified: dict[str, str], ours: dict[str, str]
) -> None:
    different = {name: (certified[name], ours[name]) for name in certified if certified[name] != ours[name]}
    assert different == dict(documented())


def test_most_answers_are_those_of_the_certified_server(certified: dict[str, str], ours: dict[str, str]) -> None:
    assert set(certified) == set(ours)
    assert sum(certified[name] == ours[name] for name in certified) > len(certified) / 2


def documented() -> list[tuple[str, tuple[str, str]]]:
    """The table of differences in docs/testing.md: request, theirs, ours; the last cell says why."""
    section = DOCUMENT.read_text().split("## Judged by a certified server")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \| `([^`]+)` \| `([^`]+)` \| [^|]+ \|$", section, re.MULTILINE)
    return [(name, (theirs, own)) for name, theirs, own in rows]
