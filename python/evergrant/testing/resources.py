"""What tokens are shown to: revocation, introspection, user information, metadata, and the protected API."""

from __future__ import annotations

from typing import Any

from evergrant.testing.clients import parameters
from evergrant.testing.grants import DEVICE_CODE, JWT_BEARER, claims_of
from evergrant.testing.keys import SERVER_KEY
from evergrant.testing.ledger import AccessToken
from evergrant.testing.messages import Refused, Reply
from evergrant.testing.state import Exchange, State

METHODS = ("client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none")


class ResourceEndpoints(State):
    """Check tokens."""

    def metadata(self, exchange: Exchange) -> Reply:
        """The server's metadata (RFC 8414, OpenID Connect Discovery)."""
        del exchange
        document: dict[str, Any] = {
            "issuer": self.issuer,
            **self.endpoints,
            "jwks_uri": self.url("/jwks"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "client_credentials",
                DEVICE_CODE,
                JWT_BEARER,
            ],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.id_token_algorithm],
            "token_endpoint_auth_methods_supported": list(self.client_authentication or METHODS),
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "HS256"],
            "code_challenge_methods_supported": [] if self.pkce == "refused" else ["S256"],
            "authorization_response_iss_parameter_supported": self.sends_iss,
        }
        if self.scopes_supported is not None:
            document["scopes_supported"] = list(self.scopes_supported)
        return Reply(200, document)

    def jwks(self, exchange: Exchange) -> Reply:
        """The keys that ID tokens are signed with (RFC 7517)."""
        del exchange
        return Reply(200, {"keys": [SERVER_KEY.jwk()]})

    def revocation(self, exchange: Exchange) -> Reply:
        """End a token (RFC 7009): an access token alone, a refresh token with its whole grant."""
        form = parameters(exchange.request)
        client = self.authenticated(exchange, form)
        if "token" not in form:
            raise Refused("invalid_request", "token is missing")
        refresh_token = self.ledger.refresh_tokens.get(form["token"])
        access_token = self.ledger.access_tokens.get(form["token"])
        if refresh_token is not None and refresh_token.grant.client_id == client.client_id:
            refresh_token.grant.revoked = True
        if access_token is not None and access_token.grant.client_id == client.client_id:
            access_token.revoked = True
        # RFC 7009 section 2.2: a token that is unknown is as good as revoked.
        return Reply(200)

    def introspection(self, exchange: Exchange) -> Reply:
        """Say whether a token works (RFC 7662)."""
        form = parameters(exchange.request)
        client = self.authenticated(exchange, form)
        if "token" not in form:
            raise Refused("invalid_request", "token is missing")
        now = self.clock()
        access_token = self.ledger.access_tokens.get(form["token"])
        refresh_token = self.ledger.refresh_tokens.get(form["token"])
        token = access_token or refresh_token
        works = token is not None and token.works(now) and not token.grant.revoked
        if token is None or not works or token.grant.client_id != client.client_id:
            return Reply(200, {"active": False}, {"cache-control": "no-store"})
        document: dict[str, Any] = {
            "active": True,
            "client_id": token.grant.client_id,
            "sub": token.grant.subject,
            "iss": self.issuer,
            "scope": " ".join(access_token.scopes if access_token else token.grant.scopes),
        }
        if access_token is not None:
            times = {"iat": int(access_token.issued_at), "exp": int(access_token.expires_at)}
            document |= {"token_type": "Bearer", **times}
        return Reply(200, document, {"cache-control": "no-store"})

    def userinfo(self, exchange: Exchange) -> Reply:
        """Who the person is (OpenID Connect Core section 5.3)."""
        token = self.bearer(exchange)
        if "openid" not in token.scopes:
            challenge = 'Bearer error="insufficient_scope", scope="openid"'
            raise Refused("insufficient_scope", "openid was not granted", 403, {"www-authenticate": challenge})
        return Reply(200, {"sub": token.grant.subject, **claims_of(token.grant)}, {"cache-control": "no-store"})

    def api(self, exchange: Exchange) -> Reply:
        """The protected API, at every path below `/api/`: says whose token it was shown."""
        token = self.bearer(exchange)
        return Reply(
            200,
            {
                "subject": token.grant.subject,
                "client": token.grant.client_id,
                "scope": " ".join(token.scopes),
                "path": exchange.request.path,
            },
        )

    def bearer(self, exchange: Exchange) -> AccessToken:
        """The access token of a request (RFC 6750 section 2.1).

        Raises:
            Refused: There is none, or it does not work.
        """
        scheme, _, value = exchange.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not value:
            # RFC 6750 section 3.1: no error code for who sent no token.
            raise Refused("", "", 401, {"www-authenticate": "Bearer"})
        token = self.ledger.access_tokens.get(value)
        if token is None or not token.works(self.clock()):
            challenge = 'Bearer error="invalid_token", error_description="the token is unknown, expired or revoked"'
            raise Refused(
                "invalid_token", "the token is unknown, expired or revoked", 401, {"www-authenticate": challenge}
            )
        exchange.record.client_id, exchange.record.subject = token.grant.client_id, token.grant.subject
        return token
