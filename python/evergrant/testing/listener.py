"""The sockets of the test kit's server: one thread accepts, one serves each connection, none outlives `stop`."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

from evergrant.testing.messages import Answer, Reply, Request

_SECONDS_TO_READ = 30.0
_BODY_LIMIT = 1 << 20
_BACKLOG = 128


class Listener:
    """Listens on loopback and lets `answer` answer, one request a connection.

    Args:
        answer: Makes the reply to a request.
        host: Where it listens: a name or an address of this machine's loopback interface.
        port: The port; 0 is any free one.
        tls: The server's certificate, where it speaks TLS.
    """

    def __init__(self, answer: Answer, *, host: str, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self._tls = tls
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._serving: dict[threading.Thread, socket.socket] = {}
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._socket = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="evergrant-testing", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Close every socket, and wait until every thread has ended."""
        self._stopping.set()
        # Closing a socket does not wake whoever accepts on it everywhere: a connection does.
        with suppress(OSError), socket.create_connection(self._socket.getsockname()[:2], timeout=1):
            pass
        self._accepting.join()
        self._socket.close()
        with self._lock:
            serving = dict(self._serving)
        for thread, connection in serving.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        self._stopping.wait(seconds)

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            if self._stopping.is_set():
                connection.close()
                return
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="evergrant-testing-request", daemon=True
            )
            with self._lock:
                self._serving[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(_SECONDS_TO_READ)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._serving[threading.current_thread()] = connection
            _Handler(connection, self)
        except OSError:
            # The other side is gone, or we are stopping: nobody is left to be told.
            return
        finally:
            connection.close()
            with self._lock:
                self._serving.pop(threading.current_thread(), None)


class _Handler(BaseHTTPRequestHandler):
    """One request of one connection."""

    def __init__(self, connection: socket.socket, listener: Listener) -> None:
        self._listener = listener
        super().__init__(connection, connection.getpeername(), listener)  # type: ignore[arg-type]

    def handle(self) -> None:
        """Read one request, answer it, and close."""
        self.raw_requestline = self.rfile.readline(65537)
        self.close_connection = True
        if not self.raw_requestline or not self.parse_request():
            return
        try:
            length = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            length = -1
        if not 0 <= length <= _BODY_LIMIT or "Transfer-Encoding" in self.headers:
            self._deliver(Reply(411))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        self._deliver(self._listener.answer(request))

    def _deliver(self, reply: Reply) -> None:
        if reply.delivery == "dropped":
            return
        body = reply.encoded()
        described = {"content-type": reply.content_type} if body else {}
        headers = {
            "date": self.date_time_string(),
            "connection": "close",
            "content-length": str(len(body)),
            **described,
            **reply.headers,
        }
        phrase = http.client.responses.get(reply.status, "")
        lines = [f"HTTP/1.1 {reply.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        head = "\r\n".join(lines).encode("latin-1")
        if reply.delivery == "cut":
            self.wfile.write(head + body[: int(len(body) * reply.part)])
        elif reply.delivery == "dripped":
            for byte in head + body:
                self.wfile.write(bytes((byte,)))
                self._listener.wait(0.001)
        else:
            self.wfile.write(head + (b"" if self.command == "HEAD" else body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Log nothing: URLs hold codes. What came is in `Server.requests`."""
