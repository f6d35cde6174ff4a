"""A web back end that connects accounts of its users: its callback, and what it must refuse."""

from urllib.parse import parse_qs, urlsplit

import pytest

import evergrant
from evergrant.testing import MockProvider

CALLBACK = "https://app.example/oauth/callback"


def sign_in(session: str) -> str:
    """The view that sends a browser to the provider: returns the redirect's target."""
    begun = evergrant.begin_connect("mock", redirect_uri=CALLBACK, session=session, connection=session)
    return begun.authorization_url


def callback(url: str, session: str) -> tuple[int, str]:
    """The view behind the redirect URI."""
    try:
        return 200, f"Connected as {evergrant.complete_connect(url, session=session).account}."
    except evergrant.ConnectDenied:
        return 200, "You said no."
    except evergrant.ConnectFailed as error:
        return 400, str(error.reason)


@pytest.fixture
def provider(mock_provider: MockProvider) -> MockProvider:
    mock_provider.server.register(mock_provider.client_id, mock_provider.client_secret, redirect_uris=[CALLBACK])
    return mock_provider


def test_a_user_connects(provider: MockProvider) -> None:
    url = provider.person("grace").consent(sign_in("session-1"))
    assert callback(url, "session-1") == (200, "Connected as grace@example.com.")
    assert evergrant.get_token("mock", connection="session-1").connection == "session-1"


def test_a_user_says_no(provider: MockProvider) -> None:
    assert callback(provider.person().deny(sign_in("session-1")), "session-1") == (200, "You said no.")


@pytest.mark.parametrize("behaviour", ["wrong_state", "no_state"])
def test_a_forged_callback_is_refused(provider: MockProvider, behaviour: str) -> None:
    provider.next(behaviour)
    assert callback(provider.person().consent(sign_in("session-1")), "session-1")[0] == 400


def test_another_users_callback_is_refused(provider: MockProvider) -> None:
    url = provider.person("mallory").consent(sign_in("session-of-mallory"))
    assert parse_qs(urlsplit(url).query)["code"]
    assert callback(url, "session-of-ada")[0] == 400
    assert evergrant.connections() == ()
