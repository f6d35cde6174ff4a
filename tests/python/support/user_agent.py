"""A person at a browser, scripted: follows the authorization URL, signs in, consents or denies."""

from __future__ import annotations

from html.parser import HTMLParser
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, ProxyHandler, Request, build_opener

PAGES_AT_MOST = 20


class AuthorizationRefused(RuntimeError):
    """The authorization server showed an error page instead of sending the browser back."""


class UserAgent:
    """One browser: its cookies live as long as it does, so a new one is a new person."""

    def __init__(self, login: str = "ada") -> None:
        """A browser of the person who signs in as `login`."""
        self.login = login
        self._open = build_opener(ProxyHandler({}), HTTPCookieProcessor(CookieJar()), _NoRedirects()).open

    def consent(self, authorization_url: str, *, redirect_uri: str | None = None) -> str:
        """Signs in and agrees to everything asked; returns the callback URL, not yet delivered."""
        return self._follow(authorization_url, agree=True, redirect_uri=redirect_uri)

    def deny(self, authorization_url: str) -> str:
        """Says no; returns the callback URL, not yet delivered."""
        return self._follow(authorization_url, agree=False)

    def deliver(self, callback_url: str) -> tuple[int, str]:
        """Follows the redirect to the client, and on from there; returns the status and the page it ends at."""
        url = callback_url
        for _ in range(PAGES_AT_MOST):
            status, location, page = self._request(Request(url))
            if location is None:
                return status, page
            url = urljoin(url, location)
        raise AuthorizationRefused(f"no page after {PAGES_AT_MOST} redirects")

    def connect(self, authorization_url: str) -> tuple[int, str]:
        """Consents and follows the redirect: what `connect(open_browser=)` calls."""
        return self.deliver(self.consent(authorization_url))

    def enter(self, verification_uri_complete: str) -> str:
        """Follows the link with a device's code in it, signs in and agrees; returns the last page's text."""
        request = Request(verification_uri_complete)
        for _ in range(PAGES_AT_MOST):
            status, location, page = self._request(request)
            form = _Form.of(page)
            if location is not None:
                request = Request(urljoin(request.full_url, location))
            elif status == 200 and form.action:
                request = self._answer(form, request.full_url, agree=True)
            else:
                return form.text
        raise AuthorizationRefused(f"no end after {PAGES_AT_MOST} pages")

    def redirected(self, url: str) -> str:
        """Where a page of the client sends the browser: its link to the authorization server."""
        status, location, _ = self._request(Request(url))
        assert location is not None, status
        return location

    def _follow(self, authorization_url: str, *, agree: bool, redirect_uri: str | None = None) -> str:
        callback = redirect_uri or parse_qs(urlsplit(authorization_url).query)["redirect_uri"][0]
        request = Request(authorization_url)
        for _ in range(PAGES_AT_MOST):
            status, location, page = self._request(request)
            if location is not None:
                target = urljoin(request.full_url, location)
                if target.startswith(callback):
                    return target
                request = Request(target)
            elif status == 200:
                request = self._answer(_Form.of(page), request.full_url, agree=agree)
            else:
                raise AuthorizationRefused(f"the authorization server answered {status}: {_Form.of(page).text[:300]}")
        raise AuthorizationRefused(f"no callback after {PAGES_AT_MOST} pages")

    def _answer(self, form: _Form, url: str, *, agree: bool) -> Request:
        if not agree:
            return Request(urljoin(url, form.cancel))
        fields = {**form.fields}
        if "login" in fields:
            fields |= {"login": self.login, "password": "unimportant"}
        return Request(urljoin(url, form.action), data=urlencode(fields).encode(), method="POST")

    def _request(self, request: Request) -> tuple[int, str | None, str]:
        try:
            with self._open(request, timeout=30) as response:
                return response.status, response.headers["Location"], response.read().decode()
        except HTTPError as refused:
            with refused:
                return refused.code, refused.headers["Location"], refused.read().decode()


class _Form(HTMLParser):
    """The form of a page, its Cancel link, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.action = self.cancel = self.text = ""
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
        elif tag == "a" and attributes.get("href", "").endswith("/abort"):
            self.cancel = attributes["href"]

    def handle_data(self, data: str) -> None:
        self.text += " ".join(data.split()) + " "


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Any:
        return None
