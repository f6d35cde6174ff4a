"""`@action`: a Python function as an action, which `actions.run` and templates call by its name."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import Parameter
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from evergrant._decorator import injected
from evergrant._redact import redact, redact_exception
from evergrant._signature import name_of
from evergrant.actions._coercion import Mismatch
from evergrant.actions._hints import Kind, kind_of
from evergrant.actions._values import as_json
from evergrant.exceptions import ActionError, InvalidParameter

T = TypeVar("T")

_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFUSED_PARAMETERS: Final[dict[Any, str]] = {
    Parameter.POSITIONAL_ONLY: "is positional-only, and inputs have names: remove the `/`",
    Parameter.VAR_POSITIONAL: "takes positional arguments, and inputs have names: remove it",
}

_registry: dict[str, Action] = {}


def action(
    namespace: str,
    *,
    name: str | None = None,
    title: str | None = None,
    description: str | None = None,
    secrets: Iterable[str] = (),
) -> Callable[[T], T]:
    """Register a function as an action: `evergrant.actions.run` and the steps of templates call it by its name.

    The function stays what it is, and can be called. It gets `.name` and `.inputs`: JSON Schema from its type hints,
    without what `@oauth` fills in. Called as an action, its inputs are checked and brought to their types first, and
    secrets are masked in its result, which has to be something that JSON can hold. Goes above or below `@oauth`.

    Types of inputs: `str`, `int`, `float`, `bool`, `datetime`, `timedelta`, `None`, `Any`, lists, mappings, unions,
    `Literal`, enumerations, typed dictionaries, dataclasses, models of pydantic; `Annotated[T, "text"]` describes one.

    Args:
        namespace: What its name begins with: `tools.acme`. `core` is taken.
        name: What it ends with; by default the function's name.
        title: A few words; by default made of the name.
        description: What it does; by default the function's docstring.
        secrets: Names of the ordinary secrets that whoever runs it has to have, for whoever looks.

    Returns:
        A decorator that keeps the function's type.

    Raises:
        TypeError: When decorating: a parameter is no input, or what is decorated is not a function.
        InvalidParameter: A name is malformed, or another function has it.

    Example:
        ```python
        @evergrant.action("tools.acme")
        @oauth("github")
        def stars(owner: str, *, token: AccessToken = injected) -> int: ...

        actions.run("tools.acme.stars", {"owner": "octocat"})
        ```
    """
    if not isinstance(namespace, str):
        message = f'write @action("tools.acme"), with a namespace, not @action around {name_of(namespace)}'
        raise TypeError(message)
    if isinstance(secrets, str):
        message = f"secrets is a collection of strings, not one string: write secrets=[{secrets!r}]"
        raise TypeError(message)
    declared = tuple(secrets)

    def decorator(function: T) -> T:
        written: Any = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
        if isinstance(written, type) or not callable(written):
            message = f"@action decorates a function, not {name_of(written)}"
            raise TypeError(message)
        last = name or name_of(written)
        Action(_full_name(namespace, last), written, type(function), title, description, declared).register()
        return function

    return decorator


def registered(name: str) -> Action | None:
    """The action of this name, called with its inputs as one mapping; `None` if no function was registered so."""
    return _registry.get(name)


def all_registered() -> tuple[Action, ...]:
    """All actions that are functions, by name."""
    return tuple(_registry[name] for name in sorted(_registry))


class Action:
    """A function that was registered: called with a mapping of inputs, it checks them and calls the function.

    Attributes:
        name: How it is called: `tools.acme.stars`.
        title: A few words.
        description: What it does.
        secrets: Names of the ordinary secrets that it needs.
        inputs: Its inputs as JSON Schema.
        is_async: Whether a call is to be awaited.
    """

    def __init__(
        self,
        name: str,
        function: Any,
        decorated: type,
        title: str | None,
        description: str | None,
        secrets: tuple[str, ...],
    ) -> None:
        self.name = name
        self.title = title or name.rpartition(".")[2].replace("_", " ").capitalize()
        self.description = description or inspect.getdoc(function) or ""
        self.secrets = secrets
        self._decorated = decorated
        self.wrapped(function)

    def wrapped(self, function: Any) -> None:
        """Call `function` from now on: `@oauth` above `@action` made it of the one before."""
        self._function = function
        self.is_async = _is_async(function)
        parameters = _visible(function)
        if self._owner() and self._decorated is not staticmethod and next(iter(parameters), None) in {"self", "cls"}:
            parameters.pop(next(iter(parameters)))
        self._kinds, self._extra = _kinds(self.name, function, parameters)
        self._required = frozenset(one for one in self._kinds if parameters[one].default is Parameter.empty)
        self.inputs = _schema(self._kinds, parameters, self._required, self._extra)
        # A bound method takes no attributes; it is registered all the same.
        if not inspect.ismethod(function):
            function.name, function.inputs = self.name, self.inputs
            function.__evergrant_action__ = self

    @property
    def needs(self) -> tuple[tuple[str, str | None, bool], ...]:
        """The tokens that `@oauth` fills in: provider, grant type (`None`: the configured one), works without."""
        injection = getattr(self._function, "__evergrant__", None)
        sources = injection.sources.values() if injection else ()
        return tuple((source.provider, source.grant_type, source.optional) for source in sources)

    def register(self) -> None:
        """Let it be found by its name. The same function, written anew, takes the place of its older self."""
        other = _registry.get(self.name)
        if other is not None and not {self.place(), self.file()} & {other.place(), other.file()}:
            raise InvalidParameter(
                f"two functions are called {self.name}: {other.place()} and {self.place()}", code="duplicate_action"
            )
        _registry[self.name] = self

    def __call__(self, inputs: Mapping[str, Any]) -> Any:
        """Check `inputs` and call the function; awaited where `is_async`.

        Raises:
            ActionError: An input is wrong, or the result is nothing that JSON can hold. What the function raises
                passes, with secrets masked.
        """
        arguments = self._arguments(inputs)
        function = self._callable()
        if self.is_async:
            return self._outcome(function, arguments)
        try:
            result = function(**arguments)
        except BaseException as error:
            redact_exception(error)
            raise
        return self._result(result)

    def __repr__(self) -> str:
        return f"<Action {self.name}>"

    async def _outcome(self, function: Callable[..., Awaitable[Any]], arguments: dict[str, Any]) -> Any:
        # Called here and not before: whoever does not await this leaves no coroutine of the function's behind.
        try:
            result = await function(**arguments)
        except BaseException as error:
            redact_exception(error)
            raise
        return self._result(result)

    def _result(self, result: Any) -> Any:
        # Masked last: what an object becomes may hold what the object itself hides.
        return redact(as_json(result, f"the result of {self.name}"))

    def _arguments(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        wrong = {name: "is missing" for name in self._kinds if name in self._required and name not in inputs}
        arguments = {}
        for name, value in inputs.items():
            kind = self._kinds.get(name) or self._extra
            if kind is None or not isinstance(name, str):
                near = difflib.get_close_matches(str(name), self._kinds, 1)
                wrong[str(name)] = "is no input" + (f"; did you mean {near[0]}?" if near else "")
                continue
            try:
                arguments[name] = kind.fit(value)[0]
            except Mismatch as mismatch:
                wrong[f"{name}{mismatch.path}"] = mismatch.message
        if wrong:
            fields = "; ".join(f"{name}: {why}" for name, why in wrong.items())
            raise ActionError(f"the inputs of {self.name} are wrong: {fields}", code="invalid_inputs")
        return arguments

    def _callable(self) -> Any:
        """The function, or the method as its class has it."""
        unfilled = [name for name, one in _signature(self._function).items() if _is_token(one)]
        if unfilled:
            reason = f"nobody fills {unfilled[0]} of {self.name}: decorate it with @oauth, too"
            raise ActionError(reason, code="token_not_filled")
        owner = self._owner()
        if not owner or inspect.ismethod(self._function):
            return self._function
        found: Any = sys.modules.get(self._function.__module__)
        *classes, method = [*owner.split("."), self._function.__name__]
        for part in classes:
            found = getattr(found, part, None)
        if isinstance(inspect.getattr_static(found, method, None), (classmethod, staticmethod)):
            return getattr(found, method)
        raise ActionError(
            f"{self.name} is a method, and there is no object to call it on: register a bound one, "
            f"evergrant.action(…)(the_object.{method})",
            code="needs_object",
        )

    def _owner(self) -> str:
        """The class that it was written in, by its qualified name; empty for a function."""
        owner = str(getattr(self._function, "__qualname__", "")).rpartition(".")[0]
        return "" if owner.endswith("<locals>") else owner

    def place(self) -> str:
        """Where the function is, for a person."""
        function = inspect.unwrap(self._function)
        return f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', name_of(function))}"

    def file(self) -> str:
        """Where the function is: a module that is run as a program and imported, too, is one file."""
        code = getattr(inspect.unwrap(self._function), "__code__", None)
        return f"{code.co_filename if code else id(self._function)}:{getattr(self._function, '__qualname__', '')}"


def _full_name(namespace: str, name: str) -> str:
    if not _NAMESPACE.fullmatch(namespace) or namespace.split(".", maxsplit=1)[0] == "core":
        reason = f"{namespace!r} is no namespace of an action: words in small letters with dots between, and not `core`"
        raise InvalidParameter(reason, code="invalid_action_name")
    if not _NAME.fullmatch(name):
        raise InvalidParameter(f"{name!r} is no name of an action: write name=…", code="invalid_action_name")
    return f"{namespace}.{name}"


def _is_async(function: Any) -> bool:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        message = f"{name_of(function)}() is a generator, and an action has one result: return a list"
        raise TypeError(message)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _signature(function: Any) -> dict[str, Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except ValueError:
        message = f"the parameters of {name_of(function)}() cannot be seen: wrap it in a function of your own"
        raise TypeError(message) from None


def _visible(function: Any) -> dict[str, Parameter]:
    """The parameters that a caller fills."""
    return {name: one for name, one in _signature(function).items() if not _is_token(one)}


def _is_token(parameter: Parameter) -> bool:
    """Whether `@oauth` is to fill it."""
    return parameter.default is injected or "AccessToken" in str(parameter.annotation)


def _kinds(action: str, function: Any, parameters: Mapping[str, Parameter]) -> tuple[dict[str, Kind], Kind | None]:
    """The type of each input, and of those that `**` takes."""
    kinds: dict[str, Kind] = {}
    extra: Kind | None = None
    for name, parameter in parameters.items():
        refused = _REFUSED_PARAMETERS.get(parameter.kind)
        if refused:
            message = f"{name!r} of {action} {refused}"
            raise TypeError(message)
        try:
            kind = kind_of(_resolved(function, parameter.annotation))
        except (TypeError, NameError) as error:
            message = f"{name!r} of {action} can't be an input: {error}"
            raise TypeError(message) from None
        if parameter.kind is Parameter.VAR_KEYWORD:
            extra = kind
        else:
            kinds[name] = kind
    return kinds, extra


def _resolved(function: Any, annotation: Any) -> Any:
    """A type hint that is written as text as the type that it names."""
    if annotation is Parameter.empty:
        return Any
    holder = SimpleNamespace(__annotations__={"hint": annotation})
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return typing.get_type_hints(holder, names, include_extras=True)["hint"]


def _schema(
    kinds: Mapping[str, Kind], parameters: Mapping[str, Parameter], required: frozenset[str], extra: Kind | None
) -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    properties = {}
    for name, kind in kinds.items():
        schema = dict(_hoisted(kind.schema, definitions))
        default = parameters[name].default
        if default is not Parameter.empty:
            try:
                schema["default"] = as_json(default, name)
            except ActionError:
                pass  # it has no words in JSON
        properties[name] = schema
    found = {
        "type": "object",
        "properties": properties,
        "required": [name for name in kinds if name in required],
        "additionalProperties": False if extra is None else _hoisted(extra.schema, definitions),
    }
    return {**found, "$defs": definitions} if definitions else found


def _hoisted(schema: Any, definitions: dict[str, Any]) -> Any:
    """`schema` without the definitions in it, to which references say `#/$defs/…`: they belong to the whole."""
    if isinstance(schema, list):
        return [_hoisted(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    for name, one in schema.get("$defs", {}).items():
        hoisted = _hoisted(one, definitions)
        if definitions.setdefault(name, hoisted) != hoisted:
            message = f"two models are called {name}"
            raise TypeError(message)
    return {name: _hoisted(one, definitions) for name, one in schema.items() if name != "$defs"}
