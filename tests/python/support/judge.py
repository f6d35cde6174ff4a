"""One script of raw requests for any authorization server, and what is compared of its answers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from typing import NamedTuple, Protocol
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

CALLBACK = "http://127.0.0.1:49152/callback"
SCOPES = "openid offline_access email"
_COMPARED_HEADERS = ("allow", "cache-control", "pragma", "www-authenticate")


class Witness(Protocol):
    """A client as it is registered."""

    client_id: str
    client_secret: str | None


class Target(NamedTuple):
    """A server, its clients, and a person who can sign in to it."""

    endpoints: Mapping[str, str]
    confidential: Witness
    public: Witness
    service: Witness
    consent: Callable[[str], str]
    deny: Callable[[str], str]


class Answer(NamedTuple):
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def document(self) -> dict[str, object]:
        """The members of its JSON body, or those of the query that it redirects to."""
        if "location" in self.headers:
            query = parse_qs(urlsplit(self.headers["location"]).query)
            return {name: values[0] for name, values in query.items()}
        return dict(json.loads(self.body)) if self.body.startswith("{") else {}

    def compared(self) -> str:
        """What a client can tell it by, in one line: status, error, members, and the headers that matter."""
        document = self.document
        members = " ".join(sorted(document))
        error = f" {document['error']}" if "error" in document else ""
        headers = "; ".join(
            f"{name}: {_told(self.headers[name])}" for name in _COMPARED_HEADERS if name in self.headers
        )
        return f"{self.status}{error} {{{members}}}{f' {headers}' if headers else ''}"


def _told(value: str) -> str:
    """A challenge by its scheme and error alone: realm and words are every server's own."""
    scheme, _, more = value.partition(" ")
    if scheme not in ("Basic", "Bearer", "DPoP"):
        return value
    error = re.search(r'error="(\w+)"', more)
    return f"{scheme} {error[1]}" if error else scheme


class Judge:
    """Plays the script against a server.

    Args:
        target: The server.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.answers: dict[str, Answer] = {}

    def play(self) -> dict[str, str]:
        """What was compared of every answer, by the request's name."""
        self._refused_token_requests()
        self._code_and_refresh()
        self._authorization()
        self._resources()
        return {name: answer.compared() for name, answer in self.answers.items()}

    def _refused_token_requests(self) -> None:
        client, service = self._target.confidential, self._target.service
        token = self._target.endpoints["token_endpoint"]
        unknown = {"grant_type": "refresh_token", "refresh_token": "nobody-issued-this-one"}
        wrong = {"Authorization": basic(client.client_id, "not-the-secret")}
        good = authenticated(client)
        self._note("token request without client", token, {"grant_type": "client_credentials"})
        self._note("token request of an unknown client", token, unknown | {"client_id": "nobody"})
        self._note("token request with a wrong secret", token, unknown, wrong)
        self._note("token request with two authentications", token, unknown | in_body(client), good)
        self._note("token request without secret", token, unknown | {"client_id": client.client_id})
        self._note("token request without grant type", token, {}, good)
        self._note("token request of an unknown grant type", token, {"grant_type": "password"}, good)
        self._note("token request with a parameter twice", token, [*unknown.items(), *unknown.items()], good)
        self._note("token request in JSON", token, json.dumps(unknown), good | {"Content-Type": "application/json"})
        self._note("code exchange without code", token, {"grant_type": "authorization_code"}, good)
        self._note(
            "code exchange with an unknown code",
            token,
            {"grant_type": "authorization_code", "code": "nobody-issued-this-one", "redirect_uri": CALLBACK},
            good,
        )
        self._note("refresh without refresh token", token, {"grant_type": "refresh_token"}, good)
        self._note("refresh with an unknown token", token, unknown, good)
        self._note("service token", token, {"grant_type": "client_credentials"}, authenticated(service))
        self._note(
            "service token for a public client",
            token,
            {"grant_type": "client_credentials", "client_id": self._target.public.client_id},
        )

    def _code_and_refresh(self) -> None:
        client, public = self._target.confidential, self._target.public
        token = self._target.endpoints["token_endpoint"]
        good = authenticated(client)
        form = self._consented(client)
        self._note("code exchange without verifier", token, {**form, "code_verifier": ""}, good)
        form = self._consented(client)
        self._note("code exchange with another verifier", token, {**form, "code_verifier": "v" * 43}, good)
        form = self._consented(client)
        elsewhere = {**form, "redirect_uri": "http://127.0.0.1:1/callback"}
        self._note("code exchange with another redirect URI", token, elsewhere, good)
        form = self._consented(client)
        self._note("code exchange of another client", token, {**form, "client_id": public.client_id})
        form = self._consented(public)
        self._note("code exchange of a public client", token, form | {"client_id": public.client_id})
        form = self._consented(client)
        first = self._note("code exchange", token, form, good).document
        refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        self._note("refresh that asks for more", token, refresh | {"scope": f"{SCOPES} profile"}, good)
        self._note("refresh of another client", token, refresh | {"client_id": public.client_id})
        second = self._note("refresh that asks for less", token, refresh | {"scope": "openid"}, good).document
        third = {"grant_type": "refresh_token", "refresh_token": second["refresh_token"]}
        self._note("refresh", token, third, good)
        self._note("refresh with a used token", token, third, good)
        form = self._consented(client)
        self._note("another code exchange", token, form, good)
        self._note("code exchange with a used code", token, form, good)

    def _authorization(self) -> None:
        asked = self._asked(self._target.confidential)[0]
        for name, change in {
            "authorization of an unknown client": {"client_id": "nobody"},
            "authorization to an unregistered redirect URI": {"redirect_uri": "https://elsewhere.example/"},
            "authorization without response type": {"response_type": ""},
            "authorization of another response type": {"response_type": "token"},
            "authorization without PKCE": {"code_challenge": "", "code_challenge_method": ""},
            "authorization with plain PKCE": {"code_challenge_method": "plain"},
            "authorization without asking the person": {"prompt": "none"},
        }.items():
            query = {key: value for key, value in {**asked, **change}.items() if value}
            self._note(name, f"{self._target.endpoints['authorization_endpoint']}?{urlencode(query)}", None)
        url = f"{self._target.endpoints['authorization_endpoint']}?{urlencode(asked)}"
        self.answers["person agrees"] = Answer(303, {"location": self._target.consent(url)}, "")
        self.answers["person says no"] = Answer(303, {"location": self._target.deny(url)}, "")

    def _resources(self) -> None:
        client, endpoints = self._target.confidential, self._target.endpoints
        good = authenticated(client)
        tokens = self._ask(endpoints["token_endpoint"], self._consented(client), good).document
        access = str(tokens["access_token"])
        userinfo, shown = endpoints["userinfo_endpoint"], {"Authorization": f"Bearer {access}"}
        self._note("user information", userinfo, None, shown)
        self._note("user information without token", userinfo, None)
        nobodys = {"Authorization": "Bearer nobody-issued-this-one"}
        self._note("user information with an unknown token", userinfo, None, nobodys)
        introspection, revocation = endpoints["introspection_endpoint"], endpoints["revocation_endpoint"]
        refresh_token = str(tokens["refresh_token"])
        self._note("introspection of a refresh token", introspection, {"token": refresh_token}, good)
        for name in ("introspection", "revocation"):
            url = endpoints[f"{name}_endpoint"]
            self._note(f"{name} without client", url, {"token": access})
            self._note(f"{name} without token", url, {}, good)
            self._note(f"{name} of an unknown token", url, {"token": "nobody-issued-this-one"}, good)
            self._note(f"{name} of an access token", url, {"token": access}, good)
        self._note("user information with a revoked token", userinfo, None, shown)
        self._note(
            "introspection of a refresh token after its access token", introspection, {"token": refresh_token}, good
        )
        self._note("revocation of a refresh token", revocation, {"token": refresh_token}, good)
        self._note("introspection of a revoked token", introspection, {"token": refresh_token}, good)

    def _asked(self, client: Witness) -> tuple[dict[str, str], str]:
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": client.client_id,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": SCOPES,
            "prompt": "consent",
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return asked, verifier

    def _consented(self, client: Witness) -> dict[str, str]:
        """The form that exchanges the code of a person who has just consented."""
        asked, verifier = self._asked(client)
        callback = self._target.consent(f"{self._target.endpoints['authorization_endpoint']}?{urlencode(asked)}")
        code = parse_qs(urlsplit(callback).query)["code"][0]
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": verifier,
        }

    def _note(
        self,
        name: str,
        url: str,
        form: Mapping[str, object] | list[tuple[str, object]] | str | None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        answer = self.answers[name] = self._ask(url, form, headers)
        return answer

    def _ask(
        self,
        url: str,
        form: Mapping[str, object] | list[tuple[str, object]] | str | None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        parts = urlsplit(url)
        body = form if isinstance(form, str) or form is None else urlencode(form)
        sent = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        if body is None:
            del sent["Content-Type"]
        connection = HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        try:
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.request("GET" if body is None else "POST", target, body, sent)
            response = connection.getresponse()
            named = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, named, response.read().decode())
        finally:
            connection.close()


def basic(client_id: str, client_secret: str) -> str:
    """The header of RFC 6749 section 2.3.1: both parts are form-urlencoded first."""
    return "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()).decode()


def authenticated(client: Witness) -> dict[str, str]:
    """The headers by which a client authenticates."""
    return {"Authorization": basic(client.client_id, client.client_secret or "")}


def in_body(client: Witness) -> dict[str, str]:
    """The parameters by which a client authenticates."""
    return {"client_id": client.client_id, "client_secret": client.client_secret or ""}
