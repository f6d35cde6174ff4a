"""The core, written in Rust. Private: import everything from `evergrant`."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final, final

from evergrant._types import AccessToken

__version__: Final[str]

_lifeline: Final[object]
WATCHED: Final[object]
"""What `Call.wait` returns when the watched file descriptor is readable."""

def get_token(
    provider: str,
    *,
    grant_type: str | None = None,
    connection: str = "default",
    resource: str | None = None,
    scopes: Sequence[str] | None = None,
    min_ttl: float | None = None,
    replacing: str | None = None,
    timeout: float | None = 30.0,
) -> AccessToken:
    """A fresh access token, from the default workspace.

    From this process's memory where it is fresh, else from the store, else refreshed: one request for all tasks,
    threads and processes that ask at once. It never opens a browser.

    Args:
        provider: Id or alias of the provider: `google_drive`.
        grant_type: `authorization_code` or `client_credentials`; by default the only configured one.
        connection: Name of the connection.
        resource: What the token is for (RFC 8707); by default the provider's default resource.
        scopes: Scopes the caller needs; none is asked for.
        min_ttl: Seconds the token must last at least; by default 30, at most half its lifetime.
        replacing: A token that the provider's API refused: it is not handed out again.
        timeout: Seconds to wait for the provider; the request goes on when they are over. `None`: as long as it takes.

    Returns:
        The token, a `str`.

    Raises:
        NotConfigured: The provider is not configured.
        AmbiguousGrant: Two grant types are configured and none was named.
        UnknownProvider: No provider of that id.
        NotConnected: A person has to connect first.
        ReauthorizationRequired: The grant no longer works.
        MissingScopes: The grant lacks some of `scopes`.
        InvalidParameter: `min_ttl` is longer than the provider's tokens live, or another argument is wrong.
        ProviderRejected: The provider answered with an error, or with something unusable.
        ProviderUnavailable: The provider cannot be reached or asks to wait, or `timeout` is over.
        StoreError: The store cannot be read or written.
        VaultLocked: No key was found.
        WrongKey: The key does not open the store.

    Example:
        ```python
        token = evergrant.get_token("github")
        requests.get("https://api.github.com/user", headers={"Authorization": f"Bearer {token}"})
        ```
    """

def cached_token(
    provider: str,
    *,
    grant_type: str | None = None,
    connection: str = "default",
    resource: str | None = None,
    scopes: Sequence[str] | None = None,
    min_ttl: float | None = None,
    replacing: str | None = None,
    timeout: float | None = 30.0,
) -> AccessToken | None:
    """The token that `get_token` would return without any input or output, else `None`; `timeout` is ignored."""

def call(verb: str, arguments: Mapping[str, Any]) -> Call:
    """Start a verb on the default workspace."""

def default_workspace() -> Workspace:
    """The workspace that the environment names, opened at first need; one per process."""

def set_default_workspace(workspace: Workspace | None) -> Workspace | None:
    """Make `workspace` the default (`None`: what the environment names) and return the one before."""

def redact_text(text: str) -> str:
    """`text` with every live secret masked, in plain, URL-, base64- and hex-encoded form; the same object if none."""

def has_live() -> bool:
    """Whether this process has handed out or read a secret that `redact_text` would look for."""

def jsonpath(path: str, value: Any) -> Any:
    """What a JSONPath such as `$.items[*].id` finds in a value of JSON's kinds, as the paths of templates do.

    No match is `None`, one match its value, several a list; a path with `[*]` or a filter always gives a list.

    Raises:
        ActionError: It is no path.
    """

def drain(timeout: float | None = None) -> bool:
    """Wait until this process has no unfinished request, at most `timeout` seconds; whether none is left."""

@final
class Handle:
    """A token of the default workspace that is asked for again and again: what `@oauth` calls.

    It opens nothing when it is made and pickles as its arguments. It resolves the default workspace at each call.
    """

    def __new__(
        cls,
        provider: str,
        grant_type: str | None = None,
        connection: str = "default",
        resource: str | None = None,
        scopes: Sequence[str] | None = None,
        min_ttl: float | None = None,
    ) -> Handle: ...
    def __call__(self) -> AccessToken:
        """As `get_token` with these arguments."""

    def cached(self) -> AccessToken | None:
        """As `cached_token` with these arguments."""

    def __reduce__(self) -> tuple[type[Handle], tuple[Any, ...]]: ...

@final
class Call:
    """A verb under way. Dropping it ends the waiting, never a request that was sent."""

    def wait(self, timeout: float | None = None, watch: int | None = None) -> Any:
        """Wait for the outcome, with the GIL released; signals are answered at once.

        Args:
            timeout: Seconds to wait; when they are over the verb's own timeout error is raised.
            watch: A file descriptor that ends the wait when it becomes readable.

        Returns:
            The verb's result, or `WATCHED`.

        Raises:
            EvergrantError: The verb failed.
        """

    def done(self) -> bool:
        """Whether the outcome is there."""

    def result(self) -> Any:
        """The outcome of a call that is done; raises the verb's error."""

    def attach(self, port: Port, number: int) -> bool:
        """Have `number` delivered to `port` when this is done; false, and nothing delivered, if it is done already."""

@final
class Template:
    """An action template, read from its file."""

    @staticmethod
    def load(path: str | PathLike[str]) -> Template:
        """Read a file; `TemplateError` names what is wrong, and where."""

    @staticmethod
    def find(name: str, folders: Sequence[str | PathLike[str]]) -> Template | None:
        """The template of this name in these folders: the first in their order."""

    @staticmethod
    def all(folders: Sequence[str | PathLike[str]]) -> list[Template]:
        """All templates of these folders that can be read, by path."""

    @property
    def name(self) -> str:
        """`namespace.name`: how steps and callers name it."""

    @property
    def title(self) -> str:
        """Its title."""

    @property
    def description(self) -> str:
        """What it does."""

    @property
    def inputs(self) -> dict[str, Any]:
        """Its inputs as JSON Schema."""

    @property
    def needs(self) -> tuple[tuple[str, str, bool], ...]:
        """The tokens that it asks for: provider, grant type, and whether it works without."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that its own steps ask."""

    @property
    def path(self) -> Path | None:
        """Its file."""

    def __reduce__(self) -> tuple[Any, tuple[Path]]: ...

@final
class Run:
    """A run of a template. Dropping it ends it."""

    def __new__(
        cls,
        template: Template,
        inputs: Mapping[str, Any],
        *,
        folders: Sequence[str | PathLike[str]],
        is_registered: Callable[[str], bool],
        workspace: Workspace | None,
        connection: str,
        secrets: Mapping[str, Mapping[str, str]],
        variables: Mapping[str, Any],
        environment: Mapping[str, Any],
        timeout: float | None,
    ) -> Run: ...
    def advance(self, answer: object = None, *, failed: str | None = None) -> Call:
        """Go on, with the answer to what was asked last, or why there is none.

        The call comes to `("done", "", value)`, or to what is asked: `("lambda", source, values)`,
        `("transform", name, arguments)`, `("script", "", arguments)`, `("function", name, inputs)`.
        """

@final
class Port:
    """Where finished calls announce themselves to one event loop. Dropping it closes its file descriptor."""

    def __new__(cls) -> Port: ...
    def fileno(self) -> int:
        """The descriptor that is readable while numbers wait."""

    def take(self) -> list[int]:
        """Numbers of finished calls, at most 64; the descriptor stays readable while more wait."""

@final
class Workspace:
    """A workspace of a store. Those of equal stores share one engine."""

    def __new__(
        cls,
        name: str | None = None,
        store: str | PathLike[str] | None = None,
        key: bytes | str | None = None,
        config: str | PathLike[str] | None = None,
        network: str = "any",
        clock: ManualClock | None = None,
    ) -> Workspace: ...
    @property
    def name(self) -> str:
        """The workspace's name."""

    @property
    def store(self) -> str:
        """Where the store is: a path, `memory:`, or a URL without its password."""

    def get_token(
        self,
        provider: str,
        *,
        grant_type: str | None = None,
        connection: str = "default",
        resource: str | None = None,
        scopes: Sequence[str] | None = None,
        min_ttl: float | None = None,
        replacing: str | None = None,
        timeout: float | None = 30.0,
    ) -> AccessToken:
        """As the module's `get_token`, from this workspace."""

    def cached_token(
        self,
        provider: str,
        *,
        grant_type: str | None = None,
        connection: str = "default",
        resource: str | None = None,
        scopes: Sequence[str] | None = None,
        min_ttl: float | None = None,
        replacing: str | None = None,
        timeout: float | None = 30.0,
    ) -> AccessToken | None:
        """As the module's `cached_token`, from this workspace."""

    def call(self, verb: str, arguments: Mapping[str, Any]) -> Call:
        """Start a verb on this workspace."""

    def close(self) -> None:
        """Let go of the store; later calls fail with `StoreError`. Closing twice is allowed."""

@final
class ManualClock:
    """Clocks for tests: they stand still until moved. Called, it tells the wall clock in UTC milliseconds."""

    def __new__(cls, millis: int) -> ManualClock: ...
    def __call__(self) -> int: ...
    def advance(self, seconds: float) -> None:
        """Time passes: both clocks move on."""

    def jump_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock; the monotonic clock stays."""

def _evaluate(text: str, inputs: str, times: int) -> str:
    """Evaluate a text of a template so many times, for the benchmark; inputs and the result are JSON."""

def _noop(
    provider: str,
    *,
    grant_type: str | None = None,
    connection: str = "default",
    resource: str | None = None,
    scopes: Sequence[str] | None = None,
    min_ttl: float | None = None,
    replacing: str | None = None,
    timeout: float | None = 30.0,
) -> None:
    """Do nothing, with the signature of `get_token`: the floor that benchmarks compare with."""
