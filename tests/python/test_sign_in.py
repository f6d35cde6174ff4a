"""Signing in: by the loopback callback, by a pasted URL, from another process, by a web application, by import."""

from __future__ import annotations

import os
import pty
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest

from evergrant import (
    ConnectDenied,
    ConnectFailed,
    ConnectTimeout,
    InvalidParameter,
    ProviderRejected,
    ReauthorizationRequired,
    Workspace,
)
from support import AuthorizationRefused, AuthorizationServer, Program, UserAgent, acme
from support.command import Waiting, evergrant

Start = Callable[..., Program]

REDIRECT_URI = "http://127.0.0.1/oauth/callback"


@pytest.fixture
def workspace(home: object, server: AuthorizationServer) -> Iterator[Workspace]:
    """The default workspace, where `acme` is configured."""
    with Workspace() as workspace:
        acme.configure(workspace, server)
        server.reset()
        yield workspace


@pytest.fixture
def connecting(workspace: Workspace) -> Iterator[Callable[..., Waiting]]:
    """Starts `evergrant connect acme`; none outlives its test."""
    started: list[Waiting] = []

    def start(*options: str, **keywords: int) -> Waiting:
        started.append(Waiting("connect", "acme", "--no-browser", *options, **keywords))
        return started[-1]

    yield start
    for one in started:
        one.close()


def who(server: AuthorizationServer, workspace: Workspace, connection: str = "default") -> str:
    return str(server.whoami(workspace.get_token("acme", connection=connection))["subject"])


# By the loopback callback


def test_a_callback_connects(server: AuthorizationServer, workspace: Workspace) -> None:
    pages = []

    status = workspace.connect("acme", open_browser=lambda url: pages.append(UserAgent("ada").connect(url)))

    code, page = pages[0]
    assert code == 200
    assert "connected as ada@example.com" in page
    assert "code=" not in page
    assert (status.state, status.account) == ("connected", "ada@example.com")
    assert set(status.granted_scopes) == set(acme.SCOPES)
    assert who(server, workspace) == "ada"
    assert server.count() == 1


def test_connected_already_asks_nobody(server: AuthorizationServer, workspace: Workspace) -> None:
    workspace.connect("acme", open_browser=UserAgent("ada").connect)

    assert workspace.connect("acme", open_browser=pytest.fail).state == "connected"
    assert server.count() == 1


def test_more_scopes_ask_again_and_are_kept(server: AuthorizationServer, workspace: Workspace) -> None:
    workspace.connect("acme", open_browser=UserAgent("ada").connect)
    asked = []

    workspace.connect("acme", scopes=["profile"], open_browser=lambda url: asked.append(UserAgent().connect(url)))

    assert len(asked) == 1
    assert "profile" in workspace.get_token("acme", scopes=["profile"]).scopes


def test_a_person_who_says_no_is_an_error_of_its_own(server: AuthorizationServer, workspace: Workspace) -> None:
    def deny(url: str) -> None:
        person = UserAgent()
        person.deliver(person.deny(url))

    with pytest.raises(ConnectDenied):
        workspace.connect("acme", open_browser=deny)
    assert workspace.status("acme").state == "configured"
    assert server.count() == 0


def test_a_neighbours_callback_does_not_disturb_the_sign_in(server: AuthorizationServer, workspace: Workspace) -> None:
    def browser(url: str) -> None:
        person = UserAgent("ada")
        callback = person.consent(url)
        state = parse_qs(urlsplit(callback).query)["state"][0]
        assert person.deliver(callback.replace(state, "x" * len(state)))[0] == 400
        assert person.deliver(callback)[0] == 200

    assert workspace.connect("acme", open_browser=browser).state == "connected"


def test_a_callback_that_comes_twice_spends_the_code_once(server: AuthorizationServer, workspace: Workspace) -> None:
    def deliver(callback: str) -> None:
        with suppress(OSError):  # the port may be closed by then
            UserAgent().deliver(callback)

    def browser(url: str) -> None:
        callback = UserAgent("ada").consent(url)
        threads = [threading.Thread(target=deliver, args=(callback,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert workspace.connect("acme", open_browser=browser).state == "connected"
    assert server.count("authorization_code") == 1


def test_another_servers_issuer_is_refused(server: AuthorizationServer, workspace: Workspace) -> None:
    server.fault("wrong_iss")

    with pytest.raises(ConnectFailed, match="another-server"):
        workspace.connect("acme", open_browser=UserAgent().connect)
    assert server.count() == 0


def test_nobody_comes(workspace: Workspace) -> None:
    with pytest.raises(ConnectTimeout) as raised:
        workspace.connect("acme", open_browser=lambda url: None, timeout=0.2)
    assert raised.value.hint == "evergrant connect acme"


def test_a_port_that_is_taken_is_named(server: AuthorizationServer, workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        workspace.configure("acme", redirect_uri=f"http://127.0.0.1:{port}/callback")

        with pytest.raises(ConnectFailed, match=str(port)):
            workspace.connect("acme", open_browser=pytest.fail)


def test_a_configured_port_and_path_are_used(server: AuthorizationServer, workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    workspace.configure("acme", redirect_uri=f"http://127.0.0.1:{port}/oauth/callback")
    seen = []

    workspace.connect("acme", open_browser=lambda url: seen.append(url) or UserAgent().connect(url))

    assert parse_qs(urlsplit(seen[0]).query)["redirect_uri"] == [f"http://127.0.0.1:{port}/oauth/callback"]


# By a pasted URL, and from another process


def test_a_callback_url_pasted_at_the_terminal_connects(
    server: AuthorizationServer, workspace: Workspace, connecting: Callable[..., Waiting]
) -> None:
    keyboard, terminal = pty.openpty()
    try:
        waiting = connecting(stdin=terminal)
        callback = UserAgent("ada").consent(waiting.url())
        waiting.said("paste the URL")
        os.write(keyboard, b"something else\n")
        os.write(keyboard, f"{callback}\n".encode())
        done = waiting.end()
    finally:
        os.close(keyboard)
        os.close(terminal)

    assert done.code == 0, done.err
    assert who(server, workspace) == "ada"


def test_complete_connect_finishes_a_waiting_connect(
    server: AuthorizationServer, workspace: Workspace, connecting: Callable[..., Waiting]
) -> None:
    waiting = connecting()
    callback = UserAgent("ada").consent(waiting.url())

    done = evergrant("complete-connect", stdin=f"{callback}\n")

    assert done.code == 0, done.err
    ended = waiting.end()
    assert ended.code == 0, ended.err
    assert "connected" in ended.out
    assert who(server, workspace) == "ada"
    assert server.count() == 1


def test_a_used_callback_url_is_refused(
    server: AuthorizationServer, workspace: Workspace, connecting: Callable[..., Waiting]
) -> None:
    callback = UserAgent("ada").consent(connecting().url())
    assert evergrant("complete-connect", stdin=callback).code == 0

    done = evergrant("complete-connect", stdin=callback)

    assert done.code == 1
    assert "no sign-in" in done.err
    assert server.count() == 1


def test_a_redirect_uri_that_is_not_loopback_is_finished_by_its_url(
    home: object, server: AuthorizationServer, connecting: Callable[..., Waiting], workspace: Workspace
) -> None:
    workspace.configure("acme", redirect_uri="https://app.example/callback")

    waiting = connecting()

    # The server does not know this redirect URI: what counts is that it was asked for, and that nobody listens.
    url = waiting.url()
    assert parse_qs(urlsplit(url).query)["redirect_uri"] == ["https://app.example/callback"]
    with pytest.raises(AuthorizationRefused, match="redirect_uri"):
        UserAgent().consent(url)
    waiting.said("evergrant complete-connect")


# By a web application


def test_a_web_application_begins_and_completes(server: AuthorizationServer, workspace: Workspace) -> None:
    begun = workspace.begin_connect("acme", redirect_uri=REDIRECT_URI, session="cookie-1", connection="user-7")
    callback = UserAgent("grace").consent(begun.authorization_url)
    assert begun.state in callback

    status = workspace.complete_connect(callback, session="cookie-1")

    assert (status.connection, status.account) == ("user-7", "grace@example.com")
    assert who(server, workspace, "user-7") == "grace"


def test_a_sign_in_is_completed_by_another_process(
    server: AuthorizationServer, workspace: Workspace, program: Start
) -> None:
    begun = workspace.begin_connect("acme", redirect_uri=REDIRECT_URI, session="cookie-1")
    callback = UserAgent("grace").consent(begun.authorization_url)
    completing = program('import evergrant\nprint(evergrant.complete_connect(input(), session="cookie-1").account)')
    completing.tell(callback)

    assert completing.end() == "grace@example.com\n"
    assert who(server, workspace) == "grace"


@pytest.mark.parametrize("session", ["cookie-2", "", None])
def test_another_session_is_refused_and_consumes_nothing(
    server: AuthorizationServer, workspace: Workspace, session: str | None
) -> None:
    begun = workspace.begin_connect("acme", redirect_uri=REDIRECT_URI, session="cookie-1")
    callback = UserAgent("grace").consent(begun.authorization_url)

    with pytest.raises(ConnectFailed):
        workspace.complete_connect(callback, session=session)

    assert server.count() == 0
    assert workspace.complete_connect(callback, session="cookie-1").state == "connected"


def test_a_session_can_not_complete_what_connect_began(
    server: AuthorizationServer, workspace: Workspace, connecting: Callable[..., Waiting]
) -> None:
    callback = UserAgent("ada").consent(connecting().url())

    with pytest.raises(ConnectFailed):
        workspace.complete_connect(callback, session="cookie-1")
    assert workspace.complete_connect(callback).state == "connected"


def test_a_redirect_uri_of_a_web_application_is_sent_as_it_is(workspace: Workspace) -> None:
    begun = workspace.begin_connect("acme", redirect_uri="https://app.example/oauth?tenant=7", session="s")

    assert parse_qs(urlsplit(begun.authorization_url).query)["redirect_uri"] == ["https://app.example/oauth?tenant=7"]


def test_a_refused_code_is_the_providers_word(server: AuthorizationServer, workspace: Workspace) -> None:
    begun = workspace.begin_connect("acme", redirect_uri=REDIRECT_URI, session="s")
    callback = UserAgent("grace").consent(begun.authorization_url)
    code = parse_qs(urlsplit(callback).query)["code"][0]

    with pytest.raises(ProviderRejected) as raised:
        workspace.complete_connect(callback.replace(code, "not-a-code"), session="s")
    assert raised.value.error == "invalid_grant"


# By import


def refresh_token_of(server: AuthorizationServer, workspace: Workspace) -> str:
    """A refresh token that was issued elsewhere: by another workspace, which forgets it unrevoked."""
    with Workspace(store="memory:") as elsewhere:
        acme.configure(elsewhere, server)
        elsewhere.connect("acme", open_browser=UserAgent("ada").connect)
    kept = [value for kind, value in server.issued() if kind == "RefreshToken"][-1]
    server.reset()
    return kept


def test_an_imported_refresh_token_rotates(server: AuthorizationServer, workspace: Workspace) -> None:
    imported = refresh_token_of(server, workspace)

    status = workspace.import_refresh_token("acme", imported)

    assert status.state == "connected"
    assert server.count() == 0
    assert who(server, workspace) == "ada"
    assert who(server, workspace) == "ada"
    assert (server.refreshes, server.reused) == (1, 0)
    token = workspace.get_token("acme")
    workspace.get_token("acme", replacing=token)
    assert (server.refreshes, server.reused) == (2, 0)


def test_a_second_import_of_the_same_token_is_refused(server: AuthorizationServer, workspace: Workspace) -> None:
    imported = refresh_token_of(server, workspace)
    workspace.import_refresh_token("acme", imported, connection="first")

    with pytest.raises(InvalidParameter, match="first"):
        workspace.import_refresh_token("acme", imported, connection="second")
    workspace.import_refresh_token("acme", imported, connection="first")


def test_a_refresh_token_that_the_server_does_not_know_needs_a_person(
    server: AuthorizationServer, workspace: Workspace
) -> None:
    workspace.import_refresh_token("acme", "made-up-refresh-token")

    for _ in range(2):
        with pytest.raises(ReauthorizationRequired) as raised:
            workspace.get_token("acme")
        assert raised.value.error == "invalid_grant"
    assert server.refreshes == 1
    assert workspace.status("acme").state == "reauthorization_required"
