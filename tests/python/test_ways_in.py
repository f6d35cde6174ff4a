"""Ways in beside the plain authorization request, against the certified server: a pushed one, an MCP server's URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from evergrant import Workspace
from support import AuthorizationServer, UserAgent, acme

PUSHING = """\
id: pushing
name: Pushing
category: other
summary: A provider whose clients push their authorization requests.
client: {authentication: [client_secret_basic]}
scopes: {allowed: ["[a-z_.]+"]}
grants:
  authorization_code: {authorization: {pushed: true}, refresh: {rotates: always}}
"""


def query(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


def test_an_authorization_request_is_pushed_where_the_file_says_so(
    home: object, server: AuthorizationServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers = tmp_path / "providers"
    providers.mkdir()
    (providers / "pushing.yaml").write_text(PUSHING)
    monkeypatch.setenv("EVERGRANT_PROVIDERS", str(providers))

    with Workspace() as workspace:
        workspace.configure(
            "pushing",
            client_id=server.pushing.client_id,
            client_secret=server.pushing.client_secret,
            scopes=acme.SCOPES,
            endpoints={name: url for name, url in server.endpoints.items() if name != "device_authorization_endpoint"},
        )
        begun = workspace.begin_connect("pushing", redirect_uri="http://127.0.0.1/callback", session="s")
        assert sorted(query(begun.authorization_url)) == ["client_id", "request_uri"]
        callback = UserAgent("ada").consent(begun.authorization_url, redirect_uri="http://127.0.0.1/callback")
        assert workspace.complete_connect(callback, session="s").state == "connected"
        assert server.whoami(workspace.get_token("pushing"))["subject"] == "ada"


def test_an_mcp_server_needs_nothing_but_its_url(home: object, server: AuthorizationServer) -> None:
    server.settings(offline=True)
    resource = f"{server.issuer}/mcp"
    urls: list[str] = []

    def person(url: str) -> None:
        urls.append(url)
        UserAgent("ada").connect(url)

    with Workspace() as workspace:
        configured = workspace.configure("notes", issuer=resource, scopes=["files.read"])
        status = workspace.connect("notes", open_browser=person)
        token = workspace.get_token("notes")

        assert configured.client_id == status.client_id
        assert query(urls[0])["resource"] == [resource]
        assert query(urls[0])["scope"] == ["files.read"]
        assert server.whoami(token)["audience"] == resource
        assert server.whoami(token)["client"] == configured.client_id
        renewed = workspace.get_token("notes", replacing=token)
        assert server.whoami(renewed)["audience"] == resource
        assert server.refreshes == 1
        workspace.configure("notes", issuer=resource)
        assert workspace.status("notes").client_id == configured.client_id
