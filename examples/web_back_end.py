"""A web application whose users connect their own accounts: one connection for each user.

Usage: web_back_end.py PROVIDER PORT. Register http://127.0.0.1:PORT/oauth/callback with the provider.
"""

import secrets
import sys
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import evergrant

PROVIDER, PORT = sys.argv[1], int(sys.argv[2])
ORIGIN = f"http://127.0.0.1:{PORT}"
SESSIONS: set[str] = set()  # an application of yours has these already


class Application(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        session = self.session()
        if self.path == "/connect":
            # `session` keeps one user's consent out of another's connection; `connection` is the id of your user.
            callback = f"{ORIGIN}/oauth/callback"
            pending = evergrant.begin_connect(PROVIDER, redirect_uri=callback, session=session, connection=session)
            self.answer(302, session=session, location=pending.authorization_url)
        elif self.path.startswith("/oauth/callback?"):
            try:
                status = evergrant.complete_connect(ORIGIN + self.path, session=session)
                self.answer(200, f"Connected as {status.account}.", session=session)
            except evergrant.ConnectFailed as error:
                self.answer(400, error.reason, session=session)
        else:
            self.answer(200, "Go to /connect.", session=session)

    def session(self) -> str:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        if cookie and cookie.value in SESSIONS:
            return cookie.value
        SESSIONS.add(session := secrets.token_urlsafe(16))
        return session

    def answer(self, status: int, text: str = "", *, session: str, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Referrer-Policy", "no-referrer")  # the address may hold a code
        self.send_header("Set-Cookie", f"session={session}; HttpOnly; SameSite=Lax; Path=/")
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing: the callback's address holds a code and a state."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Application)
    print(f"listening at {ORIGIN}", flush=True)
    server.serve_forever()
