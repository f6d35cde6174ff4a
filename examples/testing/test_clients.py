"""httpx, requests, respx and pytest-httpserver side by side: each where it is good."""

import httpx
import pytest
import requests
import respx
from pytest_httpserver import HTTPServer

import evergrant
from evergrant.testing import FakeTokens, MockProvider, Recorder


def bearer(provider: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {evergrant.get_token(provider)}"}


def login() -> str:
    return str(httpx.get("https://api.github.com/user", headers=bearer("github")).json()["login"])


def test_httpx_against_a_vendor_that_respx_plays(fake_token: FakeTokens, respx_mock: respx.MockRouter) -> None:
    with fake_token("github") as token:
        route = respx_mock.get("https://api.github.com/user", headers={"Authorization": f"Bearer {token}"})
        route.respond(json={"login": "ada"})
        assert login() == "ada"


def test_requests_against_an_api_of_your_own(fake_token: FakeTokens, httpserver: HTTPServer) -> None:
    with fake_token("github", value="a-token-of-the-test"):
        expected = httpserver.expect_request("/user", headers={"Authorization": "Bearer a-token-of-the-test"})
        expected.respond_with_json({"login": "grace"})
        assert requests.get(httpserver.url_for("/user"), headers=bearer("github"), timeout=5).json()["login"] == "grace"


@pytest.mark.parametrize("client", [httpx, requests])
def test_both_against_the_mock_providers_api(
    client: object, mock_provider: MockProvider, oauth_recorder: Recorder
) -> None:
    mock_provider.connect()
    get = httpx.get if client is httpx else requests.get
    assert get(mock_provider.api_url, headers=bearer("mock"), timeout=5).json()["subject"] == "ada"
    assert oauth_recorder.refreshes == 0
    assert oauth_recorder.scopes == ("openid", "email")
    assert "api.github.com" not in oauth_recorder.hosts
