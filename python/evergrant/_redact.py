"""Masks the live secrets of this process in what leaves it: return values, exceptions and log records.

Imports nothing that a bare interpreter has not loaded; `logging` is wrapped when it is there, or as soon as it is.
"""

import sys

from ._core import has_live, redact_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from logging import Logger, LogRecord
    from types import ModuleType
    from typing import Any, TypeVar

    T = TypeVar("T")
    U = TypeVar("U")

MASK = "[redacted]"

_PLAIN = frozenset({type(None), bool, int, float, complex})
_CONTAINERS = (dict, list, tuple, set, frozenset)

# Below this many levels a part with a secret in it is masked whole: the interpreter's stack is no deeper than that.
_DEEPEST = 100

# What exceptions of the interpreter show beside `args`: OSError, SystemExit, StopIteration, ImportError, SyntaxError.
_SHOWN_ATTRIBUTES = ("strerror", "filename", "filename2", "code", "value", "msg", "text")


def redact(value: "T") -> "T":
    """Return `value` with every live secret in it masked; the very same object when there is none.

    Looks into `str`, `bytes`, `bytearray`, `dict` (keys too), `list`, `tuple`, `set`, `frozenset` and exceptions
    with their chains, and into subclasses of these. Where something is masked, the container becomes a new one of its
    built-in kind (a named tuple and the dictionaries of `collections` keep theirs), and an exception a copy.
    Objects of other classes, dataclasses included, are left alone.
    """
    kind = type(value)
    if kind is str:
        # Most results of decorated functions are texts: as little as can be stands between.
        try:
            return redact_text(value)  # type: ignore[arg-type, return-value]
        except UnicodeEncodeError:
            return _text(value)  # type: ignore[arg-type, return-value]
    if kind in _PLAIN or not has_live() or not _found(value):
        return value
    try:
        return _Masking().mask(value)  # type: ignore[no-any-return]
    except RecursionError:
        return MASK  # type: ignore[return-value]


def redact_exception(error: "BaseException") -> "BaseException":
    """Mask the live secrets in `error` and in its causes, contexts, notes and members; return what to raise on.

    That is `error` itself, masked in place, so that its class, identity and traceback stay. Only where the interpreter
    keeps a secret read-only (the message of an `ExceptionGroup`) it is a masked copy.
    """
    if not has_live() or not _found(error):
        return error
    seen: dict[int, BaseException] = {}
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen[id(one)] = one
            _mask_in_place(one)
            pending += (one.__cause__, one.__context__, *_members(one))
    return redact(error)


def install_log_redaction(setting: "str | None" = None) -> None:
    """Mask live secrets in every record that a `logging.Logger` handles from now on; again has no effect.

    `setting` is the value of `EVERGRANT_LOG_REDACTION`: `0` leaves logging alone. Masked are the message with its
    arguments, `extra` values, `exc_info` (the record gets a copy of the exception) and `stack_info`, before any filter
    or handler sees them. If `logging` is not imported yet, it is wrapped when it is: this imports nothing.
    """
    if setting == "0":
        return
    _log.active = True
    logging = sys.modules.get("logging")
    if logging is not None and hasattr(logging, "Logger"):
        if _log.finder is not None:
            _log.finder.leave()
        _wrap(logging)
    elif _log.finder is None:
        _log.finder = _LoggingFinder()
        sys.meta_path.insert(0, _log.finder)


def is_redacting_logs() -> "bool":
    """Whether log records are masked now."""
    return _log.active


def uninstall_log_redaction() -> None:
    """Give `logging` its own method back (for tests); the next token that is handed out masks records again."""
    _log.active = False
    if _log.finder is not None:
        _log.finder.leave()
    # Whoever wrapped ours meanwhile still calls it: then it stays, and passes records on as they are.
    if _log.wrapped and sys.modules["logging"].Logger.handle is _handle:
        sys.modules["logging"].Logger.handle = _log.handle
        _log.wrapped = False


# --- values -----------------------------------------------------------------------------------------------------------


def _found(value: "Any") -> bool:
    """Whether a live secret is anywhere in `value`. Neither depth nor cycles matter."""
    pending: list[Any] = [value]
    seen: dict[int, object] = {}  # keeps what it names alive, so that no id comes twice
    while pending:
        value = pending.pop()
        kind = type(value)  # never isinstance(): a mock says that it is of another class
        if issubclass(kind, str):
            text = value if kind is str else str.__str__(value)
            try:
                masked = redact_text(text)
            except UnicodeEncodeError:
                masked = _text(text)
            if masked is not text:
                return True
        elif kind in _PLAIN or id(value) in seen:
            continue
        elif issubclass(kind, (bytes, bytearray)):
            if _bytes(value) is not value:
                return True
        elif issubclass(kind, dict):
            seen[id(value)] = value
            pending += dict.keys(value)
            pending += dict.values(value)
        elif issubclass(kind, _CONTAINERS):
            seen[id(value)] = value
            pending += value
        elif issubclass(kind, BaseException):
            seen[id(value)] = value
            pending += _parts(value)
    return False


class _Masking:
    """One walk that copies what holds a secret, so that two places that share a part share its copy."""

    __slots__ = ("copies", "depth")

    def __init__(self) -> None:
        # By id: what was copied (kept alive, so that no id comes twice), and its copy.
        self.copies: dict[int, tuple[object, Any]] = {}
        self.depth = 0

    def mask(self, value: "Any") -> "Any":
        kind = type(value)
        if issubclass(kind, str):
            text = str.__str__(value)
            masked = _text(text)
            return value if masked is text else masked
        if issubclass(kind, (bytes, bytearray)):
            return _bytes(value)
        if not issubclass(kind, (*_CONTAINERS, BaseException)):
            return value
        if id(value) in self.copies:
            return self.copies[id(value)][1]
        if not _found(value):
            return value
        if self.depth == _DEEPEST:
            return MASK
        self.depth += 1
        try:
            return self.exception(value) if issubclass(kind, BaseException) else self.container(value)
        finally:
            self.depth -= 1

    def keep(self, value: object, copy: "U") -> "U":
        self.copies[id(value)] = value, copy
        return copy

    def container(self, value: "Any") -> "Any":
        if isinstance(value, dict):
            pairs = self.keep(value, _empty_like(value))
            for key, item in dict.items(value):
                pairs[self.mask(key)] = self.mask(item)
            return pairs
        if isinstance(value, list):
            items: list[Any] = self.keep(value, [])
            items.extend(self.mask(item) for item in value)
            return items
        parts = [self.mask(item) for item in value]
        if isinstance(value, (set, frozenset)):
            return (set if isinstance(value, set) else frozenset)(parts)
        return getattr(type(value), "_make", tuple)(parts)

    def exception(self, error: "BaseException") -> "BaseException":
        """Return a copy of `error` and of those behind it, made without calling its constructor."""
        kind = type(error)
        shown = _text(_shown(error))
        copy = self.remade(error, lambda: kind)
        if copy is None or _shown(copy) != shown:
            copy = self.remade(error, lambda: _reading_as(shown, kind))
        if copy is None:
            copy = self.keep(error, _reading_as(shown, Exception, kind)())
        copy.__cause__ = self.behind(error.__cause__)
        copy.__context__ = self.behind(error.__context__)
        # Last: a cause, even none, hides the context.
        copy.__suppress_context__ = error.__suppress_context__
        return copy.with_traceback(error.__traceback__)

    def remade(self, error: "BaseException", kind: "Callable[[], Any]") -> "BaseException | None":
        try:
            copy: BaseException = type(error).__new__(kind(), *self.mask(error.args))
            self.keep(error, copy)
            self.details(error, copy)
        except RecursionError:
            raise
        except Exception:
            return None  # its class wants other arguments, or allows no subclass
        return copy

    def behind(self, error: "BaseException | None") -> "BaseException | None":
        masked = self.mask(error)
        return masked if isinstance(masked, BaseException) else None

    def details(self, error: "BaseException", target: "BaseException") -> None:
        """Give `target`, which may be `error` itself, what `error` holds: arguments, attributes, notes."""
        for name in ("args", *_SHOWN_ATTRIBUTES, *getattr(error, "__dict__", ())):
            masked = self.mask(_attribute(error, name))
            # An OSError reads differently once a name of None was set.
            if masked is not _attribute(target, name):
                try:
                    setattr(target, name, masked)
                except Exception:
                    pass  # read-only


def _empty_like(value: "dict[Any, Any]") -> "dict[Any, Any]":
    if type(value) is dict:
        return {}
    try:
        copy = value.copy()
        copy.clear()
    except Exception:
        return {}
    return copy if isinstance(copy, dict) and copy is not value else {}


def _text(text: str) -> str:
    try:
        return redact_text(text)
    except UnicodeEncodeError:
        # Lone surrogates have no UTF-8; a secret has none, so each may stand for its three bytes meanwhile.
        whole = text.encode("utf-8", "surrogatepass").decode("latin-1")
        masked = redact_text(whole)
        return text if masked is whole else masked.encode("latin-1").decode("utf-8", "surrogatepass")


def _bytes(value: "bytes | bytearray") -> "bytes | bytearray":
    try:
        encoding, text = "utf-8", value.decode("utf-8")
    except UnicodeDecodeError:
        encoding, text = "latin-1", value.decode("latin-1")
    masked = redact_text(text)
    if masked is text:
        return value
    return (bytearray if isinstance(value, bytearray) else bytes)(masked.encode(encoding))


# --- exceptions -------------------------------------------------------------------------------------------------------


def _members(error: "BaseException") -> "tuple[BaseException, ...]":
    members = getattr(error, "exceptions", ())
    return tuple(one for one in members if isinstance(one, BaseException)) if isinstance(members, tuple) else ()


def _parts(error: "BaseException") -> "list[object]":
    """All of an exception that may be shown: what it holds, how it reads, and the exceptions behind it."""
    parts: list[object] = [error.args, getattr(error, "__dict__", None), _shown(error)]
    parts += (_attribute(error, name) for name in _SHOWN_ATTRIBUTES)
    parts += (error.__cause__, error.__context__, *_members(error))
    return parts


def _attribute(error: "BaseException", name: str) -> "Any":
    try:
        return getattr(error, name, None)
    except Exception:
        return None  # a property that has nothing to show


def _mask_in_place(error: "BaseException") -> None:
    _Masking().details(error, error)
    shown = _shown(error)
    masked = _text(shown)
    # A group keeps its message, gives it to the groups that `except*` makes of it, and is better copied.
    if masked is not shown and not _members(error):
        # Its class makes the text of something that is not looked into.
        try:
            error.__class__ = _reading_as(masked, type(error))
        except TypeError:
            pass  # a class of the interpreter, or one that allows no subclass


def _reading_as(shown: str, base: "type[BaseException]", named: "type[BaseException] | None" = None) -> "Any":
    """Return a subclass of `base` whose instances read as `shown`, and which a traceback calls as it calls `named`."""
    named = named or base
    names = {
        "__module__": named.__module__,
        "__qualname__": named.__qualname__,
        "__slots__": (),
        "__str__": lambda _self: shown,
    }
    return type(named.__name__, (base,), names)


def _shown(error: "BaseException") -> str:
    try:
        return str(error)
    except Exception:
        return ""


# --- logging ----------------------------------------------------------------------------------------------------------


class _Log:
    """What was done to `logging`."""

    active = False
    wrapped = False
    finder: "_LoggingFinder | None" = None
    # From here on known once it is wrapped.
    handle: "Callable[[Logger, LogRecord], object]"
    plain_record: "frozenset[str]"
    format_exception: "Callable[[Any], str]"


_log = _Log()


def _wrap(logging: "Any") -> None:
    handle = logging.Logger.handle
    if _log.wrapped or handle is _handle:
        return
    # Of the class itself: what a record factory adds is looked at as `extra` is.
    _log.plain_record = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__)
    _log.format_exception = logging.Formatter().formatException
    _log.handle = handle
    _log.wrapped = True
    logging.Logger.handle = _handle


def _handle(self: "Logger", record: "LogRecord") -> "object":
    if _log.active and has_live():
        try:
            _mask_record(record)
        except Exception as error:
            # Better a line without its text than a line with a token.
            record.msg = f"{MASK} (this record could not be checked: {type(error).__name__})"
            record.args = record.exc_info = record.exc_text = record.stack_info = None
            for name in _added(record):
                del record.__dict__[name]
    return _log.handle(self, record)


_handle.__name__ = "handle"
_handle.__qualname__ = "Logger.handle"


def _mask_record(record: "LogRecord") -> None:
    if type(record.msg) is not str:
        record.msg = redact(record.msg)
    if record.args:
        record.args = redact(record.args)
    try:
        message = record.getMessage()
    except Exception:
        # The call's format does not fit its arguments: logging itself reports that, with these two.
        record.msg = redact(record.msg)
    else:
        masked = _text(message)
        if masked is not message:
            record.msg, record.args = masked, None
    for name in _added(record):
        record.__dict__[name] = redact(record.__dict__[name])
    if record.exc_info:
        _mask_exc_info(record)
    if record.exc_text:
        record.exc_text = _text(record.exc_text)
    if record.stack_info:
        record.stack_info = _text(record.stack_info)


def _added(record: "LogRecord") -> "Sequence[str]":
    """The names of what `extra`, a record factory or a formatter added to a record."""
    if len(record.__dict__) == len(_log.plain_record):
        return ()
    return [name for name in record.__dict__ if name not in _log.plain_record]


def _mask_exc_info(record: "LogRecord") -> None:
    info = record.exc_info
    if not isinstance(info, tuple) or not isinstance(info[1], BaseException):
        return
    error = redact(info[1])
    text = _log.format_exception(info)
    masked = _text(text)
    if masked is not text and not record.exc_text:
        # A line of source code with a token in it shows only here.
        record.exc_text = masked
    if error is not info[1]:
        record.exc_info = (type(error), error, info[2])


class _LoggingFinder:
    """Stands first in `sys.meta_path` until `logging` is imported, and wraps it then."""

    asking = False

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name != "logging" or self.asking:
            return None
        self.asking = True
        try:
            for finder in tuple(sys.meta_path):
                find_spec = getattr(finder, "find_spec", None)
                spec: ModuleSpec | None = find_spec(name, path, target) if find_spec is not None else None
                if spec is not None:
                    if spec.loader is not None:
                        spec.loader = _LoggingLoader(spec.loader, self)  # type: ignore[assignment]
                    return spec
            return None
        finally:
            self.asking = False

    def leave(self) -> None:
        _log.finder = None
        if self in sys.meta_path:
            sys.meta_path.remove(self)


class _LoggingLoader:
    """Runs the real loader, puts it back in its place, and wraps what it loaded."""

    def __init__(self, loader: "Any", finder: "_LoggingFinder") -> None:
        self.loader = loader
        self.finder = finder

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        return self.loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: "ModuleType") -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.finder.leave()
        _wrap(module)
