"""`make demo`: a short story from a real run against a certified authorization server on this machine."""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))  # the tests' server and person
from evergrant import AccessToken, Workspace, injected
from support import AuthorizationServer, UserAgent, leaks


def story(workspace: Workspace, folder: str, server: AuthorizationServer) -> None:
    say(f"an authorization server listens at {server.issuer}; its access tokens live 2 seconds")
    server.settings(access_token_ttl=2)
    (client_id, client_secret), scopes = server.confidential, ("openid", "offline_access", "email")
    workspace.configure("acme", issuer=server.issuer, client_id=client_id, client_secret=client_secret, scopes=scopes)
    status = workspace.connect("acme", open_browser=UserAgent("ada").connect)
    say(f"acme is configured, and a person consented in the browser: {status.state} as {status.account}")

    @workspace.oauth("acme")
    def who(greeting: str, *, token: AccessToken = injected) -> str:
        return f"{greeting}, {server.whoami(token)['subject']}"

    say(f'a decorated function gets its token:  who("Hello") → {who("Hello")}')
    time.sleep(2)
    say(f'its token has expired, the call is the same:  who("Welcome back") → {who("Welcome back")}')
    time.sleep(2)
    server.reset()
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(who, ["Hello"] * 64))
    say(f"64 threads at one expiry: {len(answers)} answers; the server itself counted {server.refreshes} refresh")
    say(f"the token in a log or a traceback: {workspace.get_token('acme')!r}")
    # Another process reads: nothing else in this one may open the store file while it is in use.
    stored = subprocess.check_output(["tar", "--create", "--directory", folder, "."]).decode("latin-1")
    shown = leaks(stored, server.secrets())
    say(f"on disk: the name 'acme' in clear: {'acme' in stored}; tokens and secrets in clear: {shown or 'none'}")
    say("disconnected: " + "; ".join(step.detail for step in workspace.disconnect("acme").steps))
    say(f"removed: {workspace.remove('acme').ok}, {len(workspace.integrations())} integrations are left")


def say(text: str) -> None:
    print(f"• {text}", flush=True)


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as folder,
        AuthorizationServer() as server,
        Workspace(store=f"{folder}/store.db", key=os.urandom(32)) as workspace,
    ):
        story(workspace, folder, server)
