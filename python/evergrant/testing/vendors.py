"""Servers that answer as a vendor does, and refuse what it refuses.

A vendor is a file in `replies/`: samples of its replies (`token`, `refresh`, `error`), written from the page named as
`source`, and under `server` what that vendor's server asks of its clients. Nothing of it comes from evergrant's own
provider files, which it tests.
"""

from __future__ import annotations

import copy
import json
import re
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from evergrant.testing.ledger import Grant, Rules
from evergrant.testing.messages import Refused, Reply
from evergrant.testing.server import CLIENT_ID, CLIENT_SECRET, Server
from evergrant.testing.state import Exchange, Issued

_ALIASES = {"microsoft": "microsoft_graph"}
_NEVER = 10**9  # seconds: longer than any test's clock goes
_LONG_GRACE = float(_NEVER)


def vendors() -> tuple[str, ...]:
    """The ids of the vendors that have samples."""
    folder = resources.files("evergrant.testing") / "replies"
    return tuple(sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json")))


class VendorServer(Server):
    """A server in the shape of a vendor.

    Args:
        id: The vendor, by the id of its file or an alias: `google`, `microsoft`, `github`, `slack`, `salesforce` …
        variant: A variant that its file holds: `rotating` of Slack, `app` of GitHub.

    Raises:
        ValueError: There is no such file or variant.
    """

    sends_iss = False

    def __init__(self, id: str, *, variant: str | None = None, **keywords: Any) -> None:  # noqa: A002 - the word of the catalogue
        self.sample = _sample(id, variant)
        asked: dict[str, Any] = self.sample["server"]
        token = self.sample["token"]
        self.vendor = id
        self.prefix = re.split("example", str(_find(token, "access_token")), maxsplit=1, flags=re.IGNORECASE)[0]
        self.access_token_lifetime = _find(token, "expires_in") or _NEVER
        self.client_authentication = tuple(asked["client_authentication"])
        self.pkce = asked.get("pkce", "optional")
        self.scope_parameter = asked.get("scope_parameter", "scope")
        self.scope_separator = asked.get("scope_separator", " ")
        self._wants = asked
        self._known: set[tuple[str, str]] = set()
        super().__init__(**{"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **keywords})

    def configuration(self) -> dict[str, Any]:
        """What `configure` is to be told beside client id and secret."""
        endpoints = ("authorization", "token", *self._wants.get("endpoints", ()))
        return {
            "endpoints": {f"{name}_endpoint": self.url(self.PATHS[name][0]) for name in endpoints},
            **self._wants.get("configure", {}),
        }

    def rules(self) -> Rules:
        """How the vendor treats used refresh tokens."""
        rotation = self._wants["rotation"]
        return Rules(rotate=rotation != "never", grace=_LONG_GRACE if rotation == "lasting" else 0.0)

    def grants_refresh_token(self, grant: Grant) -> bool:
        """Whether the vendor gives this grant a refresh token: not all give one without being asked."""
        wanted = self._wants.get("refresh_token_if", {})
        parameters, again_if = wanted.get("parameters", {}), wanted.get("again_if")
        person = (grant.client_id, grant.subject)
        known = person in self._known
        self._known.add(person)
        return (
            super().grants_refresh_token(grant)
            and _find(self.sample["token"], "refresh_token") is not None
            and wanted.get("scope") in (None, *grant.scopes)
            and parameters.items() <= grant.asked.items()
            and (again_if is None or not known or again_if.items() <= grant.asked.items())
        )

    def issue(self, exchange: Exchange, grant: Grant, asked: tuple[str, ...] = ()) -> Issued:
        """Issue the first tokens of a grant, if its scopes are those the vendor takes."""
        suffix = self._wants.get("service_scope")
        if grant.service and suffix and not (len(grant.scopes) == 1 and grant.scopes[0].endswith(suffix)):
            raise Refused("invalid_scope", f"a service asks for one resource, with {suffix} behind it")
        return super().issue(exchange, grant, asked)

    def token_document(self, issued: Issued, exchange: Exchange) -> dict[str, Any]:
        """The vendor's sample, with what was issued in the places of what is in it."""
        is_refresh = exchange.record.grant_type == "refresh_token"
        sample = self.sample["token"]
        if is_refresh:
            sample = self.sample.get("refresh", sample)
        elif issued.grant.service and "client_credentials" in self.sample:
            sample = self.sample["client_credentials"]["token"]
        names = self._wants.get("scope_names", {})
        scopes = [names.get(scope, scope) for scope in issued.access_token.scopes]
        values = {
            "access_token": issued.access_token.value,
            "refresh_token": issued.refresh_token,
            "expires_in": issued.expires_in,
            "scope": self._wants.get("reply_scope_separator", " ").join(scopes),
            "issued_at": str(round(self.clock() * 1000)),
        }
        document: dict[str, Any] = _filled(copy.deepcopy(sample), values)
        return document

    def token(self, exchange: Exchange) -> Reply:
        """Answer a token request, in the format that the vendor chooses."""
        reply = super().token(exchange)
        return self._formatted(reply, exchange)

    def refusal(self, refused: Refused, exchange: Exchange) -> Reply:
        """The vendor's own error."""
        if exchange.record.endpoint != "token":
            return super().refusal(refused, exchange)
        errors = self._wants.get("errors", {})
        error = refused.error
        if error == "invalid_client":
            error = errors.get("client", error)
        elif error == "invalid_grant":
            error = errors.get(exchange.record.grant_type, error)
        sample = dict(self.sample["error"])
        if error != sample["error"]:
            # What else stands in the sample belongs to its own error.
            sample = {name: value for name, value in sample.items() if name in ("ok", "error_description")}
            if "error_description" in sample:
                sample["error_description"] = refused.description
        status = self._wants.get("error_status", refused.status)
        reply = Reply(status, {**sample, "error": error}, {"cache-control": "no-store", **refused.headers})
        return self._formatted(reply, exchange)

    def _formatted(self, reply: Reply, exchange: Exchange) -> Reply:
        wants_json = "json" in exchange.request.headers.get("accept", "")
        if self._wants.get("form_unless_asked") and not wants_json:
            reply.body = urlencode(reply.document or {}).encode()
            reply.content_type = "application/x-www-form-urlencoded; charset=utf-8"
        return reply


def _sample(id: str, variant: str | None) -> dict[str, Any]:  # noqa: A002 - as above
    name = _ALIASES.get(id, id)
    if name not in vendors():
        raise ValueError(f"there is no sample of {id!r}; there are: {', '.join(vendors())}")
    text = (resources.files("evergrant.testing") / "replies" / f"{name}.json").read_text("utf-8")
    sample: dict[str, Any] = json.loads(text)
    if variant is None:
        return sample
    if "token" not in sample.get(variant, {}) or variant == "client_credentials":
        raise ValueError(f"{id!r} has no variant {variant!r}")
    return {**sample, **sample[variant]}


def _find(value: Any, name: str) -> Any:
    """The first member of that name, however deep."""
    if not isinstance(value, dict):
        return None
    if name in value:
        return value[name]
    return next((found for member in value.values() if (found := _find(member, name)) is not None), None)


def _filled(value: Any, values: dict[str, Any]) -> Any:
    """`value` with its members replaced by those of `values`; one that is `None` there is left out."""
    if not isinstance(value, dict):
        return value
    return {
        name: values[name] if name in values else _filled(member, values)
        for name, member in value.items()
        if values.get(name, member) is not None or member is None
    }
