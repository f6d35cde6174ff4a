"""Statements of the public interface that a user would try first, held against the real core."""

from __future__ import annotations

from pathlib import Path

import pytest

from evergrant import (
    ConnectTimeout,
    InvalidParameter,
    MissingScopes,
    NotConfigured,
    ProviderRejected,
    ProviderUnavailable,
    UnknownProvider,
    Workspace,
)
from support import AuthorizationServer, UserAgent, acme
from support.command import evergrant

NOBODY_LISTENS = "http://127.0.0.1:9"


# Configure


def test_the_error_about_an_issuer_that_is_away_names_the_provider(home: Path) -> None:
    with Workspace() as workspace, pytest.raises(ProviderUnavailable) as caught:
        workspace.configure("acme", issuer=NOBODY_LISTENS, client_id="x")
    assert caught.value.provider == "acme"


def test_an_own_provider_of_the_other_grant_type_is_asked_for_its_endpoints(
    server: AuthorizationServer, home: Path
) -> None:
    with Workspace() as workspace:
        acme.configure_service(workspace, server)
        with pytest.raises(InvalidParameter) as caught:
            workspace.configure("robot", grant_type="authorization_code", client_id="x")
    assert caught.value.code == "missing_endpoint"


def test_an_argument_of_the_wrong_type_is_refused_naming_the_provider(home: Path) -> None:
    with Workspace() as workspace, pytest.raises(InvalidParameter) as caught:
        workspace.configure("github", client_id="x", pkce="yes")  # type: ignore[arg-type]
    assert caught.value.provider == "github"


def test_an_integration_whose_borrowed_client_is_gone_is_not_configured(home: Path) -> None:
    with Workspace() as workspace:
        workspace.configure("google", client_id="g", client_secret="s")
        workspace.configure("google_drive", scopes=["https://www.googleapis.com/auth/drive"])
        workspace.remove("google")
        assert workspace.status("google_drive").state == "not_configured"
        with pytest.raises(NotConfigured):
            workspace.connect("google_drive", open_browser=False, timeout=0)
        assert workspace.remove("google_drive").ok
        assert workspace.integrations() == ()


# Connect


def test_the_command_that_finishes_a_sign_in_elsewhere_names_store_and_workspace(
    server: AuthorizationServer, home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "other.db"
    with Workspace("team", store=store) as workspace:
        acme.configure(workspace, server)
        with pytest.raises(ConnectTimeout):
            workspace.connect("acme", open_browser=False, timeout=0)
    assert f"evergrant complete-connect --store {store} --workspace team\n" in capfd.readouterr().err


# Tokens


def test_a_resource_that_the_server_refuses_leaves_the_default_one_refreshable(
    server: AuthorizationServer, user_agent: UserAgent, home: Path
) -> None:
    acme.connect(server, user_agent)
    server.settings(rotate=False)  # this server spends the refresh token before it looks at the resource
    with Workspace() as workspace:
        refused = workspace.get_token("acme")
        with pytest.raises(ProviderRejected):
            workspace.get_token("acme", resource="https://nobody.example/")
        assert workspace.get_token("acme", replacing=refused) != refused


def test_a_resource_that_the_server_refused_is_not_asked_for_again_at_once(
    server: AuthorizationServer, user_agent: UserAgent, home: Path
) -> None:
    acme.connect(server, user_agent)
    with Workspace() as workspace:
        for _ in range(2):
            with pytest.raises(ProviderRejected):
                workspace.get_token("acme", resource="https://nobody.example/")
    assert server.refreshes == 1


def test_the_command_for_a_missing_scope_keeps_those_of_this_connection(
    server: AuthorizationServer, user_agent: UserAgent, home: Path
) -> None:
    with Workspace() as workspace:
        acme.configure(workspace, server)
        workspace.connect("acme", scopes=["profile"], open_browser=user_agent.connect)
        with pytest.raises(MissingScopes) as caught:
            workspace.get_token("acme", scopes=["phone"])
    assert caught.value.hint == "evergrant connect acme --scope profile --scope phone"


def test_the_command_for_a_missing_scope_of_a_service_keeps_the_configured_ones(
    server: AuthorizationServer, home: Path
) -> None:
    with Workspace() as workspace:
        acme.configure_service(workspace, server)
        workspace.configure("robot", scopes=["email"])
        with pytest.raises(MissingScopes) as caught:
            workspace.get_token("robot", scopes=["phone"])
    hint = "evergrant configure robot --grant-type client_credentials --scope email --scope phone"
    assert caught.value.hint == hint


# Looking and leaving


def test_an_own_provider_is_known_for_the_grant_type_that_is_not_configured(
    server: AuthorizationServer, home: Path
) -> None:
    with Workspace() as workspace:
        acme.configure_service(workspace, server)
        assert workspace.status("robot", grant_type="authorization_code").state == "not_configured"
        with pytest.raises(NotConfigured):
            workspace.get_token("robot", grant_type="authorization_code")
        with pytest.raises(UnknownProvider):
            workspace.status("nobody", grant_type="authorization_code")


def test_connections_of_one_grant_type_leave_the_other_out(
    server: AuthorizationServer, user_agent: UserAgent, home: Path
) -> None:
    acme.connect(server, user_agent)
    with Workspace() as workspace:
        acme.configure_service(workspace, server)
        workspace.connect("robot")
        found = [one.provider for one in workspace.connections(grant_type="client_credentials")]
    assert found == ["robot"]


def test_the_command_status_shows_only_the_grant_type_that_was_named(server: AuthorizationServer, home: Path) -> None:
    with Workspace() as workspace:
        acme.configure(workspace, server)
        acme.configure_service(workspace, server)
    done = evergrant("status", "--grant-type", "client_credentials")
    assert (done.code, "robot" in done.out, "acme" in done.out) == (0, True, False)


def test_the_error_about_an_unknown_provider_names_it(home: Path) -> None:
    with Workspace() as workspace, pytest.raises(UnknownProvider) as caught:
        workspace.get_token("gogle_drive")
    assert caught.value.provider == "gogle_drive"
