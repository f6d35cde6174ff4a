"""`Server`: an authorization server on loopback that is exact, strict, and as hostile as it is told to be."""

from __future__ import annotations

import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

from evergrant.testing import behaviours as _behaviours  # noqa: F401 - registers them
from evergrant.testing.authorization import AuthorizationEndpoints
from evergrant.testing.behaviour import Chosen, choose
from evergrant.testing.grants import TokenEndpoint
from evergrant.testing.keys import Key
from evergrant.testing.ledger import Client
from evergrant.testing.listener import Listener
from evergrant.testing.messages import RecordedRequest, Refused, Reply, Request, recorded
from evergrant.testing.person import Person
from evergrant.testing.resources import ResourceEndpoints
from evergrant.testing.state import Exchange

CLIENT_ID = "mock:client"
# RFC 6749 section 2.3.1: inside Basic, id and secret are form-urlencoded; these hold what that changes.
CLIENT_SECRET = "secret-of-the+mock%client/&=~"
REDIRECT_URIS = ("http://127.0.0.1/callback", "http://localhost/callback", "http://[::1]/callback")
_SECONDS_AT_MOST = 30.0


class Server(TokenEndpoint, AuthorizationEndpoints, ResourceEndpoints):
    """An authorization server with a protected API, for tests; a context manager.

    It refuses what the RFCs refuse, rotates every refresh token, and revokes a grant whose used refresh token comes
    back. `next` and `always` let it behave worse. Subclass it to change an endpoint: each is a method.

    Args:
        host: Where it listens: a name or an address of the loopback interface.
        port: Its port; 0 is any free one.
        certificate: A PEM file with the certificate to speak TLS with.
        private_key: A PEM file with its key, where `certificate` does not hold it.
        client_id: The id of the client that is registered from the start.
        client_secret: Its secret; `None` makes it a public client.
        redirect_uris: Where it may send people back to.
        clock: Tells the time in seconds since 1970; tokens end by it.
        behaviours: Names of behaviours that are always on.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: str | PathLike[str] | None = None,
        private_key: str | PathLike[str] | None = None,
        client_id: str = CLIENT_ID,
        client_secret: str | None = CLIENT_SECRET,
        redirect_uris: Iterable[str] = REDIRECT_URIS,
        clock: Callable[[], float] = time.time,
        behaviours: Iterable[str] = (),
    ) -> None:
        super().__init__(clock)
        self.client_id = client_id
        self.client_secret = client_secret
        self._host, self._port = host, port
        self._certificate, self._private_key = certificate, private_key
        self._listener: Listener | None = None
        self._released = threading.Event()
        self._answered = threading.Condition(self.lock)
        self._next: deque[Chosen] = deque()
        self._always = [choose(name) for name in behaviours]
        self._requests: list[RecordedRequest] = []
        self.register(client_id, client_secret, redirect_uris=redirect_uris)

    def start(self) -> Server:
        """Listen; returns itself."""
        if self._listener is None:
            self._released.clear()
            self._listener = Listener(self._answer, host=self._host, port=self._port, tls=self._tls())
            scheme = "http" if self._certificate is None else "https"
            host = f"[{self._host}]" if ":" in self._host else self._host
            self.issuer = f"{scheme}://{host}:{self._listener.port}"
        return self

    def stop(self) -> None:
        """Close every socket and end every thread; stopping twice is allowed."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._released.set()
            listener.stop()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, 'issuer', 'not started')}, {len(self._requests)} requests>"

    @property
    def api_url(self) -> str:
        """A URL of the protected API: it answers with whose token it was shown. So does every URL below `/api/`."""
        return self.url("/api/whoami")

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Every request so far, oldest first."""
        with self.lock:
            return tuple(self._requests)

    def requests_to(self, endpoint: str, grant_type: str | None = None) -> tuple[RecordedRequest, ...]:
        """The requests to an endpoint (`token`, `authorization`, `api` …), of a grant type where one is named."""
        return tuple(
            request
            for request in self.requests
            if request.endpoint == endpoint and grant_type in (None, request.grant_type)
        )

    @property
    def refreshes(self) -> int:
        """How many refresh requests there were."""
        return len(self.requests_to("token", "refresh_token"))

    @property
    def reused(self) -> int:
        """How often a used refresh token came back: each revoked a grant."""
        return sum(request.reused for request in self.requests)

    def register(
        self,
        client_id: str,
        client_secret: str | None = None,
        *,
        redirect_uris: Iterable[str] = REDIRECT_URIS,
        key: Key | None = None,
        client_authentication: Iterable[str] = (),
    ) -> Client:
        """Register a client; one without secret and key is a public one.

        Args:
            client_id: Its id.
            client_secret: Its secret.
            redirect_uris: Where it may send people back to; the port of a loopback address is free.
            key: What its assertions are signed with.
            client_authentication: The methods it may use; by default those it has a secret or a key for.
        """
        client = Client(client_id, client_secret, list(redirect_uris), key, tuple(client_authentication))
        with self.lock:
            self.ledger.clients[client_id] = client
        return client

    def next(self, name: str, *, endpoint: str | None = None, **options: Any) -> None:
        """Behave so at the next request; several wait in a queue.

        Args:
            name: A behaviour: docs/testing.md lists them, `evergrant.testing.BEHAVIOURS` holds them.
            endpoint: The requests that it acts on, if not those that it is made for.
            options: Its options.

        Raises:
            ValueError: There is no such behaviour.
            TypeError: It has no such option.
        """
        chosen = choose(name, endpoint, **options)
        with self.lock:
            self._next.append(chosen)

    def always(self, name: str, *, endpoint: str | None = None, **options: Any) -> None:
        """Behave so at every request from now on, until `reset`; arguments and errors as of `next`."""
        chosen = choose(name, endpoint, **options)
        with self.lock:
            self._always.append(chosen)

    def reset(self) -> None:
        """Forget the requests and behave well; what was issued stays."""
        with self.lock:
            self._next.clear()
            self._always.clear()
            self._requests.clear()
        self.release()

    def release(self) -> None:
        """Let go every reply that is held back."""
        self._released.set()
        self._released = threading.Event()

    def wait_for(self, count: int, endpoint: str = "token") -> tuple[RecordedRequest, ...]:
        """Wait until an endpoint has got so many requests, answered or not; returns them.

        Raises:
            TimeoutError: They did not come within 30 s.
        """
        with self._answered:
            if not self._answered.wait_for(lambda: len(self.requests_to(endpoint)) >= count, _SECONDS_AT_MOST):
                raise TimeoutError(f"{len(self.requests_to(endpoint))} of {count} requests came to {endpoint}")
            return self.requests_to(endpoint)

    def person(self, login: str = "ada") -> Person:
        """A person who can sign in to this server."""
        tls = None
        if self._certificate is not None:
            tls = ssl.create_default_context(cafile=str(self._certificate))
            tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return Person(login, tls=tls)

    def expire(self, access_token: str) -> None:
        """End an access token, as if its time were over."""
        with self.lock:
            token = self.ledger.access_tokens.get(access_token)
            if token is not None:
                token.expires_at = self.clock()

    def revoke_grants(self) -> None:
        """End every grant, as a person does in the settings of their account."""
        with self.lock:
            for grant in self.ledger.grants:
                grant.revoked = True

    def secrets(self) -> list[tuple[str, str]]:
        """Kind and value of everything that nobody may show, for a search through logs and output."""
        with self.lock:
            return self.ledger.secrets()

    def hold(self, seconds: float | None) -> None:
        """Keep the current request waiting so long, or until `release`; `stop` ends it too."""
        self._released.wait(_SECONDS_AT_MOST if seconds is None else seconds)

    def _tls(self) -> ssl.SSLContext | None:
        if self._certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._private_key)
        return context

    def _answer(self, request: Request) -> Reply:
        endpoint = self._endpoint(request.path)
        with self.lock:
            exchange = self._arrive(endpoint, request)
            chosen = self._chosen(endpoint)
            exchange.record.behaviours = tuple(one.behaviour.name for one in chosen)
            self._act(endpoint, exchange, [one for one in chosen if not one.behaviour.after])
        # Without the lock: others are served while this reply is held back.
        for one in chosen:
            if one.behaviour.after:
                one.act(self, exchange)
        reply = exchange.reply or Reply(404)
        with self._answered:
            exchange.record.status = None if reply.delivery == "dropped" else reply.status
            told = (reply.document or {}).get("error")
            exchange.record.error = told if isinstance(told, str) else exchange.record.error
            self._answered.notify_all()
        return reply

    def _endpoint(self, path: str) -> str:
        if path == "/api" or path.startswith("/api/"):
            return "api"
        return next((name for name, paths in self.PATHS.items() if path in paths), "")

    def _arrive(self, endpoint: str, request: Request) -> Exchange:
        record = recorded(len(self._requests) + 1, self.clock(), endpoint, request)
        self._requests.append(record)
        self._answered.notify_all()
        return Exchange(request, record, self.rules())

    def _chosen(self, endpoint: str) -> list[Chosen]:
        waiting = next((one for one in self._next if one.endpoint == endpoint), None)
        if waiting is not None:
            self._next.remove(waiting)
        always = [one for one in self._always if one.endpoint == endpoint]
        return [*always, *([waiting] if waiting is not None else [])]

    def _act(self, endpoint: str, exchange: Exchange, before: list[Chosen]) -> None:
        try:
            for one in before:
                one.act(self, exchange)
            if exchange.reply is None and endpoint:
                exchange.reply = getattr(self, endpoint)(exchange)
        except Refused as refused:
            exchange.record.error = refused.error or None
            exchange.reply = self.refusal(refused, exchange)
