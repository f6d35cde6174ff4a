"""Fixtures of the test kit's own tests: the same leak check that the other tests have, on the kit's secrets."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from evergrant.testing import MockProvider, Server
from support import leaks

_shown = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test kit, without a workspace."""
    with Server() as server:
        yield server


@pytest.fixture
def connected(mock_provider: MockProvider, request: pytest.FixtureRequest) -> Iterator[MockProvider]:
    """`mock`, to which a person has connected; its log is empty. No output of the test may show a secret of it."""
    mock_provider.connect()
    mock_provider.server.reset()
    yield mock_provider
    request.node.stash[_shown] = mock_provider.server.secrets()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "teardown":
        secrets = item.stash.get(_shown, [])
        shown = [f"{found}, in {title}" for title, content in report.sections for found in leaks(content, secrets)]
        if shown:
            report.outcome = "failed"
            report.longrepr = "secrets were shown:\n" + "\n".join(shown)
    return report
