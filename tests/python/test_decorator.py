"""`@oauth`."""

import asyncio
import contextlib
import functools
import inspect
import pickle
import traceback
import typing

import pydantic
import pytest

import evergrant
from evergrant import AccessToken, injected, oauth
from fake_core import FakeCore

TOKEN = "token-of-the-fake-core"


# Filling


@pytest.mark.usefixtures("core")
def test_the_parameter_is_filled():
    @oauth("github")
    def function(folder, *, token):
        return folder, token is not injected

    assert function("x") == ("x", True)


def test_the_token_is_the_one_of_the_decorators_arguments(core):
    @oauth("github", grant_type="client_credentials", connection="ann", resource="r", scopes=("s",), min_ttl=60.0)
    def function(*, token):
        return None

    function()

    assert core.last("get_token") == {
        "provider": "github",
        "grant_type": "client_credentials",
        "connection": "ann",
        "resource": "r",
        "scopes": ["s"],
        "min_ttl": 60.0,
    }


@pytest.mark.parametrize("explicit", ["fake", None, ""])
def test_an_explicit_argument_wins(core, explicit):
    @oauth("github")
    def function(*, token=injected):
        return token

    assert function(token=explicit) == explicit
    assert core.calls == []


def test_injected_itself_is_no_explicit_argument(core):
    @oauth("github")
    def function(token=injected):
        return token == TOKEN

    assert function(injected) is True
    assert core.verbs() == ["get_token"]


@pytest.mark.usefixtures("core")
def test_all_kinds_of_parameters_arrive():
    @oauth("github")
    def function(a, /, b, c=3, *rest, d, e=5, token, **more):
        return a, b, c, rest, d, e, more, token == TOKEN

    assert function(1, 2, d=4) == (1, 2, 3, (), 4, 5, {}, True)
    assert function(1, b=2, d=4) == (1, 2, 3, (), 4, 5, {}, True)
    assert function(1, 2, 6, 7, 8, d=4, e=9, f=10) == (1, 2, 6, (7, 8), 4, 9, {"f": 10}, True)


def test_defaults_keep_their_identity(core):
    default = object()

    @oauth("github")
    def function(a=default, *, b=default, token=injected):
        return a is b is default

    assert function() is True


@pytest.mark.usefixtures("core")
def test_a_parameter_that_is_not_last_is_taken_by_keyword_only():
    @oauth("github")
    def function(token, folder, depth=1):
        return token == TOKEN, folder, depth

    assert function("x", 2) == (True, "x", 2)
    assert function("x", token="fake") == (False, "x", 1)


@pytest.mark.usefixtures("core")
def test_a_parameter_that_is_last_is_taken_by_position_too():
    @oauth("github")
    def function(folder, token):
        return folder, token

    assert function("x", "fake") == ("x", "fake")


@pytest.mark.usefixtures("core")
def test_a_parameter_before_star_arguments_is_taken_by_keyword_only():
    @oauth("github")
    def function(folder, token, *rest):
        return folder, token == TOKEN, rest

    assert function("x", "y", "z") == ("x", True, ("y", "z"))


def test_a_parameter_of_another_name_is_filled(core):
    @oauth("github", into="key")
    def function(*, key):
        return key == TOKEN

    assert function() is True


@pytest.mark.usefixtures("core")
def test_own_names_of_the_generated_code_do_not_collide():
    @oauth("github")
    def function(_evergrant_function, _evergrant__get, *, token):
        return _evergrant_function, _evergrant__get, token == TOKEN

    assert function(1, _evergrant__get=2) == (1, 2, True)


def test_globals_of_the_users_module_do_not_matter(core, monkeypatch):
    @oauth("github")
    def function(*, token):
        raise ValueError(TOKEN)

    core.secrets = [TOKEN]
    for name in ("BaseException", "GeneratorExit", "None_", "injected"):
        monkeypatch.setitem(function.__globals__, name, 3)

    with pytest.raises(ValueError, match=r"\[redacted\]"):
        function()


def test_stacked_decorators_fill_each_their_own(core):
    @oauth("github", into="x")
    @oauth("slack", into="y")
    def function(a, x, y):
        return a, str(x), str(y)

    core.answers["get_token"] = lambda arguments: AccessToken(arguments["provider"])
    assert function(1) == (1, "github", "slack")
    assert function(1, y="fake") == (1, "github", "fake")
    assert function(1, x="fake") == (1, "fake", "slack")
    assert str(inspect.signature(function)) == "(a)"


def test_stacked_decorators_take_hidden_parameters_in_the_middle_by_keyword(core):
    @oauth("github", into="x")
    @oauth("slack", into="y")
    def function(y, a, x, b):
        return str(y), a, str(x), b

    core.answers["get_token"] = lambda arguments: AccessToken(arguments["provider"])
    assert function(1, 2) == ("slack", 1, "github", 2)
    assert function(1, 2, y="fake", x="other") == ("fake", 1, "other", 2)


# Methods, and what is no plain function


def test_methods_are_filled(core):
    class Drive:
        @oauth("github")
        def method(self, folder, *, token):
            return self, folder, token == TOKEN

        @classmethod
        @oauth("github")
        def below_classmethod(cls, *, token):
            return cls, token == TOKEN

        @oauth("github")
        @classmethod
        def above_classmethod(cls, *, token):
            return cls, token == TOKEN

        @oauth("github")
        @staticmethod
        def above_staticmethod(folder, *, token):
            return folder, token == TOKEN

        @property
        @oauth("github")
        def value(self, *, token=injected):  # noqa: PLR0206 - it is filled
            return token == TOKEN

    drive = Drive()
    assert drive.method("x") == (drive, "x", True)
    assert drive.below_classmethod() == (Drive, True)
    assert drive.above_classmethod() == Drive.above_classmethod() == (Drive, True)
    assert drive.above_staticmethod("x") == Drive.above_staticmethod("x") == ("x", True)
    assert drive.value is True


def test_a_bound_method_that_is_decorated_already_is_filled(core):
    class Drive:
        @oauth("github", into="x")
        def method(self, a, *, x, y):
            return a, str(x), str(y)

    core.answers["get_token"] = lambda arguments: AccessToken(arguments["provider"])
    assert oauth("slack", into="y")(Drive().method)(1) == (1, "github", "slack")


@pytest.mark.usefixtures("core")
def test_a_private_parameter_of_a_class_keeps_its_mangled_name():
    class Drive:
        @oauth("github", into="_Drive__token")
        def method(self, __x, *, __token):  # noqa: PYI063 - mangling is the point
            return __x, __token == TOKEN

    assert Drive().method(1) == (1, True)


@pytest.mark.usefixtures("core")
def test_partials_are_filled():
    def function(a, b, *, token):
        return a, b, token == TOKEN

    assert oauth("github")(functools.partial(function, 1))(2) == (1, 2, True)


@pytest.mark.usefixtures("core")
def test_a_partial_of_a_coroutine_function_is_one():
    async def function(a, *, token):
        return a, token == TOKEN

    decorated = oauth("github")(functools.partial(function, 1))

    assert inspect.iscoroutinefunction(decorated)
    assert asyncio.run(decorated()) == (1, True)


@pytest.mark.usefixtures("core")
def test_callable_objects_are_filled():
    class Caller:
        def __init__(self):
            self.state = object()

        def __call__(self, a, *, token):
            return a, token == TOKEN

    assert oauth("github")(Caller())(1) == (1, True)


@pytest.mark.usefixtures("core")
def test_cached_functions_are_filled():
    @oauth("github")
    @functools.lru_cache
    def function(a, *, token):
        return a, token == TOKEN

    assert function(1) == (1, True)


@pytest.mark.usefixtures("core")
def test_a_function_under_other_decorators_is_filled():
    def other(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return "wrapped", function(*args, **kwargs)

        return wrapper

    @oauth("github")
    @other
    def function(a, *, token):
        return a, token == TOKEN

    assert function(1) == ("wrapped", (1, True))


# Refusals


def test_a_function_without_the_parameter_is_refused():
    with pytest.raises(TypeError, match=r"function\(\) has no parameter 'token' to fill: add `\*, token: AccessToken"):

        @oauth("github")
        def function(folder):
            return None


def test_star_arguments_of_that_name_are_no_parameter():
    with pytest.raises(TypeError, match="has no parameter 'token'"):

        @oauth("github")
        def function(*token):
            return None


def test_a_positional_only_parameter_is_refused():
    with pytest.raises(TypeError, match=r"'token' of function\(\) is positional-only"):

        @oauth("github")
        def function(token, /):
            return None


def test_the_decorator_without_a_provider_is_refused():
    with pytest.raises(TypeError, match=r'write @oauth\("provider"\).* not @oauth around function'):

        @oauth
        def function(*, token):
            return None


@pytest.mark.parametrize("thing", [property(lambda self: None), int, 3])
def test_what_is_no_function_is_refused(thing):
    with pytest.raises(TypeError, match="@oauth"):
        oauth("github")(thing)


def test_one_string_for_scopes_is_refused():
    with pytest.raises(TypeError, match=r"scopes=\['repo'\]"):
        oauth("github", scopes="repo")


@pytest.mark.parametrize(
    ("methods", "engine"),
    [
        (("remote", "options"), "@ray.remote"),
        (("delay", "apply_async"), "@app.task"),
        (("submit", "with_options"), "@prefect.task"),
    ],
)
def test_a_task_object_of_an_engine_is_refused_with_the_right_order(methods, engine):
    def call(self, *, token):
        return None

    task = type("Task", (), {"__call__": call, **dict.fromkeys(methods, print)})()

    with pytest.raises(TypeError) as refused:
        oauth("github")(task)

    assert f'{engine}\n@oauth("github", into="token")\ndef' in str(refused.value)


# The call's arguments decide


def test_connection_and_resource_may_depend_on_the_call(core):
    seen = []

    @oauth("github", connection=lambda call: seen.append(call) or call["user"], resource=lambda call: call["site"])
    def function(user, token, site="s", *rest, deep=False, **more):
        return None

    function("ann", "t", 1, 2, deep=True, x=3)

    assert seen == [{"user": "ann", "site": "t", "rest": (1, 2), "deep": True, "more": {"x": 3}}]
    assert core.last("get_token")["connection"] == "ann"
    assert core.last("get_token")["resource"] == "t"


def test_no_connection_is_chosen_for_an_explicit_token(core):
    @oauth("github", connection=lambda call: pytest.fail("was asked"))
    def function(user, *, token):
        return token

    assert function("ann", token="fake") == "fake"


# Optional


@pytest.mark.parametrize("error", [evergrant.NotConfigured, evergrant.NotConnected, evergrant.ReauthorizationRequired])
def test_an_optional_token_is_none_when_there_is_no_grant(core, error):
    @oauth("github", optional=True)
    def function(*, token):
        return token

    @oauth("github", optional=True)
    async def coroutine(*, token):
        return token

    core.answers["get_token"] = error("no")
    core.is_cached = False
    assert function() is None
    assert asyncio.run(coroutine()) is None


def test_an_optional_token_that_is_there_is_filled(core):
    @oauth("github", optional=True)
    def function(*, token):
        return token == TOKEN

    assert function() is True


def test_another_failure_of_an_optional_token_is_raised(core):
    @oauth("github", optional=True)
    def function(*, token):
        return token

    core.answers["get_token"] = evergrant.ProviderUnavailable("down")
    with pytest.raises(evergrant.ProviderUnavailable):
        function()


def test_a_missing_grant_is_raised_unless_optional(core):
    @oauth("github")
    def function(*, token):
        return token

    core.answers["get_token"] = evergrant.NotConnected("no")
    with pytest.raises(evergrant.NotConnected):
        function()


# Coroutines and generators


def test_a_coroutine_takes_the_cached_token_without_the_loop(core):
    @oauth("github")
    async def function(a, *, token):
        return a, token == TOKEN

    assert inspect.iscoroutinefunction(function)
    assert asyncio.run(function(1)) == (1, True)
    assert core.verbs() == ["cached_token"]


def test_a_coroutine_awaits_a_token_that_is_not_cached(core):
    @oauth("github", connection="ann")
    async def function(*, token):
        return token == TOKEN

    core.is_cached = False
    assert asyncio.run(function()) is True
    assert core.verbs() == ["cached_token", "get_token"]
    assert core.last("get_token")["connection"] == "ann"


def test_a_coroutines_connection_may_depend_on_the_call(core):
    @oauth("github", connection=lambda call: call["user"])
    async def function(user, *, token):
        return token == TOKEN

    core.is_cached = False
    assert asyncio.run(function("ann")) is True
    assert [arguments["connection"] for _, arguments in core.calls] == ["ann", "ann"]


def test_a_generator_fetches_at_the_first_next(core):
    @oauth("github")
    def function(n, *, token):
        for _ in range(n):
            yield token == TOKEN

    made = function(2)
    assert inspect.isgeneratorfunction(function)
    assert core.calls == []
    assert list(made) == [True, True]


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("redact", [True, False])
def test_a_generator_can_be_driven_as_the_users(redact):
    closed = []

    @oauth("github", redact=redact)
    def function(*, token):
        try:
            got = yield "first"
            try:
                yield got
            except KeyError as error:
                yield repr(error)
            return "end"
        finally:
            closed.append(True)

    made = function()
    assert next(made) == "first"
    assert made.send("sent") == "sent"
    assert made.throw(KeyError("x")) == "KeyError('x')"
    with pytest.raises(StopIteration) as stop:
        next(made)
    assert stop.value.value == "end"
    made = function()
    next(made)
    made.close()
    assert closed == [True, True]


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize("redact", [True, False])
def test_an_asynchronous_generator_can_be_driven_as_the_users(redact):
    closed = []

    @oauth("github", redact=redact)
    async def function(*, token):
        try:
            got = yield "first"
            try:
                yield got
            except KeyError as error:
                yield repr(error)
        finally:
            closed.append(True)

    async def drive():
        made = function()
        assert await made.__anext__() == "first"
        assert await made.asend("sent") == "sent"
        assert await made.athrow(KeyError("x")) == "KeyError('x')"
        with pytest.raises(StopAsyncIteration):
            await made.__anext__()
        made = function()
        await made.__anext__()
        await made.aclose()
        assert closed == [True, True]

    asyncio.run(drive())
    assert inspect.isasyncgenfunction(function)


@pytest.mark.usefixtures("core")
def test_context_managers_of_decorated_generators_work():
    @contextlib.contextmanager
    @oauth("github")
    def session(*, token):
        with contextlib.suppress(KeyError):
            yield token == TOKEN

    with session() as value:
        assert value is True
        raise KeyError


# Redaction


@pytest.fixture
def secret(core: FakeCore):
    core.secrets = [TOKEN]
    return TOKEN


def test_a_token_in_a_result_is_masked(secret):
    @oauth("github")
    def function(*, token):
        return {"header": f"Bearer {token}"}

    @oauth("github")
    async def coroutine(*, token):
        return [token]

    assert function() == {"header": "Bearer [redacted]"}
    assert asyncio.run(coroutine()) == ["[redacted]"]


def test_a_token_in_an_error_is_masked(secret):
    @oauth("github")
    def function(*, token):
        raise ValueError(f"401 for {token}")

    @oauth("github")
    async def coroutine(*, token):
        raise ValueError(f"401 for {token}")

    for call in (function, lambda: asyncio.run(coroutine())):
        with pytest.raises(ValueError, match=r"^401 for \[redacted\]$"):
            call()


def test_a_token_that_a_generator_yields_returns_or_raises_is_masked(secret):
    @oauth("github")
    def function(*, token):
        yield f"yielded {token}"
        return f"returned {token}"

    @oauth("github")
    def failing(*, token):
        yield 1
        raise ValueError(token)

    made = function()
    assert next(made) == "yielded [redacted]"
    with pytest.raises(StopIteration) as stop:
        next(made)
    assert stop.value.value == "returned [redacted]"
    with pytest.raises(ValueError, match=r"^\[redacted\]$"):
        list(failing())


def test_a_token_that_an_asynchronous_generator_yields_or_raises_is_masked(secret):
    @oauth("github")
    async def function(*, token):
        yield f"yielded {token}"
        raise ValueError(token)

    async def drive():
        made = function()
        assert await made.__anext__() == "yielded [redacted]"
        with pytest.raises(ValueError, match=r"^\[redacted\]$"):
            await made.__anext__()

    asyncio.run(drive())


def test_a_result_without_a_token_is_the_same_object(secret):
    value = {"a": ["b"]}

    @oauth("github")
    def function(*, token):
        return value

    assert function() is value


def test_nothing_is_masked_when_redaction_is_off(secret):
    @oauth("github", redact=False)
    def function(*, token):
        return token

    assert function() == TOKEN


# What others see


@oauth("github")
def documented(folder: str, depth: "int" = 1, *, token: AccessToken = injected) -> "list[str]":
    """List a folder.

    Args:
        folder: Where.
        token: The token.
        depth: How deep.
    """
    return [folder] * depth


def test_the_parameter_is_hidden_from_signatures_and_hints():
    assert str(inspect.signature(documented)) == "(folder: str, depth: int = 1) -> list[str]"
    assert typing.get_type_hints(documented) == {"folder": str, "depth": int, "return": list[str]}
    assert documented.__annotations__ == {"folder": str, "depth": int, "return": list[str]}
    assert inspect.unwrap(documented) is documented


def test_the_parameter_is_hidden_from_bound_methods():
    class Drive:
        @oauth("github")
        def method(self, folder: str, *, token: str = injected) -> None: ...

    assert str(inspect.signature(Drive().method)) == "(folder: str) -> None"


@pytest.mark.usefixtures("core")
def test_the_parameter_is_hidden_from_pydantic():
    function = oauth("github")(documented.__evergrant__.function)
    checked = pydantic.validate_call(function)

    assert checked("x", "2") == ["x", "x"]
    with pytest.raises(pydantic.ValidationError):
        checked("x", "two")
    schema = pydantic.TypeAdapter(function).json_schema()
    assert list(schema["properties"]) == ["folder", "depth"]


def test_names_module_and_attributes_stay():
    def function(*, token):
        """Say."""

    function.mark = 3
    decorated = oauth("github")(function)

    assert (decorated.__name__, decorated.__module__, decorated.__doc__) == ("function", __name__, "Say.")
    assert decorated.__qualname__ == function.__qualname__
    assert decorated.mark == 3
    assert decorated.__globals__ is globals()


def test_the_function_itself_can_be_found():
    def function(x, y):
        return x, y

    decorated = oauth("slack", into="x")(oauth("github", into="y")(function))

    assert decorated.__evergrant__.function is function
    assert {name: source.provider for name, source in decorated.__evergrant__.sources.items()} == {
        "x": "slack",
        "y": "github",
    }


def test_annotations_that_name_nothing_yet_stay_strings():
    @oauth("github")
    def function(a: "Nowhere", b: "int", *, token: "NotImported" = injected): ...  # noqa: F821 - on purpose

    parameters = inspect.signature(function).parameters
    assert parameters["a"].annotation == "Nowhere"
    assert parameters["b"].annotation is int


def test_a_hidden_annotation_need_not_resolve():
    @oauth("github")
    def function(b: "int", *, token: "NotImported" = injected) -> "str": ...  # noqa: F821 - on purpose

    assert typing.get_type_hints(function) == {"b": int, "return": str}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("One line.", "One line."),
        ("Args:\n    token: It.\n        More.\n    b: Kept.\n", "Args:\n    b: Kept.\n"),
        ("Do.\n\nArgs:\n    token (str): It.\n\nReturns:\n    token: no.\n", "Do.\n\nReturns:\n    token: no.\n"),
        ("Do.\n\n    Args:\n        token: It.\n    ", "Do.\n"),
        (
            "Do.\n\nParameters\n----------\nb : int\n    Kept.\ntoken : str\n    It.\n\nReturns\n-------\nint\n",
            "Do.\n\nParameters\n----------\nb : int\n    Kept.\n\nReturns\n-------\nint\n",
        ),
        ("Do.\n\nParameters\n----------\ntoken\n    It.\n\nReturns\n-------\nint\n", "Do.\n\nReturns\n-------\nint\n"),
        (
            "Do.\n\n:param b: Kept.\n:param str token: It,\n    and more.\n:type token: str\n:returns: x\n",
            "Do.\n\n:param b: Kept.\n:returns: x\n",
        ),
        ("Args:\n    tokens: Kept.\n", "Args:\n    tokens: Kept.\n"),
    ],
)
def test_the_parameter_is_taken_out_of_the_docstring(before, after):
    def function(b=None, *, token): ...

    function.__doc__ = before
    assert oauth("github")(function).__doc__ == after


def test_a_decorated_function_pickles_by_name():
    assert pickle.loads(pickle.dumps(documented)) is documented


def test_what_the_wrapper_holds_pickles():
    for cell in documented.__closure__:
        if inspect.isfunction(cell.cell_contents):
            continue
        assert pickle.loads(pickle.dumps(cell.cell_contents)) is not None
    assert pickle.loads(pickle.dumps(injected)) is injected
    assert repr(injected) == "injected"


def test_functions_alike_share_their_generated_code():
    @oauth("github")
    def one(a, *, token): ...

    @oauth("slack")
    def two(a, *, token): ...

    assert one.__code__.co_code == two.__code__.co_code
    assert one.__code__.co_consts is two.__code__.co_consts


def test_the_source_of_the_function_can_be_read():
    assert inspect.getsource(documented).startswith('@oauth("github")\ndef documented(folder: str')


@pytest.mark.usefixtures("core")
def test_a_traceback_shows_the_decorator_where_the_wrapper_is():
    @oauth("github")
    def function(*, token):
        raise KeyError(3)

    with pytest.raises(KeyError) as raised:
        function(token="fake")

    wrapper, user = traceback.extract_tb(raised.tb)[1:]
    assert (wrapper.filename, wrapper.name, wrapper.line) == (__file__, "function", '@oauth("github")')
    assert (user.name, user.line) == ("function", "raise KeyError(3)")
    assert "^" not in traceback.format_list([wrapper])[0]


# Workspaces


def test_a_workspace_fills_from_itself(core):
    workspace = evergrant.Workspace("team", store="/elsewhere")

    @workspace.oauth("github")
    def function(*, token):
        return token == TOKEN

    @workspace.oauth("github")
    async def coroutine(*, token):
        return token == TOKEN

    assert function() is True
    core.is_cached = False
    assert asyncio.run(coroutine()) is True
    assert {arguments["workspace"] for _, arguments in core.calls} == {"team"}
