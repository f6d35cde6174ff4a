"""The authorization endpoint and the pages that a person sees (RFC 6749 section 3.1, RFC 8628, RFC 9126)."""

from __future__ import annotations

import re
import secrets
from urllib.parse import urlencode, urlsplit, urlunsplit

from evergrant.testing import pages
from evergrant.testing.clients import parameters, unique
from evergrant.testing.ledger import (
    CODE_LIFETIME,
    DEVICE_INTERVAL,
    DEVICE_LIFETIME,
    PUSHED_LIFETIME,
    Client,
    Code,
    Device,
    Grant,
)
from evergrant.testing.messages import Refused, Reply, page
from evergrant.testing.state import Exchange, State

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_REQUEST_URI = "urn:ietf:params:oauth:request_uri:"
_USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628 section 6.1: no vowels, so no words


class AuthorizationEndpoints(State):
    """Ask a person."""

    def authorization(self, exchange: Exchange) -> Reply:
        """Show the consent page, or say what is wrong: to the client where it can be told, else to the person."""
        exchange.record.client_id = dict(exchange.request.query).get("client_id")
        try:
            asked = self._asked(exchange)
            client = self._client(asked)
        except Refused as refused:
            exchange.record.error = refused.error
            return page(refused.status, pages.error(refused.error, refused.description))
        try:
            scopes = self.check_authorization(client, asked)
        except Refused as refused:
            exchange.record.error = refused.error
            return self._back(asked, {"error": refused.error, "error_description": refused.description})
        ticket = self.ledger.value("ticket")
        self.ledger.tickets[ticket] = list(asked.items())
        return page(200, pages.consent(client.client_id, scopes, ticket, action=self.url("/consent")))

    def consent(self, exchange: Exchange) -> Reply:
        """Send the person back with a code, or with the word that they said no."""
        form = parameters(exchange.request)
        asked = dict(self.ledger.tickets.pop(form.get("ticket", ""), []))
        if not asked:
            exchange.record.error = "invalid_request"
            return page(400, pages.error("invalid_request", "this page was sent before"))
        exchange.record.client_id = asked["client_id"]
        if form.get("decision") != "allow":
            exchange.record.error = "access_denied"
            return self._back(asked, {"error": "access_denied", "error_description": "the person said no"})
        subject = exchange.record.subject = form.get("login") or "ada"
        grant = Grant(asked["client_id"], subject, self.asked_scopes(asked), asked=asked)
        code = self.ledger.value("code")
        self.ledger.codes[code] = Code(
            value=code,
            grant=self.ledger.granted(grant),
            redirect_uri=self._redirect_uri(asked),
            redirect_uri_sent="redirect_uri" in asked,
            challenge=asked.get("code_challenge"),
            expires_at=self.clock() + CODE_LIFETIME,
        )
        return self._back(asked, {"code": code})

    def pushed_authorization_request(self, exchange: Exchange) -> Reply:
        """Take the parameters of an authorization request from the client itself (RFC 9126)."""
        form = parameters(exchange.request)
        client = self.authenticated(exchange, form)
        if "request_uri" in form:
            raise Refused("invalid_request", "request_uri may not be pushed")
        asked = {**form, "client_id": client.client_id}
        self._client(asked)
        self.check_authorization(client, asked)
        pushed = [(name, value) for name, value in asked.items() if not name.startswith("client_secret")]
        request_uri = _REQUEST_URI + self.ledger.value("par")
        self.ledger.pushed[request_uri] = (client.client_id, pushed, self.clock() + PUSHED_LIFETIME)
        document = {"request_uri": request_uri, "expires_in": int(PUSHED_LIFETIME)}
        return Reply(201, document, {"cache-control": "no-store"})

    def device_authorization(self, exchange: Exchange) -> Reply:
        """Give a device its codes (RFC 8628 section 3.1)."""
        form = parameters(exchange.request)
        client = self.authenticated(exchange, form)
        now, user_code = self.clock(), _user_code()
        device = Device(
            code=self.ledger.value("device"),
            user_code=user_code,
            client_id=client.client_id,
            scopes=self.scopes(form.get("scope")),
            expires_at=now + DEVICE_LIFETIME,
            next_poll_at=now,
        )
        self.ledger.devices[device.code] = device
        document = {
            "device_code": device.code,
            "user_code": user_code,
            "verification_uri": self.url("/device"),
            "verification_uri_complete": f"{self.url('/device')}?{urlencode({'user_code': user_code})}",
            "expires_in": int(DEVICE_LIFETIME),
            "interval": int(DEVICE_INTERVAL),
        }
        return Reply(200, document, {"cache-control": "no-store"})

    def device_page(self, exchange: Exchange) -> Reply:
        """Ask for the code that the device shows, and whether its client may."""
        request = exchange.request
        action = self.url("/device")
        if request.method == "GET":
            return page(200, pages.device(unique(request.query).get("user_code", ""), action=action))
        form = parameters(request)
        given = form.get("user_code", "").upper().replace("-", "")
        waiting = [
            device
            for device in self.ledger.devices.values()
            if device.user_code.replace("-", "") == given and device.subject is None and not device.denied
        ]
        if not waiting or self.clock() >= waiting[0].expires_at:
            exchange.record.error = "invalid_request"
            return page(400, pages.error("invalid_request", "no device waits for this code"))
        if form.get("decision") == "allow":
            waiting[0].subject = exchange.record.subject = form.get("login") or "ada"
        else:
            waiting[0].denied = True
        return page(200, pages.done())

    def check_authorization(self, client: Client, asked: dict[str, str]) -> tuple[str, ...]:
        """Judge what an authorization request asks of a client; answers with the scopes.

        Raises:
            Refused: What the client is told by a redirect.
        """
        del client  # a subclass may treat clients differently
        if "response_type" not in asked:
            raise Refused("invalid_request", "response_type is missing")
        if asked["response_type"] != "code":
            raise Refused("unsupported_response_type", "response_type is code, nothing else")
        if asked.get("response_mode", "query") != "query":
            raise Refused("invalid_request", "response_mode is query, nothing else")
        if asked.get("prompt") == "none":
            raise Refused("login_required", "nobody is signed in")
        challenge = asked.get("code_challenge")
        if challenge is None and self.pkce == "required":
            raise Refused("invalid_request", "code_challenge is missing (RFC 7636)")
        if challenge is not None and self.pkce == "refused":
            raise Refused("invalid_request", "this client does not use PKCE")
        if challenge is not None and (
            asked.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge)
        ):
            raise Refused("invalid_request", "code_challenge is one of the method S256 (RFC 7636)")
        return self.asked_scopes(asked)

    def asked_scopes(self, asked: dict[str, str]) -> tuple[str, ...]:
        """The scopes of an authorization request."""
        return self.scopes(asked.get(self.scope_parameter))

    def _asked(self, exchange: Exchange) -> dict[str, str]:
        request = exchange.request
        asked = unique(request.query if request.method == "GET" else request.form)
        if "request_uri" not in asked:
            return asked
        client_id, pushed, until = self.ledger.pushed.pop(asked["request_uri"], ("", [], 0.0))
        if self.clock() >= until or asked.get("client_id") != client_id:
            raise Refused("invalid_request_uri", "the pushed request is used, over, or another client's")
        return dict(pushed)

    def _client(self, asked: dict[str, str]) -> Client:
        """The client, if the person may be sent back to it: else nobody is redirected (RFC 6749 section 4.1.2.1)."""
        client = self.ledger.clients.get(asked.get("client_id", ""))
        if client is None:
            raise Refused("invalid_client", "the server knows no such client")
        if "redirect_uri" not in asked and len(client.redirect_uris) != 1:
            raise Refused("invalid_request", "redirect_uri is missing")
        if "redirect_uri" in asked and not any(fits(uri, asked["redirect_uri"]) for uri in client.redirect_uris):
            raise Refused("invalid_request", "redirect_uri is not registered")
        return client

    def _redirect_uri(self, asked: dict[str, str]) -> str:
        return asked.get("redirect_uri") or self.ledger.clients[asked["client_id"]].redirect_uris[0]

    def _back(self, asked: dict[str, str], answer: dict[str, str]) -> Reply:
        told = {"state": asked["state"]} if "state" in asked else {}
        if self.sends_iss:
            told["iss"] = self.issuer
        parts = urlsplit(self._redirect_uri(asked))
        query = "&".join(filter(None, (parts.query, urlencode({**answer, **told}))))
        headers = {"location": urlunsplit(parts._replace(query=query)), "cache-control": "no-store"}
        return Reply(303, headers=headers)


def fits(registered: str, asked: str) -> bool:
    """Whether a redirect URI is the registered one; of a loopback address the port is free (RFC 8252 section 7.3)."""
    if registered == asked:
        return True
    one, other = urlsplit(registered), urlsplit(asked)
    try:
        free = other.port is not None
    except ValueError:
        return False
    return (
        free
        and one.port is None
        and one.scheme == other.scheme == "http"
        and one.hostname == other.hostname
        and one.hostname in _LOOPBACK
        and (one.path, one.query) == (other.path, other.query)
        and not other.fragment
        and other.username is None
    )


def _user_code() -> str:
    letters = [secrets.choice(_USER_CODE_LETTERS) for _ in range(8)]
    return f"{''.join(letters[:4])}-{''.join(letters[4:])}"
