"""Servers in the shape of vendors: evergrant works with each, and what the vendor refuses is refused."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

import evergrant
from evergrant.testing import Clock, MockProvider, Providers, VendorServer, vendors

ROOT = Path(__file__).parents[3]
CALLBACK = "http://127.0.0.1:49152/callback"
PKCE = {"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
DAY = 24 * 3600
LONG_LIVED = ("github", "slack", "slack_bot")
SCOPES = {"slack_bot": ["chat:write"]}  # its file asks for none by itself


def started(mock_provider_as: Providers, vendor: str, variant: str | None = None) -> MockProvider:
    return (
        mock_provider_as(vendor, variant=variant, scopes=SCOPES[vendor])
        if vendor in SCOPES
        else mock_provider_as(vendor, variant=variant)
    )


@pytest.mark.parametrize("vendor", [*vendors(), "microsoft"])
def test_evergrant_connects_to_every_vendor(vendor: str, mock_provider_as: Providers) -> None:
    provider = started(mock_provider_as, vendor)
    status = provider.connect()
    assert status.state == "connected"
    assert status.missing_scopes == ()
    assert evergrant.get_token(vendor).startswith(provider.server.prefix)


@pytest.mark.parametrize(
    ("vendor", "variant"),
    [
        *((vendor, None) for vendor in vendors() if vendor not in LONG_LIVED),
        ("github", "app"),
        ("slack", "rotating"),
        ("slack_bot", "rotating"),
    ],
)
def test_evergrant_refreshes_with_every_vendor_until_it_says_no(
    vendor: str, variant: str | None, mock_provider_as: Providers, oauth_clock: Clock
) -> None:
    provider = started(mock_provider_as, vendor, variant)
    provider.connect()
    for _ in range(2):
        oauth_clock.advance(DAY)
        evergrant.get_token(vendor)
    provider.server.revoke_grants()
    oauth_clock.advance(DAY)
    with pytest.raises(evergrant.ReauthorizationRequired):
        evergrant.get_token(vendor)
    assert provider.refreshes == 3
    assert provider.server.reused == 0


@pytest.mark.parametrize("vendor", LONG_LIVED)
def test_a_token_that_does_not_end_is_never_refreshed(
    vendor: str, mock_provider_as: Providers, oauth_clock: Clock
) -> None:
    provider = started(mock_provider_as, vendor)
    provider.connect()
    oauth_clock.advance(300 * DAY)
    evergrant.get_token(vendor)
    assert provider.refreshes == 0


def test_microsofts_service_gets_a_token(mock_provider_as: Providers) -> None:
    provider = mock_provider_as("microsoft_graph")
    evergrant.configure(
        "microsoft_graph",
        grant_type="client_credentials",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        parameters={"tenant": "contoso.onmicrosoft.com"},
        endpoints={"token_endpoint": provider.endpoints["token_endpoint"]},
    )
    evergrant.get_token("microsoft_graph", grant_type="client_credentials")
    assert provider.requests[-1].scopes == ("https://graph.microsoft.com/.default",)


def test_a_vendor_or_variant_without_a_sample_is_named() -> None:
    with pytest.raises(ValueError, match="there is no sample of 'notion'; there are: github, google"):
        VendorServer("notion")
    with pytest.raises(ValueError, match="'github' has no variant 'rotating'"):
        VendorServer("github", variant="rotating")


def test_every_sample_names_its_page_and_stands_in_the_documentation() -> None:
    table = (ROOT / "docs" / "testing.md").read_text().split("## Vendors")[1].split("\n## ")[0]
    assert set(vendors()) <= set(re.findall(r"`(\w+)`", table))
    for vendor in vendors():
        sample = json.loads((ROOT / "tests" / "data" / "replies" / f"{vendor}.json").read_text())
        assert sample["source"].startswith("https://")
        assert sample["server"]["source"].startswith("https://")


# --- what vendors refuse ----------------------------------------------------------------------------------------------


def consented(server: VendorServer, **changes: str) -> dict[str, str]:
    """What the callback brings."""
    asked = {
        "client_id": server.client_id,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        **({} if server.pkce == "refused" else PKCE),
        **changes,
    }
    callback = server.person().consent(f"{server.endpoints['authorization_endpoint']}?{urlencode(asked)}")
    return {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}


def exchanged(server: VendorServer, code: str, **changes: str) -> tuple[int, dict[str, str]]:
    """The reply to a code: status and members."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "client_id": server.client_id,
        "client_secret": str(server.client_secret),
        **({} if server.pkce == "refused" else {"code_verifier": VERIFIER}),
        **changes,
    }
    accept = changes.pop("accept", "application/json")
    form.pop("accept", None)
    request = urllib.request.Request(
        server.endpoints["token_endpoint"], data=urlencode(form).encode(), headers={"Accept": accept}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            status, body = response.status, response.read().decode()
    except HTTPError as refusal:
        with refusal:
            status, body = refusal.code, refusal.read().decode()
    return status, json.loads(body) if body.startswith("{") else dict(parse_qsl(body))


@pytest.mark.parametrize(
    ("vendor", "scopes"),
    [
        ("google", {"scope": "openid,email"}),
        ("microsoft", {"scope": "User.Read,offline_access"}),
        ("github", {"scope": "repo,gist"}),
        ("salesforce", {"scope": "api,refresh_token"}),
        ("slack", {"user_scope": "search:read users:read"}),
    ],
)
def test_another_separator_of_scopes_is_refused(vendor: str, scopes: dict[str, str]) -> None:
    with VendorServer(vendor) as server:
        assert consented(server, **scopes)["error"] == "invalid_scope"


def test_slack_reads_a_users_scopes_as_user_scope_only() -> None:
    with VendorServer("slack") as server:
        code = consented(server, scope="search:read")["code"]
        assert exchanged(server, code)[1]["authed_user"]["scope"] == ""  # type: ignore[index]


def test_slack_refuses_pkce() -> None:
    with VendorServer("slack") as server:
        assert consented(server, **PKCE)["error"] == "invalid_request"


def test_github_takes_the_secret_in_the_body_only(mock_provider_as: Providers) -> None:
    provider = mock_provider_as("github", client_authentication="client_secret_basic")
    with pytest.raises(evergrant.ProviderRejected, match="incorrect_client_credentials"):
        provider.connect()
    assert provider.server.requests_to("token")[0].status == 200


def test_github_answers_with_a_form_unless_it_is_asked_for_json() -> None:
    with VendorServer("github") as server:
        code = consented(server, scope="repo gist")["code"]
        status, document = exchanged(server, code, accept="*/*")
    assert (status, document["scope"], document["token_type"]) == (200, "repo,gist", "bearer")


@pytest.mark.parametrize(
    ("vendor", "status", "error"),
    [
        ("google", 400, "invalid_grant"),
        ("microsoft", 400, "invalid_grant"),
        ("github", 200, "bad_verification_code"),
        ("slack", 200, "invalid_code"),
        ("salesforce", 400, "invalid_grant"),
    ],
)
def test_an_unknown_code_is_refused_in_the_vendors_words(vendor: str, status: int, error: str) -> None:
    with VendorServer(vendor) as server:
        answered, document = exchanged(server, "nobody-issued-this-one")
        assert (answered, document["error"]) == (status, error)
        assert server.requests[-1].error == error


@pytest.mark.parametrize(
    ("vendor", "error"),
    [
        ("google", "invalid_client"),
        ("microsoft", "invalid_client"),
        ("github", "incorrect_client_credentials"),
        ("slack", "bad_client_secret"),
        ("salesforce", "invalid_client_id"),
    ],
)
def test_a_wrong_secret_is_refused_in_the_vendors_words(vendor: str, error: str) -> None:
    with VendorServer(vendor) as server:
        assert exchanged(server, "code", client_secret="wrong")[1]["error"] == error


@pytest.mark.parametrize(
    ("asked", "brings"),
    [
        ({"access_type": "offline"}, [True, False]),
        ({"access_type": "offline", "prompt": "consent"}, [True, True]),
        ({"prompt": "consent"}, [False, False]),
    ],
)
def test_google_gives_a_refresh_token_to_who_asks_in_its_way(asked: dict[str, str], brings: list[bool]) -> None:
    with VendorServer("google") as server:
        replies = [exchanged(server, consented(server, scope="openid", **asked)["code"])[1] for _ in range(2)]
    assert ["refresh_token" in reply for reply in replies] == brings


@pytest.mark.parametrize(("vendor", "scope"), [("microsoft", "offline_access"), ("salesforce", "refresh_token")])
def test_a_refresh_token_that_is_a_scope_is_given_to_who_asks_for_it(vendor: str, scope: str) -> None:
    with VendorServer(vendor) as server:
        replies = [exchanged(server, consented(server, scope=scopes)["code"])[1] for scopes in ("api", f"api {scope}")]
    assert ["refresh_token" in reply for reply in replies] == [False, True]


def test_microsoft_refuses_a_service_that_does_not_ask_for_the_default_of_a_resource() -> None:
    with VendorServer("microsoft") as server:
        status, document = exchanged(server, "", grant_type="client_credentials", scope="User.Read")
    assert (status, document["error"]) == (400, "invalid_scope")


def test_google_names_the_address_scope_in_its_own_way() -> None:
    with VendorServer("google") as server:
        reply = exchanged(server, consented(server, scope="openid email")["code"])[1]
    assert reply["scope"] == "openid https://www.googleapis.com/auth/userinfo.email"
