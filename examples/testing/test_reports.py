"""A user's own tests, written with nothing but docs/testing.md at hand: a nightly report that reads and posts."""

import json
import urllib.request
from urllib.error import HTTPError

import pytest

import evergrant
from evergrant import AccessToken, injected, oauth
from evergrant.testing import Clock, MockProvider, Providers, Recorder


@oauth("google_drive")
@oauth("slack", into="slack_token")
def report(name: str, *, token: AccessToken = injected, slack_token: AccessToken = injected) -> str:
    """The program under test: reads from one vendor and posts to another."""
    return f"{name}: {token.provider} → {slack_token.provider}"


def ask(url: str, refused: AccessToken | None = None) -> str | None:
    """One that replaces a refused token once, as its API tells it to."""
    token = evergrant.get_token("mock", replacing=refused)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as response:
            return str(json.load(response)["subject"])
    except HTTPError as refusal:
        refusal.close()
        return None if refused else ask(url, token)


def test_both_vendors_are_played(mock_provider_as: Providers, oauth_clock: Clock, oauth_recorder: Recorder) -> None:
    mock_provider_as("google_drive").connect()
    mock_provider_as("slack", variant="rotating").connect()
    oauth_clock.advance(24 * 3600)
    assert report("sales") == "sales: google_drive → slack"
    assert oauth_recorder.refreshes == 2
    assert oauth_recorder.scopes[:2] == ("openid", "email")


@pytest.mark.parametrize("status", [401, 403, 404, 400])
def test_a_refused_token_is_replaced(mock_provider: MockProvider, status: int) -> None:
    mock_provider.connect()
    mock_provider.next("expired", status=status)
    assert ask(mock_provider.api_url) == "ada"
    assert mock_provider.refreshes == 1


def test_a_lost_reply_needs_a_person(mock_provider: MockProvider, oauth_clock: Clock) -> None:
    mock_provider.connect()
    oauth_clock.advance(3600)
    mock_provider.next("dropped")
    with pytest.raises(evergrant.ProviderUnavailable) as lost:
        evergrant.get_token("mock")
    oauth_clock.advance(lost.value.retry_after or 0)
    with pytest.raises(evergrant.ReauthorizationRequired):
        evergrant.get_token("mock")
    assert mock_provider.connect().state == "connected"
