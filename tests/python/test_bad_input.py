"""Bad input, row by row of docs/errors.md: the exception, its code, what it says, the next command, and no loss."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import evergrant
from evergrant import PendingConnection, Workspace
from support import AuthorizationServer, UserAgent, leaks

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"
PASSWORD = "correct-horse-battery-staple"


class Refusal:
    """What a row of docs/errors.md promises, and the check that an error keeps it."""

    def __init__(self, test: str, server: AuthorizationServer) -> None:
        self._row = [
            cell.strip().strip("`")
            for line in DOCUMENT.read_text().splitlines()
            if line.endswith(f"::{test}` |")
            for cell in line.split("|")[1:-1]
        ]
        self._server = server

    @contextmanager
    def expected(self, *says: str, **attributes: object) -> Iterator[None]:
        """The block raises exactly this row's exception, which holds every one of `says` and has these attributes."""
        _, exception, code, _, hint, _ = self._row
        with pytest.raises(getattr(evergrant, exception)) as caught:
            yield
        error = caught.value
        assert type(error).__name__ == exception
        assert error.code == code
        for text in says:
            assert text.lower() in str(error).lower()
        assert {name: getattr(error, name) for name in attributes} == attributes
        assert hint in (error.hint or "")
        assert str(error) == f"{error.reason}\n{error.hint}"
        assert self._shown(error) == []

    def _shown(self, error: BaseException) -> list[str]:
        secrets = [*self._server.secrets(), ("password", PASSWORD)]
        chain: list[BaseException] = []
        step: BaseException | None = error
        while step is not None and step not in chain:
            chain.append(step)
            step = step.__cause__ or step.__context__
        return leaks("\n".join(f"{part} {part!r} {vars(part)}" for part in chain), secrets)


@pytest.fixture
def refusal(request: pytest.FixtureRequest, server: AuthorizationServer) -> Refusal:
    return Refusal(request.node.name, server)


@pytest.fixture
def workspace(home: Path, server: AuthorizationServer) -> Iterator[Workspace]:
    """A workspace with a connected account `acme` and a service `robot`; afterwards nothing of them may be lost."""
    with Workspace() as workspace:
        configure(workspace, server, "acme")
        configure_service(workspace, server, "robot")
        workspace.connect("acme", open_browser=UserAgent().connect)
        before = kept(workspace)
        yield workspace
    with Workspace() as again:
        assert kept(again) == before
        server.reset()
        assert server.whoami(again.get_token("acme"))["subject"] == "ada"
    assert server.reused == 0


def configure(workspace: Workspace, server: AuthorizationServer, provider: str, **changes: Any) -> None:
    workspace.configure(
        provider,
        grant_type="authorization_code",
        issuer=server.issuer,
        client_id=server.confidential.client_id,
        client_secret=server.confidential.client_secret,
        scopes=("openid", "offline_access", "email"),
        **changes,
    )


def configure_service(workspace: Workspace, server: AuthorizationServer, provider: str, **changes: Any) -> None:
    settings: dict[str, Any] = {
        "grant_type": "client_credentials",
        "client_id": server.service.client_id,
        "client_secret": server.service.client_secret,
        "endpoints": {"token_endpoint": server.endpoints["token_endpoint"]},
        **changes,
    }
    workspace.configure(provider, **settings)


def kept(workspace: Workspace) -> tuple[object, ...]:
    """What no failure may change."""
    account, service = workspace.status("acme"), workspace.status("robot")
    return account.state, account.client_id, account.granted_scopes, account.account, service.client_id


def test_an_unknown_provider_names_the_nearest_ids(workspace: Workspace, refusal: Refusal) -> None:
    with refusal.expected("gogle_drive", "google_drive"):
        workspace.get_token("gogle_drive")


def test_a_bad_scope_names_the_nearest_one(workspace: Workspace, refusal: Refusal) -> None:
    wrong, right = (f"https://www.googleapis.com/auth/{name}.readonly" for name in ("driev", "drive"))
    with refusal.expected(wrong, right, scope=wrong, nearest=right):
        workspace.configure("google_drive", client_id="client", scopes=[wrong])
    assert workspace.status("google_drive").state == "not_configured"


def test_a_misspelt_parameter_names_the_nearest_one(workspace: Workspace, refusal: Refusal) -> None:
    with refusal.expected("tennant", "tenant"):
        workspace.configure("microsoft_graph", client_id="client", parameters={"tennant": "common"})
    assert workspace.status("microsoft_graph").state == "not_configured"


def test_a_parameter_outside_its_pattern_is_refused(workspace: Workspace, refusal: Refusal) -> None:
    with refusal.expected("tenant", "domain"):
        workspace.configure("microsoft_graph", client_id="client", parameters={"tenant": "attacker.example/"})
    assert workspace.status("microsoft_graph").state == "not_configured"


def refused_endpoint(workspace: Workspace, server: AuthorizationServer, token_endpoint: str) -> None:
    configure_service(workspace, server, "newcomer", endpoints={"token_endpoint": token_endpoint})


def test_a_secret_that_is_no_private_key_is_refused_and_not_repeated(workspace: Workspace, refusal: Refusal) -> None:
    with refusal.expected("JSON key", "service account"):
        workspace.configure("google", grant_type="client_credentials", client_id="robot", client_secret=PASSWORD)
    assert workspace.status("google", grant_type="client_credentials").state == "not_configured"


def test_a_client_id_of_another_kind_is_refused(workspace: Workspace, refusal: Refusal) -> None:
    with refusal.expected("Bitwarden", "organization"):
        workspace.configure("bitwarden", client_id="user.1234", client_secret="secret-of-nobody")
    assert workspace.status("bitwarden").state == "not_configured"


def test_a_placeholder_left_in_a_url_is_named(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    with refusal.expected("tenant"):
        refused_endpoint(workspace, server, "https://{tenant}.example.com/token")


def test_an_endpoint_without_tls_is_refused(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    with refusal.expected("https"):
        refused_endpoint(workspace, server, "http://login.example.com/token")


def test_a_url_with_a_password_is_refused_and_not_repeated(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    with refusal.expected("password"):
        refused_endpoint(workspace, server, f"https://user:{PASSWORD}@login.example.com/token")


def test_a_url_with_a_fragment_is_refused(workspace: Workspace, refusal: Refusal, server: AuthorizationServer) -> None:
    with refusal.expected("fragment"):
        refused_endpoint(workspace, server, "https://login.example.com/token#here")


def test_the_key_of_another_store_opens_nothing(workspace: Workspace, refusal: Refusal, home: Path) -> None:
    workspace.close()
    with refusal.expected(str(home)), Workspace(key=os.urandom(32)) as other:
        other.get_token("acme")


def test_a_key_of_the_wrong_length_is_refused_before_the_store_is_opened(
    workspace: Workspace, refusal: Refusal, tmp_path: Path
) -> None:
    store = tmp_path / "elsewhere" / "store.db"
    with refusal.expected("32"), Workspace(store=store, key=b"too short") as other:
        other.integrations()
    assert not store.exists()


def test_a_key_that_others_can_read_is_refused(
    workspace: Workspace, refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "shared-key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o644)
    with monkeypatch.context() as environment:
        environment.setenv("EVERGRANT_KEY_FILE", str(key))
        with refusal.expected(str(key)), Workspace(store=tmp_path / "new" / "store.db") as other:
            other.configure("github", client_id="client")
    assert stat.S_IMODE(key.stat().st_mode) == 0o644


def test_a_lost_key_is_never_replaced_by_a_new_one(workspace: Workspace, refusal: Refusal, tmp_path: Path) -> None:
    workspace.close()
    key = tmp_path / "config" / "evergrant" / "key"
    safe = key.rename(tmp_path / "key-in-safety")
    try:
        with refusal.expected(str(key)), Workspace() as locked:
            locked.get_token("acme")
        assert not key.exists()
    finally:
        safe.rename(key)


def test_a_damaged_store_is_left_as_it_is(workspace: Workspace, refusal: Refusal, home: Path, tmp_path: Path) -> None:
    workspace.close()  # only now may anything else in this process open the file
    store = Path(shutil.copytree(home, tmp_path / "damaged")) / "store.db"
    damaged = store.read_bytes()[:100] + os.urandom(store.stat().st_size - 100)
    store.write_bytes(damaged)
    with refusal.expected(str(store)), Workspace(store=store) as broken:
        broken.configure("github", client_id="client")
    assert store.read_bytes() == damaged


def test_another_file_in_the_place_of_the_store_is_left_as_it_is(
    workspace: Workspace, refusal: Refusal, tmp_path: Path
) -> None:
    store = tmp_path / "notes.txt"
    store.write_text("not a store at all\n" * 500)
    with refusal.expected(str(store)), Workspace(store=store) as other:
        other.configure("github", client_id="client")
    assert store.read_text() == "not a store at all\n" * 500


def test_a_read_only_folder_is_named_before_anything_is_sent(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    sent = server.count()
    with refusal.expected("/sys/"), Workspace(store="/sys/evergrant/store.db") as nowhere:  # not even root writes there
        configure_service(nowhere, server, "robot")
    assert server.count() == sent


def test_a_provider_that_is_not_configured_says_how_to_configure_it(workspace: Workspace, refusal: Refusal) -> None:
    with refusal.expected("github"):
        workspace.get_token("github")


def test_a_connection_that_is_not_there_names_those_that_are(workspace: Workspace, refusal: Refusal) -> None:
    with refusal.expected("work", "default"):
        workspace.get_token("acme", connection="work")


def test_two_grant_types_and_none_named_names_both(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    configure(workspace, server, "both")
    configure_service(workspace, server, "both")
    with refusal.expected("authorization_code", "client_credentials"):
        workspace.get_token("both")


def test_a_taken_port_is_named(workspace: Workspace, refusal: Refusal, server: AuthorizationServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as neighbour:
        port = neighbour.getsockname()[1]
        configure(workspace, server, "ported", redirect_uri=f"http://127.0.0.1:{port}/callback")
        with refusal.expected(str(port)):
            workspace.connect("ported", open_browser=False, timeout=10)


def test_a_denied_consent_keeps_the_earlier_grant(workspace: Workspace, refusal: Refusal) -> None:
    agent = UserAgent()
    with refusal.expected("access_denied"):
        workspace.connect("acme", again=True, open_browser=lambda url: agent.deliver(agent.deny(url)), timeout=30)


def begin(workspace: Workspace, session: str) -> PendingConnection:
    return workspace.begin_connect("acme", redirect_uri="http://127.0.0.1/oauth/callback", session=session)


def test_a_callback_with_the_wrong_state_is_refused(
    workspace: Workspace, refusal: Refusal, user_agent: UserAgent, server: AuthorizationServer
) -> None:
    pending = begin(workspace, "session-1")
    callback = user_agent.consent(pending.authorization_url)
    sent = server.count()
    with refusal.expected("state"):
        workspace.complete_connect(re.sub(r"state=[^&]+", "state=" + "x" * 43, callback), session="session-1")
    assert server.count() == sent


def test_a_callback_of_another_session_consumes_nothing(
    workspace: Workspace, refusal: Refusal, user_agent: UserAgent
) -> None:
    callback = user_agent.consent(begin(workspace, "session-1").authorization_url)
    with refusal.expected("session"):
        workspace.complete_connect(callback, session="session-2")
    assert workspace.complete_connect(callback, session="session-1").state == "connected"


def test_a_sign_in_that_nobody_finishes_times_out(workspace: Workspace, refusal: Refusal) -> None:
    with refusal.expected("0.2"):
        workspace.connect("acme", again=True, open_browser=lambda _: None, timeout=0.2)


def test_a_wrong_client_secret_is_reported_in_the_words_of_the_server(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    workspace.configure("robot", client_secret="a wrong secret")
    with refusal.expected("invalid_client", error="invalid_client"):
        workspace.get_token("robot")
    status = workspace.status("robot")
    assert (status.state, "invalid_client" in (status.last_error or "")) == ("configured", True)
    workspace.configure("robot", client_secret=server.service.client_secret)
    assert server.whoami(workspace.get_token("robot"))["subject"] == server.service.client_id


def test_a_server_that_is_away_is_named(workspace: Workspace, refusal: Refusal, server: AuthorizationServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    endpoints = {"token_endpoint": f"http://127.0.0.1:{port}/token"}
    configure_service(workspace, server, "robot", endpoints=endpoints)
    with refusal.expected("127.0.0.1"):
        workspace.get_token("robot")
    configure_service(workspace, server, "robot")


def test_a_slow_server_ends_the_waiting_and_not_the_request(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    server.fault("slow", milliseconds=1500)
    with refusal.expected():
        workspace.get_token("robot", timeout=0.2)
    assert server.whoami(workspace.get_token("robot"))["subject"] == server.service.client_id
    assert server.count("client_credentials") == 1


def test_a_reply_that_is_cut_leaves_the_integration_configured(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    server.fault("cut")
    with refusal.expected():
        workspace.get_token("robot")
    assert workspace.status("robot").state == "configured"


def test_a_web_page_instead_of_json_is_called_one(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    server.fault("html")
    with refusal.expected("web page"):
        workspace.get_token("robot")
    assert workspace.status("robot").state == "configured"


def test_a_token_with_a_line_break_costs_no_refresh_token(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    token = workspace.get_token("acme")
    server.fault("line_break")
    with refusal.expected("access token"):
        workspace.get_token("acme", replacing=token)
    assert server.refreshes == 1


def test_a_callback_of_another_server_gets_no_code(
    workspace: Workspace, refusal: Refusal, server: AuthorizationServer
) -> None:
    server.fault("wrong_iss")
    exchanges = server.count("authorization_code")
    with refusal.expected("another-server.example", server.issuer):
        workspace.connect("acme", again=True, open_browser=UserAgent().connect, timeout=30)
    assert server.count("authorization_code") == exchanges
