"""The pytest plugin: fixtures for tests of code that needs tokens. docs/testing.md describes them.

Importing it costs next to nothing: `evergrant.testing` is imported by the first test that asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from evergrant import Workspace
    from evergrant.testing import Clock, FakeTokens, MockProvider, Providers, Recorder


@pytest.fixture
def oauth_clock() -> Clock:
    """The clock of the test's workspace and servers: `oauth_clock.advance(3600)` lets an hour pass at once."""
    from evergrant.testing import Clock

    return Clock()


@pytest.fixture
def oauth_workspace(oauth_clock: Clock) -> Iterator[Workspace]:
    """An empty workspace in memory, with a key of its own. It is the default one while the test runs.

    What it sends stays on this machine: a request to a vendor fails at once, unsent.
    """
    from evergrant.testing.fixtures import isolated_workspace

    with isolated_workspace(oauth_clock) as workspace:
        yield workspace


@pytest.fixture
def mock_provider_as(oauth_workspace: Workspace, oauth_clock: Clock) -> Iterator[Providers]:
    """Starts providers that answer and refuse as vendors do: `mock_provider_as("slack")`, under the vendor's own id."""
    from evergrant.testing import Providers

    providers = Providers(oauth_workspace, oauth_clock)
    try:
        yield providers
    finally:
        providers.close()


@pytest.fixture
def mock_provider(mock_provider_as: Providers) -> MockProvider:
    """An authorization server on loopback, configured as `mock`; `mock_provider.connect()` has a person consent."""
    return mock_provider_as.mock()


@pytest.fixture
def fake_token(oauth_workspace: Workspace) -> FakeTokens:
    """Makes fake tokens for decorated functions and `get_token`, without a server: a context manager for each."""
    from evergrant.testing import FakeTokens

    return FakeTokens(oauth_workspace)


@pytest.fixture
def oauth_recorder(mock_provider_as: Providers) -> Iterator[Recorder]:
    """What was sent in this test: `.refreshes`, `.scopes`, `.hosts`."""
    from evergrant.testing import Recorder

    with Recorder(mock_provider_as).watching() as recorder:
        yield recorder
