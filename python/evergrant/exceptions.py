"""Every error of evergrant, named by what the caller can do about it.

```text
EvergrantError
├── NotConfigured                       configure the provider
├── AmbiguousGrant                      name a grant type
├── UnknownProvider (LookupError)       correct the id, or describe the provider
├── InvalidParameter (ValueError)       correct the argument
├── InvalidScope (ValueError)           correct the scope
├── NotConnected                        a person has to connect
│   └── ReauthorizationRequired         a person has to connect again
├── MissingScopes                       a person has to consent to more
├── ConnectFailed                       start the sign-in again
│   ├── ConnectDenied                   the person, or the provider for them, said no
│   └── ConnectTimeout (TimeoutError)   nobody finished the sign-in in time
├── ProviderRejected                    read the provider's own words
├── ProviderUnavailable (ConnectionError)   try again later
├── StoreError (OSError)                look at the disk, or at the database
├── VaultLocked                         give the key
├── WrongKey (ValueError)               give the right key
└── ActionError                         correct the action, or its inputs
    └── TemplateError (ValueError)      correct the template
```

`str(error)` is the reason and, below it, the hint. No error holds a secret or a response body.
"""

__all__ = [
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
]


class EvergrantError(Exception):
    """What went wrong and what to do next.

    Attributes:
        code: Stable, lower_snake name of this very case.
        provider: Id of the provider concerned.
        connection: Name of the connection concerned.
        reason: What happened, in one sentence, in the provider's terms where it was the provider.
        hint: The next command, ready to paste; several stand one per line.
    """

    code: "str"
    provider: "str | None"
    connection: "str | None"
    reason: "str"
    hint: "str | None"

    def __init__(
        self,
        reason: "str" = "",
        *,
        code: "str" = "",
        provider: "str | None" = None,
        connection: "str | None" = None,
        hint: "str | None" = None,
        **extra: "object",
    ) -> None:
        """Keep the reason, the rest by name; `extra` are the attributes that the class itself declares."""
        # The reason alone is the argument: unpickling calls the class with it and restores the rest from `__dict__`.
        super().__init__(reason)
        self.reason = reason
        self.code = code or _snake(type(self).__name__)
        self.provider = provider
        self.connection = connection
        self.hint = hint
        for name, value in extra.items():
            if not hasattr(type(self), name):
                message = f"{type(self).__name__}() got an unexpected keyword argument {name!r}"
                raise TypeError(message)
            setattr(self, name, tuple(value) if isinstance(value, list) else value)

    def __str__(self) -> "str":
        """The reason and, below it, the hint."""
        return f"{self.reason}\n{self.hint}" if self.hint else self.reason


class NotConfigured(EvergrantError):
    """The integration is not configured in this workspace."""


class AmbiguousGrant(EvergrantError):
    """Two grant types of the provider are configured and none was named."""


class UnknownProvider(EvergrantError, LookupError):
    """No provider of that id is in the catalogue or configured."""


class InvalidParameter(EvergrantError, ValueError):
    """An argument is wrong."""


class InvalidScope(EvergrantError, ValueError):
    """A scope is not one of the provider's.

    Attributes:
        scope: The scope as the caller wrote it.
        patterns: What the provider allows: regular expressions, some with an example.
        nearest: The nearest valid scope, where one is near.
    """

    scope: "str" = ""
    patterns: "tuple[str, ...]" = ()
    nearest: "str | None" = None


class NotConnected(EvergrantError):
    """The connection holds no grant: a person has to connect it."""


class ReauthorizationRequired(NotConnected):
    """The grant no longer works: a person has to connect again.

    Attributes:
        error: The OAuth error code (RFC 6749 section 5.2), where there was one.
        description: The provider's own words, cleaned and masked.
    """

    error: "str | None" = None
    description: "str | None" = None


class MissingScopes(EvergrantError):
    """The grant lacks scopes that the caller needs.

    Attributes:
        missing: Needed and not granted.
        union: Granted and needed together: what to connect with.
    """

    missing: "tuple[str, ...]" = ()
    union: "tuple[str, ...]" = ()


class ConnectFailed(EvergrantError):
    """A sign-in could not be finished: wrong state, other session, port taken, wrong issuer."""


class ConnectDenied(ConnectFailed):
    """The person, or the provider for them, said no."""


class ConnectTimeout(ConnectFailed, TimeoutError):
    """Nobody finished the sign-in in time."""


class ProviderRejected(EvergrantError):
    """The provider answered with an error, or with something unusable.

    Attributes:
        error: The OAuth error code (RFC 6749 section 5.2), where there was one.
        description: The provider's own words, cleaned and masked.
    """

    error: "str | None" = None
    description: "str | None" = None


class ProviderUnavailable(EvergrantError, ConnectionError):
    """The provider could not be reached, or asks to wait.

    Attributes:
        retry_after: Seconds to wait before the next try, where known.
    """

    retry_after: "float | None" = None


class StoreError(EvergrantError, OSError):
    """The store could not be read or written."""


class VaultLocked(EvergrantError):
    """No key was found for a store that holds records."""


class WrongKey(EvergrantError, ValueError):
    """The key is malformed, readable by others, or another store's."""


class ActionError(EvergrantError):
    """An action could not be run."""


class TemplateError(ActionError, ValueError):
    """An action template is wrong.

    Attributes:
        path: The template's file.
        line: Line of the mistake, from 1.
        column: Column of the mistake, from 1.
    """

    path: "str | None" = None
    line: "int | None" = None
    column: "int | None" = None


def _snake(name: "str") -> "str":
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


# Users see `evergrant.NotConnected`, wherever the class is written.
for _kind in [kind for kind in globals().values() if isinstance(kind, type)]:
    _kind.__module__ = "evergrant"
