"""A decorated function: with a fake token, with a provider that refreshes, and with one that is away."""

import json
import urllib.request

import pytest

import evergrant
from evergrant import AccessToken, injected, oauth
from evergrant.testing import Clock, FakeTokens, MockProvider

API = {"url": ""}  # your vendor's URL; the tests put theirs here


@oauth("mock", scopes=["email"])
def subject(*, token: AccessToken = injected) -> str:
    request = urllib.request.Request(API["url"], headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as response:
        return str(json.load(response)["subject"])


@oauth("google_drive", scopes=["https://www.googleapis.com/auth/drive.readonly"])
def folders(*, token: AccessToken = injected) -> list[str]:
    return [token.provider]  # what asks Google in your code


def test_with_a_fake(fake_token: FakeTokens) -> None:
    with fake_token("google_drive", scopes=["https://www.googleapis.com/auth/drive.readonly"]):
        assert folders() == ["google_drive"]
    with fake_token("google_drive"), pytest.raises(evergrant.MissingScopes):
        folders()


def test_it_survives_an_expiry(mock_provider: MockProvider, oauth_clock: Clock) -> None:
    API["url"] = mock_provider.api_url
    mock_provider.connect(login="grace")
    assert subject() == "grace"
    oauth_clock.advance(3600)
    assert subject() == "grace"
    assert mock_provider.refreshes == 1


def test_it_says_when_the_provider_is_away(mock_provider: MockProvider, oauth_clock: Clock) -> None:
    mock_provider.connect()
    oauth_clock.advance(3600)
    mock_provider.next("503", retry_after=60)
    with pytest.raises(evergrant.ProviderUnavailable) as away:
        subject()
    assert away.value.retry_after == 60
