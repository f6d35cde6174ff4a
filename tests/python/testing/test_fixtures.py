"""The fixtures of the pytest plugin, each by what a user does with it."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import evergrant
from evergrant import AccessToken, Workspace, injected, oauth
from evergrant.testing import Clock, FakeTokens, MockProvider, Providers, Recorder, Server

ROOT = Path(__file__).parents[3]
DRIVE = "https://www.googleapis.com/auth/drive.readonly"


@oauth("google_drive", scopes=[DRIVE])
def scopes(*, token: AccessToken = injected) -> tuple[str, ...]:
    return token.scopes


@oauth("google_drive")
async def expiry(*, token: AccessToken = injected) -> float | None:
    return token.expires_in


# --- fake_token -------------------------------------------------------------------------------------------------------


def test_a_decorated_function_gets_a_fake(fake_token: FakeTokens) -> None:
    with fake_token("google_drive", scopes=[DRIVE]) as token:
        assert scopes() == (DRIVE,)
        assert evergrant.get_token("google_drive") is token
        assert token.startswith("fake-google_drive-")


def test_a_fake_needs_no_socket(fake_token: FakeTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("a socket was made"))
    with fake_token("google_drive", scopes=[DRIVE]):
        assert scopes() == (DRIVE,)


def test_an_asynchronous_function_gets_a_fake_too(fake_token: FakeTokens) -> None:
    with fake_token("google_drive", expires_in=60):
        assert asyncio.run(expiry()) == 60.0


def test_a_fake_without_the_scopes_that_are_needed_does_not_do(fake_token: FakeTokens) -> None:
    with fake_token("google_drive"), pytest.raises(evergrant.MissingScopes):
        scopes()


def test_a_scope_that_the_provider_does_not_have_is_refused(fake_token: FakeTokens) -> None:
    with pytest.raises(evergrant.InvalidScope), fake_token("google_drive", scopes=["drive.readonly"]):
        pass
    assert evergrant.integrations() == ()


def test_a_fake_is_gone_afterwards(fake_token: FakeTokens) -> None:
    with pytest.raises(ZeroDivisionError), fake_token("github"):
        raise ZeroDivisionError
    with pytest.raises(evergrant.NotConfigured):
        evergrant.get_token("github")


def test_a_fake_leaves_an_integration_as_it_was(fake_token: FakeTokens, mock_provider: MockProvider) -> None:
    with fake_token("mock") as token:
        assert evergrant.get_token("mock") == token
    assert evergrant.status("mock").state == "configured"
    assert mock_provider.requests == ()


def test_fakes_of_several_providers_stand_beside_each_other(fake_token: FakeTokens) -> None:
    with fake_token("github") as one, fake_token("slack", connection="team") as other:
        assert evergrant.get_token("github") == one
        assert evergrant.get_token("slack", connection="team") == other


def test_a_fake_ends_by_the_clock(fake_token: FakeTokens, oauth_clock: Clock) -> None:
    with fake_token("github", expires_in=60):
        oauth_clock.advance(60)
        with pytest.raises(evergrant.ReauthorizationRequired):
            evergrant.get_token("github")


def test_a_fake_for_a_service_is_one_of_that_grant(fake_token: FakeTokens) -> None:
    with fake_token("robot", grant_type="client_credentials", value="the-robots-token"):
        assert evergrant.get_token("robot", grant_type="client_credentials") == "the-robots-token"


# --- mock_provider, oauth_workspace, oauth_clock ----------------------------------------------------------------------


def test_the_provider_has_the_attributes_that_are_documented(mock_provider: MockProvider) -> None:
    assert mock_provider.id == "mock"
    assert mock_provider.endpoints["token_endpoint"] == f"{mock_provider.issuer}/token"
    assert (mock_provider.client_id, mock_provider.client_secret) == ("mock:client", mock_provider.server.client_secret)
    assert evergrant.status("mock").client_id == mock_provider.client_id
    assert mock_provider.requests == ()
    assert isinstance(mock_provider.server, Server)


def test_a_person_connects_under_a_name_and_with_more_scopes(mock_provider: MockProvider) -> None:
    status = mock_provider.connect(connection="work", login="grace", scopes=["files.read"])
    assert (status.connection, status.account) == ("work", "grace@example.com")
    assert status.granted_scopes == ("openid", "email", "files.read")


def test_a_service_needs_no_person(mock_provider: MockProvider) -> None:
    mock_provider.configure_service(scopes=["files.read"])
    assert evergrant.get_token("mock").scopes == ("files.read",)
    (request,) = mock_provider.requests
    assert (request.grant_type, request.scopes) == ("client_credentials", ("files.read",))


def test_the_workspace_is_empty_and_the_default_one(oauth_workspace: Workspace) -> None:
    assert evergrant.integrations() == oauth_workspace.integrations() == ()
    assert oauth_workspace.store == "memory:"


def test_workspace_and_server_live_by_one_clock(mock_provider: MockProvider, oauth_clock: Clock) -> None:
    mock_provider.connect()
    token = evergrant.get_token("mock")
    oauth_clock.advance(3599)
    assert token.expires_in == 1.0
    assert mock_provider.server.clock() == oauth_clock()


# --- oauth_recorder ---------------------------------------------------------------------------------------------------


def test_the_recorder_counts_the_refreshes_of_all_providers(
    mock_provider: MockProvider, mock_provider_as: Providers, oauth_recorder: Recorder, oauth_clock: Clock
) -> None:
    mock_provider.connect()
    mock_provider_as("google").connect()
    assert oauth_recorder.refreshes == 0
    oauth_clock.advance(3600)
    evergrant.get_token("mock")
    evergrant.get_token("google")
    assert oauth_recorder.refreshes == 2
    assert oauth_recorder.scopes == ("openid", "email")
    assert len(oauth_recorder.requests) > 2


def test_the_recorder_knows_every_host_that_was_asked_or_looked_up(
    mock_provider: MockProvider, oauth_recorder: Recorder
) -> None:
    mock_provider.connect()
    with pytest.raises(OSError):  # noqa: PT011 - the resolver's own
        socket.create_connection(("never.invalid", 443), timeout=1)
    assert set(oauth_recorder.hosts) == {"127.0.0.1", "never.invalid"}


# --- the documentation ------------------------------------------------------------------------------------------------


def test_what_the_documentation_shows_is_what_happens(home: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "testing.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "test_documentation.py").write_text(blocks[0])
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-W", "error", "-p", "no:asyncio", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=50)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    exec(blocks[1], {})
