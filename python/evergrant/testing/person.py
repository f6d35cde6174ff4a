"""A person at a browser, scripted: reads the consent page and presses a button."""

from __future__ import annotations

import ssl
from html.parser import HTMLParser
from http.client import HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

SECONDS = 30.0
REDIRECTS_AT_MOST = 10


class Refusal(RuntimeError):
    """The server showed an error page instead of asking for consent."""


class Person:
    """A person who signs in to the test kit's server.

    Args:
        login: The name they sign in with: the subject of their grants.
        tls: What their browser trusts, where the server speaks TLS.
    """

    def __init__(self, login: str = "ada", *, tls: ssl.SSLContext | None = None) -> None:
        self.login = login
        handlers = [ProxyHandler({}), _NoRedirects(), *([HTTPSHandler(context=tls)] if tls else [])]
        self._open = build_opener(*handlers).open

    def consent(self, authorization_url: str) -> str:
        """Sign in and press Allow; returns the callback URL, not yet visited."""
        return self._decide(authorization_url, "allow")

    def deny(self, authorization_url: str) -> str:
        """Press Deny; returns the callback URL, not yet visited."""
        return self._decide(authorization_url, "deny")

    def visit(self, url: str) -> tuple[int, str]:
        """Visit a URL and follow where it leads; returns status and page."""
        for _ in range(REDIRECTS_AT_MOST):
            status, location, page = self._fetch(Request(url))
            if location is None:
                return status, page
            url = urljoin(url, location)
        raise Refusal(f"no page after {REDIRECTS_AT_MOST} redirects")

    def connect(self, authorization_url: str) -> tuple[int, str]:
        """Consent and go back to the client: what `connect(open_browser=)` calls."""
        return self.visit(self.consent(authorization_url))

    def approve(self, verification_uri: str, user_code: str, *, decision: str = "allow") -> tuple[int, str]:
        """Enter the code of a device, and press Allow or Deny."""
        fields = {"user_code": user_code, "login": self.login, "decision": decision}
        status, _, page = self._fetch(Request(verification_uri, data=urlencode(fields).encode(), method="POST"))
        return status, page

    def _decide(self, authorization_url: str, decision: str) -> str:
        status, location, page = self._fetch(Request(authorization_url))
        if location is not None:
            # The server tells the client of an error without asking anybody.
            return location
        form = _Form.of(page)
        if not form.action:
            raise Refusal(f"the authorization server answered {status}: {form.text.strip()[:300]}")
        fields = {**form.fields, "login": self.login, "decision": decision}
        status, location, page = self._fetch(Request(form.action, data=urlencode(fields).encode(), method="POST"))
        if location is None:
            raise Refusal(f"the authorization server answered {status}: {_Form.of(page).text.strip()[:300]}")
        return location

    def _fetch(self, request: Request) -> tuple[int, str | None, str]:
        try:
            with self._open(request, timeout=SECONDS) as response:
                return response.status, response.headers["Location"], response.read().decode()
        except HTTPError as refused:
            with refused:
                return refused.code, refused.headers["Location"], refused.read().decode()


class _Form(HTMLParser):
    """The form of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.action = self.text = ""
        self.fields: dict[str, str] = {}

    @classmethod
    def of(cls, page: str) -> _Form:
        form = cls()
        form.feed(page)
        return form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = attributes.get("action", "")
        elif tag == "input" and "name" in attributes:
            self.fields[attributes["name"]] = attributes.get("value", "")

    def handle_data(self, data: str) -> None:
        self.text += data + " "


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Any:
        return None
