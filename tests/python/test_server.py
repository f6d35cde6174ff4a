"""The authorization server of the tests does what the tests believe: asked by a client of the standard library."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor, wait
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from support import AuthorizationRefused, AuthorizationServer, Client, UserAgent

REDIRECT_URI = "http://127.0.0.1:4711/callback"

_open = build_opener(ProxyHandler({})).open


def authorization_url(server: AuthorizationServer, client: Client, **changes: str) -> tuple[str, str]:
    """The URL that asks for consent, and the PKCE verifier that belongs to it."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    parameters = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": "openid offline_access email",
        "prompt": "consent",
        "state": "state-of-this-test",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **changes,
    }
    url = server.endpoints["authorization_endpoint"] + "?" + urlencode({k: v for k, v in parameters.items() if v})
    return url, verifier


def post(url: str, client: Client, **parameters: str) -> dict[str, Any]:
    """A form request with the client's authentication; its answer, an error included."""
    headers = {}
    if client.client_secret is None:
        parameters["client_id"] = client.client_id
    else:
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    try:
        with _open(Request(url, data=urlencode(parameters).encode(), headers=headers), timeout=30) as response:
            body = response.read()
    except HTTPError as refused:
        with refused:
            body = refused.read()
    answer: dict[str, Any] = json.loads(body or "{}")
    return answer


def token(server: AuthorizationServer, client: Client, **parameters: str) -> dict[str, Any]:
    return post(server.endpoints["token_endpoint"], client, **parameters)


def sign_in(server: AuthorizationServer, client: Client, agent: UserAgent, **changes: str) -> dict[str, Any]:
    """A whole sign-in: consent, code, tokens."""
    url, verifier = authorization_url(server, client, **changes)
    code = parse_qs(urlsplit(agent.consent(url)).query)["code"][0]
    return token(
        server,
        client,
        grant_type="authorization_code",
        code=code,
        redirect_uri=changes.get("redirect_uri", REDIRECT_URI),
        code_verifier=verifier,
    )


def refresh(server: AuthorizationServer, client: Client, refresh_token: str, **parameters: str) -> dict[str, Any]:
    return token(server, client, grant_type="refresh_token", refresh_token=refresh_token, **parameters)


@pytest.fixture(params=["confidential", "public"])
def client(server: AuthorizationServer, request: pytest.FixtureRequest) -> Client:
    """Both clients of people: the one whose id and secret hold reserved characters, and the one without secret."""
    chosen: Client = getattr(server, request.param)
    return chosen


def test_a_person_signs_in_and_gets_tokens(server: AuthorizationServer, client: Client, user_agent: UserAgent) -> None:
    reply = sign_in(server, client, user_agent)
    assert reply["token_type"] == "Bearer"
    assert reply["expires_in"] == 3600
    assert reply["refresh_token"]
    assert set(reply["scope"].split()) == {"openid", "offline_access", "email"}
    assert server.whoami(reply["access_token"])["subject"] == "ada"


def test_the_callback_carries_state_and_issuer(server: AuthorizationServer, user_agent: UserAgent) -> None:
    url, _ = authorization_url(server, server.public)
    callback = parse_qs(urlsplit(user_agent.consent(url)).query)
    assert callback["state"] == ["state-of-this-test"]
    assert callback["iss"] == [server.issuer]


def test_a_request_without_pkce_is_refused(server: AuthorizationServer, user_agent: UserAgent) -> None:
    url, _ = authorization_url(server, server.confidential, code_challenge="", code_challenge_method="")
    assert "error=invalid_request" in user_agent.consent(url)


def test_a_wrong_verifier_is_refused(server: AuthorizationServer, user_agent: UserAgent) -> None:
    url, _ = authorization_url(server, server.public)
    code = parse_qs(urlsplit(user_agent.consent(url)).query)["code"][0]
    verifier = "x" * 43
    reply = token(
        server,
        server.public,
        grant_type="authorization_code",
        code=code,
        redirect_uri=REDIRECT_URI,
        code_verifier=verifier,
    )
    assert reply["error"] == "invalid_grant"


def test_any_port_of_a_loopback_redirect_is_accepted(server: AuthorizationServer, user_agent: UserAgent) -> None:
    reply = sign_in(server, server.public, user_agent, redirect_uri="http://127.0.0.1:50123/callback")
    assert reply["access_token"]


def test_another_host_as_redirect_is_refused_on_the_page(server: AuthorizationServer, user_agent: UserAgent) -> None:
    url, _ = authorization_url(server, server.public, redirect_uri="https://attacker.example/callback")
    with pytest.raises(AuthorizationRefused, match="invalid_redirect_uri"):
        user_agent.consent(url)


def test_a_person_who_denies_sends_back_access_denied(server: AuthorizationServer, user_agent: UserAgent) -> None:
    url, _ = authorization_url(server, server.public)
    assert "error=access_denied" in user_agent.deny(url)


def test_a_refresh_rotates_the_refresh_token(
    server: AuthorizationServer, client: Client, user_agent: UserAgent
) -> None:
    first = sign_in(server, client, user_agent)
    second = refresh(server, client, first["refresh_token"])
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    assert server.refreshes == 1


def test_a_used_refresh_token_revokes_the_whole_grant(
    server: AuthorizationServer, client: Client, user_agent: UserAgent
) -> None:
    first = sign_in(server, client, user_agent)
    second = refresh(server, client, first["refresh_token"])
    assert refresh(server, client, first["refresh_token"])["error"] == "invalid_grant"
    assert server.reused == 1
    assert refresh(server, client, second["refresh_token"])["error"] == "invalid_grant"
    with pytest.raises(HTTPError, match="401"):
        server.whoami(second["access_token"])


def test_rotation_can_be_switched_off(server: AuthorizationServer, user_agent: UserAgent) -> None:
    server.settings(rotate=False)
    first = sign_in(server, server.public, user_agent)
    second = refresh(server, server.public, first["refresh_token"])
    assert second["refresh_token"] == first["refresh_token"]


def test_a_service_gets_a_token_without_a_person(server: AuthorizationServer) -> None:
    reply = token(server, server.service, grant_type="client_credentials", scope="files.read")
    assert "refresh_token" not in reply
    assert server.whoami(reply["access_token"])["subject"] == server.service.client_id


def test_a_wrong_client_secret_is_refused(server: AuthorizationServer) -> None:
    impostor = Client(server.service.client_id, "not the secret")
    assert token(server, impostor, grant_type="client_credentials")["error"] == "invalid_client"


def test_each_resource_gets_a_token_of_its_own(server: AuthorizationServer, user_agent: UserAgent) -> None:
    files, mail = server.resources
    url, verifier = authorization_url(server, server.public, scope="offline_access files.read mail.read")
    callback = user_agent.consent(url + "&" + urlencode([("resource", files), ("resource", mail)]))
    reply = token(
        server,
        server.public,
        grant_type="authorization_code",
        code=parse_qs(urlsplit(callback).query)["code"][0],
        redirect_uri=REDIRECT_URI,
        code_verifier=verifier,
        resource=files,
    )
    assert server.whoami(reply["access_token"])["audience"] == files
    other = refresh(server, server.public, reply["refresh_token"], resource=mail)
    assert server.whoami(other["access_token"])["audience"] == mail
    assert other["scope"] == "mail.read"


def test_revoking_the_refresh_token_ends_the_grant(
    server: AuthorizationServer, client: Client, user_agent: UserAgent
) -> None:
    reply = sign_in(server, client, user_agent)
    post(server.endpoints["revocation_endpoint"], client, token=reply["refresh_token"])
    assert refresh(server, client, reply["refresh_token"])["error"] == "invalid_grant"


def test_introspection_tells_a_live_token_from_a_dead_one(server: AuthorizationServer, user_agent: UserAgent) -> None:
    reply = sign_in(server, server.confidential, user_agent)
    endpoint = server.endpoints["introspection_endpoint"]
    assert post(endpoint, server.confidential, token=reply["access_token"])["active"] is True
    assert post(endpoint, server.confidential, token="unknown")["active"] is False


def test_discovery_names_the_endpoints(server: AuthorizationServer) -> None:
    with _open(f"{server.issuer}/.well-known/openid-configuration", timeout=30) as response:
        metadata = json.load(response)
    assert metadata["issuer"] == server.issuer
    assert {name: metadata[name] for name in server.endpoints} == server.endpoints


def test_user_information_answers_to_a_token(server: AuthorizationServer, user_agent: UserAgent) -> None:
    reply = sign_in(server, server.public, user_agent)
    request = Request(
        server.endpoints["userinfo_endpoint"], headers={"Authorization": f"Bearer {reply['access_token']}"}
    )
    with _open(request, timeout=30) as response:
        assert json.load(response) == {"sub": "ada", "email": "ada@example.com"}


def test_the_lifetime_of_access_tokens_can_be_set(server: AuthorizationServer) -> None:
    server.settings(access_token_ttl=5)
    assert token(server, server.service, grant_type="client_credentials")["expires_in"] == 5


def test_the_log_names_each_token_request(server: AuthorizationServer) -> None:
    before = time.time() * 1000
    token(server, server.service, grant_type="client_credentials")
    token(server, Client(server.service.client_id, "wrong"), grant_type="client_credentials")
    first, second = server.requests()
    assert (first.grant_type, first.client, first.ok, first.error) == (
        "client_credentials",
        server.service.client_id,
        True,
        None,
    )
    assert (second.ok, second.error) == (False, "invalid_client")
    assert before - 1 <= first.at <= second.at


def test_a_reset_empties_the_log_and_restores_the_settings(server: AuthorizationServer) -> None:
    server.settings(access_token_ttl=5)
    server.fault("html")
    server.reset()
    assert token(server, server.service, grant_type="client_credentials")["expires_in"] == 3600
    assert server.count() == 1


def test_a_fault_strikes_once(server: AuthorizationServer) -> None:
    server.fault("error", error="temporarily_unavailable", status=503)
    assert token(server, server.service, grant_type="client_credentials")["error"] == "temporarily_unavailable"
    assert token(server, server.service, grant_type="client_credentials")["access_token"]


def test_an_unavailable_server_says_when_to_come_back(server: AuthorizationServer) -> None:
    server.fault("unavailable", retry_after=7)
    request = Request(server.endpoints["token_endpoint"], data=b"grant_type=client_credentials")
    with pytest.raises(HTTPError) as refused:
        _open(request, timeout=30)
    with refused.value as response:
        assert (response.code, response.headers["Retry-After"]) == (503, "7")


@pytest.mark.parametrize(("fault", "processed"), [("drop_before", False), ("drop_after", True), ("cut", True)])
def test_a_lost_reply_may_or_may_not_have_been_processed(
    server: AuthorizationServer, fault: str, *, processed: bool
) -> None:
    before = len(server.issued())
    server.fault(fault)
    with pytest.raises((OSError, HTTPException)):
        token(server, server.service, grant_type="client_credentials")
    assert (len(server.issued()) > before) is processed
    assert [request.fault for request in server.requests()] == [fault]


def test_a_token_can_hold_a_line_break(server: AuthorizationServer) -> None:
    server.fault("line_break")
    assert "\n" in token(server, server.service, grant_type="client_credentials")["access_token"]


def test_a_page_can_stand_where_json_belongs(server: AuthorizationServer) -> None:
    server.fault("html")
    with _open(Request(server.endpoints["token_endpoint"], data=b"grant_type=x"), timeout=30) as response:
        assert response.headers.get_content_type() == "text/html"


def test_a_slow_reply_is_late_and_processed(server: AuthorizationServer) -> None:
    server.fault("slow", milliseconds=300)
    start = time.monotonic()
    assert token(server, server.service, grant_type="client_credentials")["access_token"]
    assert time.monotonic() - start >= 0.3


def test_replies_can_be_held_until_they_leave_together(server: AuthorizationServer) -> None:
    server.settings(hold=3)
    with ThreadPoolExecutor(3) as pool:
        early = [pool.submit(token, server, server.service, grant_type="client_credentials") for _ in range(2)]
        done, _ = wait(early, timeout=0.3)
        assert done == set()
        last = pool.submit(token, server, server.service, grant_type="client_credentials")
        assert all("access_token" in reply.result(20) for reply in [*early, last])


def test_the_callback_can_name_another_issuer(server: AuthorizationServer, user_agent: UserAgent) -> None:
    server.fault("wrong_iss")
    url, _ = authorization_url(server, server.public)
    assert parse_qs(urlsplit(user_agent.consent(url)).query)["iss"] == ["https://another-server.example"]


def test_an_unknown_fault_is_refused(server: AuthorizationServer) -> None:
    with pytest.raises(HTTPError, match="400"):
        server.fault("no_such_fault")


def test_the_server_ends_when_its_standard_input_closes() -> None:
    server = AuthorizationServer()
    try:
        assert server._process.stdin is not None
        server._process.stdin.close()
        assert server._process.wait(10) == 0
    finally:
        server.close()
