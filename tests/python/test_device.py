"""Signing in by a code that is typed at another device (RFC 8628), against the certified server."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from evergrant import Workspace
from support import AuthorizationServer, UserAgent, acme
from support.command import Waiting

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def workspace(home: object, server: AuthorizationServer) -> Iterator[Workspace]:
    """The default workspace, where `acme` has no page for browsers."""
    names = ("device_authorization_endpoint", "token_endpoint", "userinfo_endpoint")
    with Workspace() as workspace:
        workspace.configure(
            "acme",
            grant_type="authorization_code",
            client_id=server.confidential.client_id,
            client_secret=server.confidential.client_secret,
            scopes=acme.SCOPES,
            endpoints={name: server.endpoints[name] for name in names},
        )
        yield workspace


def test_a_code_connects(server: AuthorizationServer, workspace: Workspace) -> None:
    pages: list[str] = []

    status = workspace.connect("acme", open_browser=lambda url: pages.append(UserAgent("ada").enter(url)))

    assert status.state == "connected"
    assert server.whoami(workspace.get_token("acme"))["subject"] == "ada"
    assert server.count(DEVICE_CODE) == 1
    assert "Sign-in Success" in pages[0]


def test_the_command_line_shows_the_code_and_waits(server: AuthorizationServer, workspace: Workspace) -> None:
    waiting = Waiting("connect", "acme")
    try:
        waiting.said("user_code=")
        link = re.findall(r"http\S+user_code=\S+", waiting.shown)[0]
        assert re.search(r"enter the code [A-Z]{4}-[A-Z]{4}\n", waiting.shown)
        UserAgent("grace").enter(link)
        done = waiting.end()
    finally:
        waiting.close()

    assert (done.code, "Traceback" in done.err) == (0, False)
    assert server.whoami(workspace.get_token("acme"))["subject"] == "grace"


def test_headless_the_code_and_the_browser_race(server: AuthorizationServer, workspace: Workspace) -> None:
    workspace.configure("acme", endpoints=server.endpoints)
    waiting = Waiting("connect", "acme", "--no-browser")
    try:
        waiting.said("complete-connect")
        links = re.findall(r"http\S+", waiting.shown)
        assert [link for link in links if "user_code=" in link]
        authorization_url = next(link for link in links if "redirect_uri=" in link)
        browser = threading.Thread(target=UserAgent("ada").connect, args=(authorization_url,))
        browser.start()
        done = waiting.end()
        browser.join()
    finally:
        waiting.close()

    assert done.code == 0
    assert server.count("authorization_code") == 1
    assert server.whoami(workspace.get_token("acme"))["subject"] == "ada"
