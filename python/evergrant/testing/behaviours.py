"""What servers really do, by name: `server.next("503")`, `server.always("grace", seconds=60)`.

A behaviour acts on one kind of request: mostly on those to the token endpoint, else on the `consent` that sends the
person back, or on the protected `api`. What acts *before* the server does either changes how tokens are issued or
answers in the server's place; what acts *after* it changes the reply: the server has committed by then, a refresh
token in the reply is the only one that works.
"""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from evergrant.testing.behaviour import Waiting, behaviour
from evergrant.testing.messages import Refused, Reply
from evergrant.testing.state import Exchange

HUGE = 1 << 21  # bytes: twice of what a client should read
BOMB = 1 << 25  # bytes, from some 32 KiB
HUGE_EXPIRY = 10**20  # seconds
ELSEWHERE = "https://elsewhere.example/token"


# --- how refresh tokens are issued ------------------------------------------------------------------------------------


@behaviour("rotation")
def _rotation(server: Waiting, exchange: Exchange) -> None:
    """A refresh brings a new refresh token; a used one that comes back revokes the whole family (the default)."""
    exchange.rules.rotate, exchange.rules.grace, exchange.rules.until_first_use = True, 0.0, False


@behaviour("no_rotation")
def _no_rotation(server: Waiting, exchange: Exchange) -> None:
    """A refresh brings no refresh token: the old one goes on."""
    exchange.rules.rotate = False


@behaviour("grace")
def _grace(server: Waiting, exchange: Exchange, seconds: float = 60.0) -> None:
    """A used refresh token still works for `seconds`."""
    exchange.rules.rotate, exchange.rules.grace = True, seconds


@behaviour("grace_until_first_use")
def _grace_until_first_use(server: Waiting, exchange: Exchange) -> None:
    """A used refresh token still works until its successor is used."""
    exchange.rules.rotate, exchange.rules.until_first_use = True, True


@behaviour("no_refresh_token")
def _no_refresh_token(server: Waiting, exchange: Exchange) -> None:
    """No refresh token is issued; in a refresh the old one goes on."""
    exchange.rules.refresh_token = exchange.rules.rotate = False


@behaviour("empty_refresh_token", after=True)
def _empty_refresh_token(server: Waiting, exchange: Exchange) -> None:
    """The reply's refresh token is an empty text; with `no_rotation` the old one goes on."""
    _document(exchange)["refresh_token"] = ""


@behaviour("new_refresh_token")
def _new_refresh_token(server: Waiting, exchange: Exchange) -> None:
    """The reply brings another refresh token, even where the server does not rotate."""
    exchange.rules.refresh_token = exchange.rules.rotate = True


@behaviour("narrower_scopes")
def _narrower_scopes(server: Waiting, exchange: Exchange) -> None:
    """The access token has the scopes that were granted, but for the last."""
    exchange.rules.narrower = True


# --- what a reply says of expiry and type -----------------------------------------------------------------------------


@behaviour("no_expires_in", after=True)
def _no_expires_in(server: Waiting, exchange: Exchange) -> None:
    """The reply names no expiry."""
    _document(exchange).pop("expires_in", None)


@behaviour("expires_in_text", after=True)
def _expires_in_text(server: Waiting, exchange: Exchange) -> None:
    """`expires_in` is a number in quotes."""
    document = _document(exchange)
    document["expires_in"] = str(document.get("expires_in", 3600))


@behaviour("expires_in_zero", after=True)
def _expires_in_zero(server: Waiting, exchange: Exchange) -> None:
    """`expires_in` is 0."""
    _document(exchange)["expires_in"] = 0


@behaviour("expires_in_negative", after=True)
def _expires_in_negative(server: Waiting, exchange: Exchange) -> None:
    """`expires_in` is -1."""
    _document(exchange)["expires_in"] = -1


@behaviour("expires_in_huge", after=True)
def _expires_in_huge(server: Waiting, exchange: Exchange) -> None:
    """`expires_in` is 10 to the power of 20."""
    _document(exchange)["expires_in"] = HUGE_EXPIRY


@behaviour("no_token_type", after=True)
def _no_token_type(server: Waiting, exchange: Exchange) -> None:
    """The reply names no `token_type`."""
    _document(exchange).pop("token_type", None)


@behaviour("control_characters", after=True)
def _control_characters(server: Waiting, exchange: Exchange) -> None:
    """The access token holds a line break and an escape."""
    document = _document(exchange)
    token = str(document.get("access_token", ""))
    document["access_token"] = f"{token[:8]}\r\n\x1b[31m{token[8:]}"


# --- errors: the server has not acted ---------------------------------------------------------------------------------


@behaviour("invalid_grant")
def _invalid_grant(server: Waiting, exchange: Exchange) -> None:
    """The grant is refused: 400 `invalid_grant`."""
    raise Refused("invalid_grant", "the grant is over")


@behaviour("invalid_client")
def _invalid_client(server: Waiting, exchange: Exchange) -> None:
    """The client is refused: 401 `invalid_client`."""
    raise Refused("invalid_client", "client authentication failed", 401)


@behaviour("temporarily_unavailable")
def _temporarily_unavailable(server: Waiting, exchange: Exchange) -> None:
    """400 `temporarily_unavailable`."""
    raise Refused("temporarily_unavailable", "try again later")


@behaviour("429")
def _too_many_requests(server: Waiting, exchange: Exchange, retry_after: float | str = 30) -> None:
    """429 with `Retry-After`: seconds, or a date."""
    exchange.reply = _web_page(429, {"retry-after": str(retry_after)})


@behaviour("500")
def _internal_server_error(server: Waiting, exchange: Exchange) -> None:
    """500 with a web page."""
    exchange.reply = _web_page(500)


@behaviour("502")
def _bad_gateway(server: Waiting, exchange: Exchange) -> None:
    """502 with a web page, as a proxy answers."""
    exchange.reply = _web_page(502)


@behaviour("503")
def _service_unavailable(server: Waiting, exchange: Exchange, retry_after: float | str | None = None) -> None:
    """503 with a web page, and `Retry-After` if one is given."""
    exchange.reply = _web_page(503, {} if retry_after is None else {"retry-after": str(retry_after)})


@behaviour("error_with_200")
def _error_with_200(server: Waiting, exchange: Exchange, error: str = "invalid_grant") -> None:
    """An error in a reply of status 200."""
    raise Refused(error, "the grant is over", 200)


@behaviour("secrets_in_error")
def _secrets_in_error(server: Waiting, exchange: Exchange) -> None:
    """400 `invalid_request` whose description repeats all that was sent, the client's secret and token included."""
    sent = {**dict(exchange.request.form), "Authorization": exchange.request.headers.get("authorization", "")}
    raise Refused("invalid_request", " ".join(f"{name}={value}" for name, value in sent.items()))


# --- how a reply travels: the server has acted ------------------------------------------------------------------------


@behaviour("slow", after=True)
def _slow(server: Waiting, exchange: Exchange, seconds: float | None = None) -> None:
    """The reply waits for `seconds`, or until `release()`."""
    server.hold(seconds)


@behaviour("dropped", after=True)
def _dropped(server: Waiting, exchange: Exchange) -> None:
    """The server has committed, and the connection breaks before the reply."""
    _reply(exchange).delivery = "dropped"


@behaviour("cut", after=True)
def _cut(server: Waiting, exchange: Exchange, part: float = 0.5) -> None:
    """The reply breaks off in its body: in the middle, or where `part` says."""
    reply = _reply(exchange)
    reply.delivery, reply.part = "cut", part


@behaviour("dripped", after=True)
def _dripped(server: Waiting, exchange: Exchange) -> None:
    """The reply comes byte by byte."""
    _reply(exchange).delivery = "dripped"


@behaviour("malformed_json", after=True)
def _malformed_json(server: Waiting, exchange: Exchange) -> None:
    """The body is JSON with a comma too many."""
    reply = _reply(exchange)
    reply.body = reply.encoded().replace(b"{", b"{,", 1)


@behaviour("form_encoded", after=True)
def _form_encoded(server: Waiting, exchange: Exchange) -> None:
    """The body is form-encoded."""
    reply = _reply(exchange)
    reply.body = urlencode({name: value for name, value in _document(exchange).items() if value is not None}).encode()
    reply.content_type = "application/x-www-form-urlencoded"


@behaviour("wrong_content_type", after=True)
def _wrong_content_type(server: Waiting, exchange: Exchange) -> None:
    """The body is JSON, and calls itself `text/html`."""
    _reply(exchange).content_type = "text/html; charset=utf-8"


@behaviour("huge_body", after=True)
def _huge_body(server: Waiting, exchange: Exchange, size: int = HUGE) -> None:
    """The body ends with `size` bytes more than anybody should read, 2 MiB."""
    _document(exchange)["padding"] = "x" * size


@behaviour("gzip_bomb", after=True)
def _gzip_bomb(server: Waiting, exchange: Exchange, size: int = BOMB) -> None:
    """The body is compressed, and unpacks to 32 MiB."""
    reply = _reply(exchange)
    reply.body = gzip.compress(json.dumps({**_document(exchange), "padding": "x" * size}).encode(), 9)
    reply.headers["content-encoding"] = "gzip"


@behaviour("redirect")
def _redirect(server: Waiting, exchange: Exchange, location: str = ELSEWHERE) -> None:
    """307 to another host: whoever follows hands it the secret and the token."""
    exchange.reply = Reply(307, headers={"location": location})


# --- the way back of the person ---------------------------------------------------------------------------------------


@behaviour("wrong_state", "consent", after=True)
def _wrong_state(server: Waiting, exchange: Exchange) -> None:
    """The callback brings a `state` that nobody sent."""
    _callback(exchange, state="a-state-that-nobody-sent")


@behaviour("no_state", "consent", after=True)
def _no_state(server: Waiting, exchange: Exchange) -> None:
    """The callback brings no `state`."""
    _callback(exchange, state=None)


@behaviour("wrong_iss", "consent", after=True)
def _wrong_iss(server: Waiting, exchange: Exchange) -> None:
    """The callback brings the `iss` of another server (RFC 9207)."""
    _callback(exchange, iss="https://another-server.example")


# --- how the API says that a token is over ----------------------------------------------------------------------------


@behaviour("expired", "api")
def _expired(server: Waiting, exchange: Exchange, status: int = 401) -> None:
    """The token of this request ends here and is refused with `status`: 401 by the RFC; 403, 404, 400, 200 in life."""
    server.expire(exchange.request.headers.get("authorization", "").partition(" ")[2])
    if status == 401:  # noqa: PLR2004 - RFC 6750 section 3.1: as the server itself answers
        return
    document = {"ok": False, "error": "token_expired"} if status == 200 else {"message": "token expired"}  # noqa: PLR2004
    exchange.record.error = "token_expired"
    exchange.reply = Reply(status, document)


def _reply(exchange: Exchange) -> Reply:
    if exchange.reply is None:
        exchange.reply = Reply(404)
    return exchange.reply


def _document(exchange: Exchange) -> dict[str, Any]:
    reply = _reply(exchange)
    if reply.document is None:
        reply.document = {}
    return reply.document


def _web_page(status: int, headers: dict[str, str] | None = None) -> Reply:
    html = b"<!doctype html><title>Something went wrong</title>"
    return Reply(status, body=html, content_type="text/html; charset=utf-8", headers=dict(headers or {}))


def _callback(exchange: Exchange, **changes: str | None) -> None:
    reply = _reply(exchange)
    parts = urlsplit(reply.headers.get("location", ""))
    query = {**dict(parse_qsl(parts.query)), **changes}
    kept = {name: value for name, value in query.items() if value is not None}
    reply.headers["location"] = urlunsplit(parts._replace(query=urlencode(kept)))
