"""Requests, replies, refusals, and what of a request is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_SECRET_FIELDS = frozenset(
    (
        "access_token",
        "assertion",
        "authorization",
        "client_assertion",
        "client_secret",
        "code",
        "code_verifier",
        "cookie",
        "device_code",
        "nonce",
        "refresh_token",
        "state",
        "subject_token",
        "ticket",
        "token",
        "user_code",
    )
)
_KEPT_HEADERS = ("accept", "authorization", "content-type", "host", "origin", "user-agent")


class Secret(str):
    """A text whose `repr` is masked: a failing assertion may show the request that it stands in."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<masked>"


@dataclass(frozen=True)
class Request:
    """A request as it arrived.

    Args:
        method: Its method.
        target: Path and query.
        headers: Its headers, names in lower case.
        body: Its body.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"

    @property
    def path(self) -> str:
        """The path, without query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """Names and values of the query."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def form(self) -> list[tuple[str, str]]:
        """Names and values of a form in the body; empty where it holds none."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return []
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)


class Refused(Exception):
    """What an endpoint answers instead: an error of RFC 6749 section 5.2.

    Args:
        error: The error code.
        description: For the person who reads it.
        status: The HTTP status.
        headers: Headers of the reply.
    """

    def __init__(
        self, error: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error, description)
        self.error = error
        self.description = description
        self.status = status
        self.headers = dict(headers or {})


@dataclass
class Reply:
    """A reply on its way; behaviours change it.

    Args:
        status: The HTTP status.
        document: The members of its JSON body, where it has one.
        headers: Headers beside those that describe the body.
        body: A body that is not `document`'s JSON.
        content_type: The type of the body.
        delivery: How the bytes leave: `whole`, `cut` off, `dripped` one by one, or `dropped`.
        part: The part of the body that leaves where it is cut off.
    """

    status: int = 200
    document: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    delivery: str = "whole"
    part: float = 1.0

    def __repr__(self) -> str:
        return f"<Reply {self.status}, {self.delivery}>"

    def encoded(self) -> bytes:
        """The body's bytes."""
        if self.body is not None:
            return self.body
        return b"" if self.document is None else json.dumps(self.document).encode()


def page(status: int, html: str) -> Reply:
    """A web page that nobody may frame, keep, or put scripts into."""
    headers = {
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
    }
    return Reply(status, body=html.encode(), content_type="text/html; charset=utf-8", headers=headers)


@dataclass
class RecordedRequest:
    """A request that the server got, and what came of it. Secrets in it are comparable, and masked when shown.

    Args:
        number: Its number, from 1.
        at: When it came, in seconds since 1970 by the server's clock.
        endpoint: `token`, `authorization`, `consent`, `api`, or another of `Server.PATHS`; empty: no such place.
        method: The HTTP method.
        path: The path.
        query: The query.
        form: The form in its body.
        headers: Those headers that matter here, names in lower case.
        client_id: The client, as far as it was recognised.
        client_authentication: How it authenticated: `client_secret_basic`, `client_secret_post`,
            `client_secret_jwt`, `private_key_jwt` or `none`; `None` where it did not come to that.
        status: The HTTP status it was answered with; `None` while it is not answered.
        error: The error code of the answer.
        behaviours: The names of the behaviours that changed the answer.
        reused: It brought a refresh token that had been used up: the grant was revoked.
        subject: Whose token the API was shown, or who consented.
    """

    number: int
    at: float
    endpoint: str
    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]
    client_id: str | None = None
    client_authentication: str | None = None
    status: int | None = None
    error: str | None = None
    behaviours: tuple[str, ...] = ()
    reused: bool = False
    subject: str | None = None

    @property
    def grant_type(self) -> str | None:
        """The grant type of a token request."""
        return self.form.get("grant_type")

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes it asked for, in the order asked."""
        return tuple((self.form.get("scope") or self.query.get("scope") or "").split())

    @property
    def ok(self) -> bool:
        """Whether it was answered, and not with an error."""
        return self.status is not None and self.status < 400 and self.error is None  # noqa: PLR2004 - RFC 9110


def recorded(number: int, at: float, endpoint: str, request: Request) -> RecordedRequest:
    """A request as it is recorded when it arrives."""
    return RecordedRequest(
        number=number,
        at=at,
        endpoint=endpoint,
        method=request.method,
        path=request.path,
        query=_masked(request.query),
        form=_masked(request.form),
        headers=_masked([(name, request.headers[name]) for name in _KEPT_HEADERS if name in request.headers]),
    )


def _masked(pairs: list[tuple[str, str]]) -> dict[str, str]:
    return {name: Secret(value) if name in _SECRET_FIELDS else value for name, value in pairs}


Answer = Callable[[Request], Reply]
