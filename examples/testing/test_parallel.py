"""Many workers at once, `pytest -n auto`: every test has a server, a workspace and a clock of its own."""

import pytest

import evergrant
from evergrant.testing import Clock, MockProvider


@pytest.mark.parametrize("user", [f"user-{number}" for number in range(8)])
def test_every_worker_is_alone(user: str, mock_provider: MockProvider, oauth_clock: Clock) -> None:
    assert evergrant.connections() == ()
    mock_provider.connect(connection=user, login=user)
    oauth_clock.advance(3600)
    evergrant.get_token("mock", connection=user)
    assert [one.connection for one in evergrant.connections()] == [user]
    assert mock_provider.refreshes == 1
