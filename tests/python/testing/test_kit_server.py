"""`evergrant.testing.Server` by itself: what it speaks, what it refuses, what it notes."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

import pytest
import trustme

import evergrant
from evergrant import Workspace
from evergrant.testing import (
    BEHAVIOURS,
    CLIENT_KEY,
    SERVER_KEY,
    Clock,
    InvalidToken,
    MockProvider,
    Server,
    sign,
    verify,
)
from evergrant.testing.authorization import fits
from evergrant.testing.state import Exchange, Issued

ROOT = Path(__file__).parents[3]
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_JWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
CALLBACK = "http://127.0.0.1:49152/callback"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636 appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


class Now:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def server(now: Now):
    with Server(clock=now) as server:
        yield server


def ask(url: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    data = None if form is None else urlencode(form).encode()
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            status, body = response.status, response.read()
    except HTTPError as refusal:
        with refusal:
            status, body = refusal.code, refusal.read()
    return status, json.loads(body) if body.startswith(b"{") else body.decode()


def token(server: Server, **form: str) -> tuple[int, Any]:
    """A token request of the server's own client."""
    pair = f"{quote_plus(server.client_id)}:{quote_plus(str(server.client_secret))}"
    headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return ask(server.endpoints["token_endpoint"], form, headers)


def authorization(server: Server, **more: str) -> str:
    asked = {
        "client_id": server.client_id,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "openid email",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **more,
    }
    return f"{server.endpoints['authorization_endpoint']}?{urlencode(asked)}"


def connected(server: Server, url: str | None = None) -> dict[str, Any]:
    """The reply to the code of a person who consented."""
    callback = server.person().consent(url or authorization(server))
    code = parse_qs(urlsplit(callback).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    status, document = token(server, **form)
    assert status == 200, document
    return dict(document)


# --- what it speaks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", ["oauth-authorization-server", "openid-configuration"])
def test_its_metadata_names_every_endpoint(server: Server, document: str) -> None:
    status, metadata = ask(server.url(f"/.well-known/{document}"))
    assert status == 200
    assert metadata["issuer"] == server.issuer
    assert server.endpoints.items() <= metadata.items()


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", SERVER_KEY), ("HS256", None)])
def test_an_id_token_is_signed(server: Server, algorithm: str, key: Any) -> None:
    server.id_token_algorithm = algorithm
    claims = verify(connected(server, authorization(server, nonce="n-1"))["id_token"], key or server.client_secret)
    assert (claims["iss"], claims["aud"], claims["sub"]) == (server.issuer, server.client_id, "ada")
    assert (claims["nonce"], claims["email"]) == ("n-1", "ada@example.com")


def test_its_public_key_is_that_of_its_signatures(server: Server) -> None:
    (key,) = ask(server.url("/jwks"))[1]["keys"]
    modulus = int.from_bytes(base64.urlsafe_b64decode(key["n"] + "=="), "big")
    header, _, signature = connected(server)["id_token"].split(".")
    opened = pow(int.from_bytes(base64.urlsafe_b64decode(signature + "=="), "big"), 65537, modulus)
    assert opened.to_bytes(256, "big").startswith(b"\x00\x01\xff")
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["kid"] == key["kid"]


def test_a_device_waits_for_its_person(server: Server, now: Now) -> None:
    pair = {"client_id": server.client_id, "client_secret": str(server.client_secret)}
    device = ask(server.endpoints["device_authorization_endpoint"], pair | {"scope": "email"})[1]
    poll = {"grant_type": DEVICE_CODE, "device_code": device["device_code"]}
    assert token(server, **poll)[1]["error"] == "authorization_pending"
    assert token(server, **poll)[1]["error"] == "slow_down"
    assert server.person("grace").approve(device["verification_uri"], device["user_code"].lower())[0] == 200
    now.seconds += 10
    assert token(server, **poll)[1]["scope"] == "email"
    assert token(server, **poll)[1]["error"] == "invalid_grant"


def test_a_device_whose_person_says_no_is_told(server: Server, now: Now) -> None:
    pair = {"client_id": server.client_id, "client_secret": str(server.client_secret)}
    devices = [ask(server.endpoints["device_authorization_endpoint"], pair)[1] for _ in range(2)]
    server.person().approve(devices[0]["verification_uri"], devices[0]["user_code"], decision="deny")
    errors = [token(server, grant_type=DEVICE_CODE, device_code=devices[0]["device_code"])[1]["error"]]
    now.seconds += 600
    errors.append(token(server, grant_type=DEVICE_CODE, device_code=devices[1]["device_code"])[1]["error"])
    assert errors == ["access_denied", "expired_token"]


def test_a_pushed_request_is_used_once(server: Server, now: Now) -> None:
    asked = dict(parse_qs(urlsplit(authorization(server, state="s-1")).query))
    form = {name: values[0] for name, values in asked.items()} | {"client_secret": str(server.client_secret)}
    status, pushed = ask(server.endpoints["pushed_authorization_request_endpoint"], form)
    assert status == 201
    pushed_url = {"client_id": server.client_id, "request_uri": pushed["request_uri"]}
    url = f"{server.endpoints['authorization_endpoint']}?{urlencode(pushed_url)}"
    assert "state=s-1" in server.person().consent(url)
    assert ask(url)[0] == 400
    assert server.requests_to("authorization")[1].error == "invalid_request_uri"


def claims_of(server: Server, client_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "iss": client_id,
        "sub": client_id,
        "aud": server.endpoints["token_endpoint"],
        "exp": int(server.clock()) + 60,
        "jti": "1",
        **changes,
    }


@pytest.mark.parametrize("method", ["client_secret_jwt", "private_key_jwt"])
def test_a_client_authenticates_by_an_assertion_once(server: Server, method: str) -> None:
    secret = "a-shared-secret-of-32-characters" if method == "client_secret_jwt" else None
    server.register("robot", secret, key=None if secret else CLIENT_KEY, client_authentication=[method])
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": CLIENT_JWT,
        "client_assertion": sign(claims_of(server, "robot"), secret or CLIENT_KEY),
    }
    url = server.endpoints["token_endpoint"]
    assert ask(url, form)[0] == 200
    assert server.requests[-1].client_authentication == method
    assert ask(url, form) == (401, {"error": "invalid_client", "error_description": "client authentication failed"})


@pytest.mark.parametrize(
    "changes", [{"aud": "https://elsewhere.example"}, {"exp": 1}, {"iat": 4_000_000_000}, {"sub": "somebody"}]
)
def test_an_assertion_for_somebody_else_or_some_other_time_is_refused(server: Server, changes: dict[str, Any]) -> None:
    server.register("robot", key=CLIENT_KEY)
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": CLIENT_JWT,
        "client_assertion": sign(claims_of(server, "robot", **changes), CLIENT_KEY),
    }
    assert ask(server.endpoints["token_endpoint"], form)[0] == 401


def test_a_signed_assertion_is_a_grant(server: Server) -> None:
    server.register("robot", key=CLIENT_KEY)
    form = {"grant_type": JWT_BEARER, "assertion": sign(claims_of(server, "robot", sub="ada"), CLIENT_KEY)}
    status, document = ask(server.endpoints["token_endpoint"], form | {"scope": "email"})
    assert status == 200
    assert "refresh_token" not in document
    headers = {"Authorization": f"Bearer {document['access_token']}"}
    assert ask(server.api_url, headers=headers)[1]["subject"] == "ada"
    forged = {"grant_type": JWT_BEARER, "assertion": sign(claims_of(server, "robot"), SERVER_KEY)}
    assert ask(server.endpoints["token_endpoint"], forged)[1]["error"] == "invalid_grant"


@pytest.mark.parametrize("broken", ["", "a.b", "a.b.c", "e30.e30.e30"])
def test_what_is_no_signed_token_is_called_so(broken: str) -> None:
    with pytest.raises(InvalidToken):
        verify(broken, CLIENT_KEY)


def test_a_signature_of_another_algorithm_is_none() -> None:
    with pytest.raises(InvalidToken):
        verify(sign({"a": 1}, "a-secret"), CLIENT_KEY)
    with pytest.raises(InvalidToken):
        verify(sign({"a": 1}, CLIENT_KEY, alg="none"), CLIENT_KEY)


def test_the_clients_key_is_a_file_that_openssl_would_read() -> None:
    pem = CLIENT_KEY.pem()
    certificate = trustme.CA()  # brings the one library here that reads such files
    assert certificate.cert_pem
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    loaded: Any = load_pem_private_key(pem.encode(), None)
    assert loaded.private_numbers().public_numbers.n == CLIENT_KEY.modulus


# --- TLS, sockets, threads --------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of 127.0.0.1, and an authority that evergrant trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    monkeypatch.setenv("EVERGRANT_CA_FILE", str(tmp_path / "authority.pem"))
    return tmp_path / "server.pem"


def test_it_speaks_tls_with_a_certificate_of_the_caller(home: Path, certificate: Path) -> None:
    with Server(certificate=certificate) as server, Workspace(store="memory:", key=b"k" * 32) as workspace:
        assert server.issuer.startswith("https://127.0.0.1:")
        workspace.configure(
            "secure", issuer=server.issuer, client_id=server.client_id, client_secret=server.client_secret
        )
        assert workspace.connect("secure", open_browser=server.person().connect).state == "connected"
        assert workspace.get_token("secure").token_type == "Bearer"


def test_who_does_not_trust_the_certificate_breaks_nothing(certificate: Path) -> None:
    with Server(certificate=certificate) as server:
        port = urlsplit(server.issuer).port
        context = ssl.create_default_context()
        with socket.create_connection(("127.0.0.1", port)) as connection, pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_hostname="127.0.0.1")
        context = ssl.create_default_context(cafile=str(certificate.parent / "authority.pem"))
        with urllib.request.urlopen(server.url("/jwks"), context=context) as response:
            assert response.status == 200


def test_stopping_ends_every_thread_and_socket(now: Now) -> None:
    before = threading.active_count()
    server = Server(clock=now).start()
    port = urlsplit(server.issuer).port
    server.next("slow", endpoint="jwks")
    ended: list[str] = []

    def wait_for_a_reply() -> None:
        try:
            urllib.request.urlopen(server.url("/jwks")).close()
            ended.append("with a reply")
        except OSError:
            ended.append("without one")

    waiting = threading.Thread(target=wait_for_a_reply)
    waiting.start()
    server.wait_for(1, "jwks")
    with socket.create_connection(("127.0.0.1", port)) as idle:
        server.stop()
        server.stop()
        assert idle.recv(1) == b""
    waiting.join()
    assert len(ended) == 1
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_it_may_be_started_again(now: Now) -> None:
    server = Server(clock=now)
    for _ in range(2):
        with server:
            assert ask(server.url("/jwks"))[0] == 200


@pytest.mark.parametrize("bytes_sent", [b"", b"nonsense\r\n\r\n", b"POST /token HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
def test_a_request_that_is_none_breaks_nothing(server: Server, bytes_sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(urlsplit(server.issuer).port or 0))) as connection:
        connection.sendall(bytes_sent)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(4096)
    assert ask(server.url("/jwks"))[0] == 200


def test_a_path_that_is_no_endpoint_is_not_found(server: Server) -> None:
    assert ask(server.url("/elsewhere"))[0] == 404
    assert server.requests[-1].endpoint == ""


# --- the person -------------------------------------------------------------------------------------------------------


def test_the_consent_page_says_who_asks_for_what(server: Server) -> None:
    status, page = ask(authorization(server, scope="openid <script>"))
    assert status == 200
    assert "<b>mock:client</b> asks for:" in page
    assert "<li>&lt;script&gt;</li>" in page


def test_a_consent_page_is_sent_once(server: Server) -> None:
    page = ask(authorization(server))[1]
    ticket = page.split('name="ticket" value="')[1].split('"')[0]
    form = {"ticket": ticket, "decision": "deny"}
    opener = urllib.request.build_opener(
        type("Stay", (urllib.request.HTTPRedirectHandler,), {"redirect_request": lambda *_: None})
    )
    with pytest.raises(HTTPError) as first:
        opener.open(server.url("/consent"), urlencode(form).encode())
    first.value.close()
    assert first.value.code == 303
    assert ask(server.url("/consent"), form)[0] == 400


@pytest.mark.parametrize(
    ("registered", "asked", "fitting"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1:49152/callback", True),
        ("http://[::1]/callback", "http://[::1]:49152/callback", True),
        ("http://127.0.0.1:80/callback", "http://127.0.0.1:49152/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:49152/callback/..", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:49152/callback?a=b", False),
        ("http://127.0.0.1/callback", "http://user@127.0.0.1:49152/callback", False),
        ("http://127.0.0.1/callback", "https://127.0.0.1:49152/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:port/callback", False),
        ("https://app.example/callback", "https://app.example/callback", True),
        ("https://app.example/callback", "https://app.example:8443/callback", False),
    ],
)
def test_a_redirect_uri_is_the_registered_one_but_for_a_loopback_port(
    registered: str, asked: str, *, fitting: bool
) -> None:
    assert fits(registered, asked) is fitting


# --- what it notes, and how it is told --------------------------------------------------------------------------------


def test_what_is_shown_of_a_request_holds_no_secret(connected_provider: MockProvider) -> None:
    shown = repr(connected_provider.requests) + repr(connected_provider.server) + repr(connected_provider)
    assert "client_secret_basic" in shown
    assert [kind for kind, value in connected_provider.server.secrets() if value[-12:] in shown] == []
    refresh_token = connected_provider.requests[-1].form["refresh_token"]
    assert refresh_token in dict(map(reversed, connected_provider.server.secrets())), "it compares as usual"


@pytest.fixture
def connected_provider(mock_provider: MockProvider, oauth_clock: Clock) -> MockProvider:
    mock_provider.connect()
    oauth_clock.advance(3600)
    evergrant.get_token("mock")
    return mock_provider


def test_a_behaviour_that_there_is_not_is_named_at_once(server: Server) -> None:
    with pytest.raises(ValueError, match="no behaviour 'no_expire_in'; did you mean 'no_expires_in'"):
        server.next("no_expire_in")
    with pytest.raises(TypeError, match="unexpected keyword argument 'retry'"):
        server.always("503", retry=1)


def test_behaviours_of_different_endpoints_do_not_wait_for_each_other(server: Server) -> None:
    server.next("503")
    server.next("expired", status=404)
    assert ask(server.api_url, headers={"Authorization": "Bearer nobody"})[0] == 404
    assert token(server, grant_type="client_credentials")[0] == 503
    assert token(server, grant_type="client_credentials")[0] == 200
    assert [request.behaviours for request in server.requests] == [("expired",), ("503",), ()]


def test_what_is_always_so_ends_with_a_reset(server: Server) -> None:
    server.always("503")
    assert [token(server, grant_type="client_credentials")[0] for _ in range(2)] == [503, 503]
    server.reset()
    assert token(server, grant_type="client_credentials")[0] == 200
    assert len(server.requests) == 1


def test_tokens_end_by_the_servers_clock(server: Server, now: Now) -> None:
    headers = {"Authorization": f"Bearer {connected(server)['access_token']}"}
    now.seconds += 3599
    assert ask(server.api_url, headers=headers)[0] == 200
    now.seconds += 1
    assert ask(server.api_url, headers=headers)[0] == 401


def test_a_grace_ends_by_the_servers_clock(server: Server, now: Now) -> None:
    refresh = {"grant_type": "refresh_token", "refresh_token": connected(server)["refresh_token"]}
    server.always("grace", seconds=60)
    assert [token(server, **refresh)[0] for _ in range(2)] == [200, 200]
    now.seconds += 61
    assert token(server, **refresh)[0] == 400
    assert server.reused == 1


def test_a_grace_until_the_first_use_ends_with_it(server: Server) -> None:
    refresh = {"grant_type": "refresh_token", "refresh_token": connected(server)["refresh_token"]}
    server.always("grace_until_first_use")
    token(server, **refresh)
    replayed = token(server, **refresh)[1]
    assert token(server, grant_type="refresh_token", refresh_token=replayed["refresh_token"])[0] == 200
    assert token(server, **refresh)[0] == 400


def test_a_subclass_changes_what_is_said(now: Now) -> None:
    class Chatty(Server):
        access_token_lifetime = 60

        def token_document(self, issued: Issued, exchange: Exchange) -> dict[str, Any]:
            return {**super().token_document(issued, exchange), "team": "t-1"}

    with Chatty(clock=now) as server:
        document = token(server, grant_type="client_credentials")[1]
    assert (document["team"], document["expires_in"]) == ("t-1", 60)


def test_what_takes_long_holds_nobody_else_up(server: Server) -> None:
    server.next("slow")
    waiting = threading.Thread(target=lambda: token(server, grant_type="client_credentials"))
    waiting.start()
    server.wait_for(1)
    start = time.monotonic()
    assert token(server, grant_type="client_credentials")[0] == 200
    assert time.monotonic() - start < 20
    server.release()
    waiting.join()


def test_every_behaviour_stands_in_the_documentation_and_in_a_test() -> None:
    document = (ROOT / "docs" / "testing.md").read_text().split("## Behaviours")[1].split("\n## ")[0]
    rows = {line.split("`")[1]: line for line in document.splitlines() if line.startswith("| `")}
    assert sorted(rows) == sorted(BEHAVIOURS)
    assert [name for name, one in BEHAVIOURS.items() if one.description not in rows[name]] == []
    tests = (Path(__file__).parent / "test_replies.py").read_text()
    assert [name for name in BEHAVIOURS if f'"{name}"' not in tests and name != "rotation"] == []
