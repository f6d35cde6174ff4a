"""Fresh OAuth 2.0 access tokens for Python functions, from an encrypted local store.

```python
import evergrant
from evergrant import AccessToken, injected, oauth

@oauth("google_drive")
def files(folder: str, *, token: AccessToken = injected) -> list[str]: ...
```

The verbs of this module act on the default workspace; `Workspace` has the same ones as methods, `evergrant.aio` as
coroutines, and the command line as commands.
"""

from evergrant._core import __version__, get_token

# Where each name lives. Nothing of it is loaded before it is asked for, so that importing costs next to nothing.
_HOMES = {
    "_api": (
        "Workspace",
        "apply",
        "begin_connect",
        "check_provider",
        "complete_connect",
        "configure",
        "connect",
        "connections",
        "disconnect",
        "drain",
        "import_refresh_token",
        "integrations",
        "provider",
        "providers",
        "redact",
        "refresh",
        "remove",
        "status",
        "test",
    ),
    "_decorator": ("injected", "oauth"),
    "actions._udf": ("action",),
    "_types": ("AccessToken", "PendingConnection", "Problem", "Provider", "Report", "Status", "Step"),
    "exceptions": (
        "ActionError",
        "AmbiguousGrant",
        "ConnectDenied",
        "ConnectFailed",
        "ConnectTimeout",
        "EvergrantError",
        "InvalidParameter",
        "InvalidScope",
        "MissingScopes",
        "NotConfigured",
        "NotConnected",
        "ProviderRejected",
        "ProviderUnavailable",
        "ReauthorizationRequired",
        "StoreError",
        "TemplateError",
        "UnknownProvider",
        "VaultLocked",
        "WrongKey",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("actions", "aio", "exceptions")

__all__ = ["__version__", "get_token", *_MODULES, *_HOME_OF]  # noqa: PLE0604 - they are strings, written once


def __getattr__(name: "str") -> "object":
    """Load what is asked for the first time, and keep it."""
    home = _HOME_OF.get(name)
    if home is None and name not in _MODULES:
        message = f"module 'evergrant' has no attribute {name!r}"
        raise AttributeError(message)
    # `importlib` is not loaded yet; with a list of names `__import__` returns the submodule itself.
    module = __import__(f"evergrant.{home or name}", fromlist=[name])
    value = module if home is None else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted({*globals(), *__all__})
