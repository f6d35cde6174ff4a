"""A small stand-in for the Rust core, for tests of the Python around it: it answers what a test tells it to."""

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import pytest

__version__ = "0.0.0"

WATCHED = object()

_REQUEST = ("provider", "grant_type", "connection", "resource", "scopes", "min_ttl", "replacing", "timeout")


class FakeCore(ModuleType):
    """What a test sees of the core: `calls` that were made, `answers` to give, `tokens` in the cache."""

    def __init__(self) -> None:
        super().__init__("evergrant._core")
        self.__version__ = __version__
        self.WATCHED = WATCHED
        self.Call = Call
        self.Port = Port
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.token: Any = None
        self.is_cached = True
        self.secrets: list[str] = []
        self.workspace = FakeWorkspace(self, "default", "/fake/store.db")
        self.opened: list[tuple[Any, ...]] = []
        # One object, however often it is looked up, as of a real module.
        self.get_token = self.get_token

    # The core's functions

    def get_token(self, provider: str, **request: Any) -> Any:
        return self.call("get_token", {"provider": provider, **request}).wait()

    def cached_token(self, provider: str, **request: Any) -> Any:
        self.calls.append(("cached_token", {"provider": provider, **request}))
        return self.token if self.is_cached else None

    def call(self, verb: str, arguments: Mapping[str, Any]) -> "Call":
        self.calls.append((verb, dict(arguments)))
        answer = self.answers.get(verb, self.token if verb == "get_token" else {})
        if isinstance(answer, Call):
            return answer
        if callable(answer) and not isinstance(answer, BaseException):
            answer = answer(arguments)
        return Call(answer)

    def Handle(self, *request: Any) -> "Handle":  # noqa: N802 - the core's name
        return Handle(*request)

    def Workspace(self, *arguments: Any) -> "FakeWorkspace":  # noqa: N802 - the core's name
        self.opened.append(arguments)
        name, store = (*arguments, None, None)[:2]
        return FakeWorkspace(self, name or "default", str(store or "/fake/store.db"))

    def default_workspace(self) -> "FakeWorkspace":
        return self.workspace

    def redact_text(self, text: str) -> str:
        for secret in self.secrets:
            if secret in text:
                text = text.replace(secret, "[redacted]")
        return text

    def has_live(self) -> bool:
        return bool(self.secrets)

    def drain(self, timeout: float | None = None) -> bool:
        self.calls.append(("drain", {"timeout": timeout}))
        return True

    # What tests ask

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.calls]

    def last(self, verb: str) -> dict[str, Any]:
        return [arguments for name, arguments in self.calls if name == verb][-1]


class FakeWorkspace:
    """A workspace of the fake core."""

    def __init__(self, core: FakeCore, name: str, store: str) -> None:
        self.core = core
        self.name = name
        self.store = store
        self.closed = False

    def get_token(self, provider: str, **request: Any) -> Any:
        return self.call("get_token", {"provider": provider, **request}).wait()

    def cached_token(self, provider: str, **request: Any) -> Any:
        return self.core.cached_token(provider, workspace=self.name, **request)

    def call(self, verb: str, arguments: Mapping[str, Any]) -> "Call":
        return self.core.call(verb, {**arguments, "workspace": self.name})

    def close(self) -> None:
        self.closed = True


class Handle:
    """A token source of the fake core that is in use, found when it is called: it pickles as its arguments."""

    def __init__(self, *request: Any) -> None:
        self.request = request

    def __call__(self) -> Any:
        return _core_in_use().get_token(**dict(zip(_REQUEST, self.request, strict=False)))

    def cached(self) -> Any:
        return _core_in_use().cached_token(**dict(zip(_REQUEST, self.request, strict=False)))


class Call:
    """A call whose outcome is known, or becomes known when a test says so."""

    def __init__(self, outcome: Any = None, *, pending: bool = False) -> None:
        self._outcome = outcome
        self._finished = threading.Event()
        self._lock = threading.Lock()
        self._attached: list[tuple[Port, int]] = []
        self.watches: list[int | None] = []
        if not pending:
            self._finished.set()

    def finish(self, outcome: Any = None) -> None:
        with self._lock:
            self._outcome = outcome
            self._finished.set()
            attached, self._attached = self._attached, []
        for port, number in attached:
            port.deliver(number)

    def wait(self, timeout: float | None = None, watch: int | None = None) -> Any:
        self.watches.append(watch)
        if watch is not None and not self._finished.is_set():
            return WATCHED
        assert self._finished.wait(timeout or 10)
        return self.result()

    def done(self) -> bool:
        return self._finished.is_set()

    def result(self) -> Any:
        assert self._finished.is_set()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def attach(self, port: "Port", number: int) -> bool:
        with self._lock:
            if self._finished.is_set():
                return False
            self._attached.append((port, number))
            return True


class Port:
    """The core's port, with a pipe: closed with its last reference, after which deliveries are dropped."""

    open = 0

    def __init__(self) -> None:
        self._queue: list[int] = []
        self._lock = threading.Lock()
        self._read, self._write = os.pipe()
        Port.open += 1

    def fileno(self) -> int:
        return self._read

    def deliver(self, number: int) -> None:
        with self._lock:
            if not self._queue and self._write >= 0:
                os.write(self._write, b"1")
            self._queue.append(number)

    def take(self) -> list[int]:
        with self._lock:
            taken, self._queue = self._queue[:64], self._queue[64:]
            if taken and not self._queue:
                os.read(self._read, 1)
            return taken

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self._write)
        Port.open -= 1


def install() -> None:
    """Let `import evergrant` work where the core is not built."""
    try:
        import evergrant._core  # noqa: F401
    except ImportError:
        sys.modules["evergrant._core"] = FakeCore()


_in_use: list[FakeCore] = []


def _core_in_use() -> FakeCore:
    return _in_use[-1]


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCore]:
    """A fake core that all of evergrant uses for the length of a test."""
    from evergrant import _api, _bridge, _redact, _sign_in, _token_source, _types, aio

    fake = FakeCore()
    fake.token = _types.AccessToken("token-of-the-fake-core", provider="github")
    for module in (_api, _bridge, _sign_in, _token_source, aio):
        monkeypatch.setattr(module, "_core", fake)
    import evergrant

    monkeypatch.setattr(evergrant, "_core", fake, raising=False)
    monkeypatch.setattr(_redact, "has_live", fake.has_live)
    monkeypatch.setattr(_redact, "redact_text", fake.redact_text)
    _in_use.append(fake)
    yield fake
    _in_use.remove(fake)
