"""The token endpoint (RFC 6749 section 3.2): what each grant type asks, and what it brings."""

from __future__ import annotations

import hashlib
from typing import Any

from evergrant.testing.clients import assertion_of, check_assertion, parameters
from evergrant.testing.keys import SERVER_KEY, base64url
from evergrant.testing.ledger import Client, Device, Grant, Reused
from evergrant.testing.messages import Refused, Reply
from evergrant.testing.state import SCOPE_NAMES, Exchange, Issued, State
from evergrant.testing.tokens import sign

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
ID_TOKEN_LIFETIME = 3600
SLOWER = 5.0  # seconds more between two polls after slow_down (RFC 8628 section 3.5)


class TokenEndpoint(State):
    """Issues tokens."""

    def token(self, exchange: Exchange) -> Reply:
        """Answer a token request."""
        form = parameters(exchange.request)
        grant_type = form.get("grant_type")
        grants = {
            "authorization_code": self._by_code,
            "client_credentials": self._by_client,
            "refresh_token": self._by_refresh_token,
            DEVICE_CODE: self._by_device_code,
        }
        if grant_type == JWT_BEARER:
            issued = self._by_assertion(exchange, form)
        else:
            client = self.authenticated(exchange, form)
            if grant_type is None:
                raise Refused("invalid_request", "grant_type is missing")
            if grant_type not in grants:
                raise Refused("unsupported_grant_type", "the server knows no such grant type")
            issued = grants[grant_type](exchange, client, form)
        exchange.record.subject = issued.grant.subject
        return Reply(200, self.token_document(issued, exchange), {"cache-control": "no-store"})

    def token_document(self, issued: Issued, exchange: Exchange) -> dict[str, Any]:
        """The body of a token reply (RFC 6749 section 5.1)."""
        document: dict[str, Any] = {
            "access_token": issued.access_token.value,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
        }
        if issued.refresh_token is not None:
            document["refresh_token"] = issued.refresh_token
        if issued.access_token.scopes:
            document["scope"] = " ".join(issued.access_token.scopes)
        if issued.id_token is not None:
            document["id_token"] = issued.id_token
        return document

    def values(self, kind: str) -> str:
        """A new value: `at` for an access token, `rt` for a refresh token, `code`, `device`."""
        return self.ledger.value(kind)

    def grants_refresh_token(self, grant: Grant) -> bool:
        """Whether this grant may be refreshed."""
        return not grant.service

    def issue(self, exchange: Exchange, grant: Grant, asked: tuple[str, ...] = ()) -> Issued:
        """Issue the first tokens of a grant."""
        refresh_token = None
        if exchange.rules.refresh_token and self.grants_refresh_token(grant):
            refresh_token = self.ledger.refresh_token(self.values("rt"), grant).value
        return self._issued(exchange, grant, asked, refresh_token)

    def _issued(self, exchange: Exchange, grant: Grant, asked: tuple[str, ...], refresh_token: str | None) -> Issued:
        scopes = asked or grant.scopes
        if exchange.rules.narrower and len(scopes) > 1:
            scopes = scopes[:-1]
        now, lifetime = self.clock(), self.access_token_lifetime
        token = self.ledger.access_token(self.values("at"), grant, scopes, now, lifetime)
        id_token = self._id_token(grant, now) if "openid" in scopes and not grant.service else None
        return Issued(token, refresh_token, grant, asked, lifetime, id_token)

    def _id_token(self, grant: Grant, now: float) -> str:
        claims = {
            "iss": self.issuer,
            "sub": grant.subject,
            "aud": grant.client_id,
            "iat": int(now),
            "exp": int(now) + ID_TOKEN_LIFETIME,
            **({"nonce": grant.asked["nonce"]} if "nonce" in grant.asked else {}),
            **claims_of(grant),
        }
        secret = self.ledger.clients[grant.client_id].client_secret
        return sign(claims, SERVER_KEY if self.id_token_algorithm == "RS256" or secret is None else secret)

    def _by_code(self, exchange: Exchange, client: Client, form: dict[str, str]) -> Issued:
        if "code" not in form:
            raise Refused("invalid_request", "code is missing")
        code = self.ledger.codes.get(form["code"])
        if code is None or code.grant.client_id != client.client_id:
            raise Refused("invalid_grant", "the code is not one of this client")
        if code.used:
            # RFC 6749 section 4.1.2: what it brought is revoked.
            code.grant.revoked = True
            raise Refused("invalid_grant", "the code was used before: its tokens are revoked")
        if self.clock() >= code.expires_at:
            raise Refused("invalid_grant", "the code is too old")
        if form.get("redirect_uri", "" if code.redirect_uri_sent else code.redirect_uri) != code.redirect_uri:
            raise Refused("invalid_grant", "redirect_uri is another than before")
        verifier = form.get("code_verifier")
        if code.challenge is None and verifier is not None:
            raise Refused("invalid_grant", "there was no code_challenge")
        if code.challenge is not None and challenge_of(verifier or "") != code.challenge:
            raise Refused("invalid_grant", "code_verifier does not fit code_challenge (RFC 7636)")
        code.used = True
        return self.issue(exchange, code.grant)

    def _by_client(self, exchange: Exchange, client: Client, form: dict[str, str]) -> Issued:
        if client.client_authentication == ("none",):
            raise Refused("unauthorized_client", "a public client is nobody: it can't act as itself")
        scopes = self.scopes(form.get("scope"))
        grant = self.ledger.granted(Grant(client.client_id, client.client_id, scopes, service=True))
        return self.issue(exchange, grant)

    def _by_refresh_token(self, exchange: Exchange, client: Client, form: dict[str, str]) -> Issued:
        if "refresh_token" not in form:
            raise Refused("invalid_request", "refresh_token is missing")
        asked = self.scopes(form.get("scope"))
        now = self.clock()
        known = self.ledger.refresh_tokens.get(form["refresh_token"])
        if known is not None and not set(asked) <= set(known.grant.scopes):
            raise Refused("invalid_scope", "a refresh asks for no more than was granted (RFC 6749 section 6)")
        try:
            old = self.ledger.redeem(form["refresh_token"], client.client_id, now)
        except Reused:
            exchange.record.reused = True
            raise
        refresh_token = None
        if exchange.rules.rotate:
            refresh_token = self.ledger.rotate(old, self.values("rt"), exchange.rules, now).value
        return self._issued(exchange, old.grant, asked, refresh_token)

    def _by_device_code(self, exchange: Exchange, client: Client, form: dict[str, str]) -> Issued:
        device = self.ledger.devices.get(form.get("device_code", ""))
        if device is None or device.client_id != client.client_id or device.used:
            raise Refused("invalid_grant", "the device code is not one of this client")
        self._poll(device)
        device.used = True
        grant = Grant(client.client_id, str(device.subject), device.scopes)
        return self.issue(exchange, self.ledger.granted(grant))

    def _poll(self, device: Device) -> None:
        """Refuse as long as the person has not agreed (RFC 8628 section 3.5)."""
        now = self.clock()
        early, device.next_poll_at = now < device.next_poll_at, now + device.interval
        if now >= device.expires_at:
            raise Refused("expired_token", "nobody entered the code in time")
        if device.denied:
            raise Refused("access_denied", "the person said no")
        if device.subject is None and early:
            device.interval += SLOWER
            device.next_poll_at = now + device.interval
            raise Refused("slow_down", "ask less often")
        if device.subject is None:
            raise Refused("authorization_pending", "nobody has entered the code yet")

    def _by_assertion(self, exchange: Exchange, form: dict[str, str]) -> Issued:
        """RFC 7523 section 2.1: a signed assertion stands for the grant."""
        if "assertion" not in form:
            raise Refused("invalid_request", "assertion is missing")
        refusal = Refused("invalid_grant", "the assertion is not one that is accepted here (RFC 7523 section 3)")
        client_id, method, claims = assertion_of(form["assertion"], self.ledger, refusal)
        audiences = (self.issuer, self.url("/token"))
        check_assertion(claims, client_id, self.ledger, refusal, audiences, self.clock())
        subject = claims.get("sub")
        if not isinstance(subject, str):
            raise refusal
        exchange.record.client_id, exchange.record.client_authentication = client_id, method
        scopes = self.scopes(form.get("scope") or claims.get("scope"))
        grant = self.ledger.granted(Grant(client_id, subject, scopes, service=True))
        return self.issue(exchange, grant)


def claims_of(grant: Grant) -> dict[str, Any]:
    """What is told of a person, by the scopes granted (OpenID Connect Core section 5.4)."""
    told = {"email": f"{grant.subject}@example.com", "name": grant.subject.capitalize()}
    return {claim: told[claim] for scope, claim in SCOPE_NAMES.items() if scope in grant.scopes}


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636 section 4.2)."""
    return base64url(hashlib.sha256(verifier.encode()).digest())
