"""`evergrant demo`: the story of `make demo` on the test kit's server, from an installed wheel alone."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from evergrant import _core
from evergrant._api import Workspace
from evergrant._decorator import injected
from evergrant._types import AccessToken
from evergrant.testing import Clock, Server

_CALLERS = 64
# Another process reads the store: nothing else in this one may open its file while it is in use.
_READ = (
    "import pathlib, sys; out = sys.stdout.buffer; "
    "[out.write(path.read_bytes()) for path in sorted(pathlib.Path(sys.argv[1]).rglob('*')) if path.is_file()]"
)


def tell(say: Callable[[str], object]) -> None:
    """Tell the story to `say`, a sentence each; it takes a second or two, and leaves nothing behind."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, Server(clock=clock) as server:
        workspace = Workspace.__new__(Workspace)
        workspace._inner = _core.Workspace(  # noqa: SLF001 - a workspace that lives by the story's clock
            "demo", store=f"{folder}/store.db", key=os.urandom(32), network="loopback", clock=clock.manual
        )
        with workspace:
            _story(say, workspace, folder, server, clock)


def _story(say: Callable[[str], object], workspace: Workspace, folder: str, server: Server, clock: Clock) -> None:
    say(f"an authorization server listens at {server.issuer}; its access tokens live an hour, by a clock of its own")
    workspace.configure(
        "acme",
        issuer=server.issuer,
        client_id=server.client_id,
        client_secret=server.client_secret,
        scopes=("openid", "email"),
    )
    status = workspace.connect("acme", open_browser=server.person("ada").connect)
    say(f"acme is configured, and a person consented in the browser: {status.state} as {status.account}")

    @workspace.oauth("acme")
    def who(greeting: str, *, token: AccessToken = injected) -> str:
        request = urllib.request.Request(server.api_url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own server
            return f"{greeting}, {json.load(response)['subject']}"

    say(f'a decorated function gets its token:  who("Hello") → {who("Hello")}')
    clock.advance(server.access_token_lifetime)
    say(f'its token has expired, the call is the same:  who("Welcome back") → {who("Welcome back")}')
    clock.advance(server.access_token_lifetime)
    server.reset()
    with ThreadPoolExecutor(_CALLERS) as pool:
        answers = list(pool.map(who, ["Hello"] * _CALLERS))
    count = f"{server.refreshes} refresh{'' if server.refreshes == 1 else 'es'}"
    say(f"{_CALLERS} threads at one expiry: {len(answers)} answers; the server itself counted {count}")
    say(f"the token in a log or a traceback: {workspace.get_token('acme')!r}")
    stored = subprocess.check_output([sys.executable, "-I", "-c", _READ, folder])  # noqa: S603 - our own program
    shown = sorted({kind for kind, value in server.secrets() if _is_in(value.encode(), stored)})
    say(f"on disk: the name 'acme' in clear: {b'acme' in stored}; tokens and secrets in clear: {shown or 'none'}")
    say("disconnected: " + "; ".join(step.detail for step in workspace.disconnect("acme").steps))
    say(f"removed: {workspace.remove('acme').ok}, {len(workspace.integrations())} integrations are left")


def _is_in(secret: bytes, stored: bytes) -> bool:
    return any(form in stored for form in (secret, base64.b64encode(secret), secret.hex().encode()))
