"""The same refreshes by msal with msal-extensions: ISSUER CLIENT_ID CLIENT_SECRET REFRESHES_EACH ACCOUNTS.

One cache file for all accounts, with its lock, as its documentation says. One thread: with several in a process that
lock was seen to time out ("Unable to obtain lock, despite trying for 5 second(s)").
"""

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msal
import requests
from msal_extensions import FilePersistence, PersistedTokenCache

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))
from support.user_agent import UserAgent

issuer, client_id, client_secret = sys.argv[1:4]
each, accounts = int(sys.argv[4]), int(sys.argv[5])
REDIRECT_URI = "http://127.0.0.1/callback"
warnings.filterwarnings("ignore", message="response_mode")  # the scripted browser reads the address, not a form


class Loopback(requests.adapters.HTTPAdapter):
    """msal insists on https and on a path; the server of the benchmark has neither."""

    def send(self, request: requests.PreparedRequest, *args: Any, **keywords: Any) -> requests.Response:
        request.url = (request.url or "").replace("https://", "http://", 1).replace("/tenant/", "/", 1)
        response = super().send(request, *args, **keywords)
        if request.url.endswith("/openid-configuration"):
            response._content = response.content.replace(b"http://", b"https://")
        return response


def application(cache: PersistedTokenCache) -> msal.ConfidentialClientApplication:
    session = requests.Session()
    session.mount("https://", Loopback())
    return msal.ConfidentialClientApplication(
        client_id,
        client_secret,
        oidc_authority=issuer.replace("http://", "https://") + "/tenant",
        token_cache=cache,
        http_client=session,
    )


def sign_in(app: msal.ConfidentialClientApplication, name: str) -> None:
    flow = app.initiate_auth_code_flow([], redirect_uri=REDIRECT_URI, prompt="consent")
    callback = UserAgent(name).consent(flow["auth_uri"].replace("https://", "http://"))
    reply = app.acquire_token_by_auth_code_flow(flow, dict(parse_qsl(urlsplit(callback).query)))
    assert "access_token" in reply, reply.get("error_description")


def refresh(app: msal.ConfidentialClientApplication, account: dict[str, Any]) -> None:
    for _ in range(each):
        reply = app.acquire_token_silent_with_error([], account, force_refresh=True)
        assert "access_token" in (reply or {})


with tempfile.TemporaryDirectory() as folder:
    client = application(PersistedTokenCache(FilePersistence(f"{folder}/cache.json")))
    for number in range(accounts):
        sign_in(client, f"account-{number}")
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter()
    for account in client.get_accounts():
        refresh(client, account)
    elapsed = time.perf_counter() - start
print(json.dumps({"per second": each * accounts / elapsed}))
