"""`@action`: functions as actions."""

import asyncio
import enum
import importlib
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict, Union

import pydantic
import pytest
from typing_extensions import Doc, NotRequired

import evergrant
from evergrant import AccessToken, ActionError, InvalidParameter, injected, oauth
from evergrant.actions import _udf


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """An empty registry."""
    found = {}
    monkeypatch.setattr(_udf, "_registry", found)
    return found


def registered(function, **keywords):
    """The action that a function becomes."""
    evergrant.action("tools.acme", **keywords)(function)
    return _udf.registered(f"tools.acme.{keywords.get('name') or function.__name__}")


def run(function, /, **inputs):
    return registered(function)(inputs)


def refusal(function, /, **inputs):
    """What the error says of the inputs."""
    with pytest.raises(ActionError) as caught:
        run(function, **inputs)
    assert caught.value.code == "invalid_inputs"
    return caught.value.reason.partition(" are wrong: ")[2]


# Registering


def test_a_function_stays_what_it_is_and_gets_a_name_and_inputs():
    def add(a: int, b: int = 2) -> int:
        """Add two numbers."""
        return a + b

    decorated = evergrant.action("tools.acme")(add)

    assert decorated is add
    assert add(1) == 3
    assert add.name == "tools.acme.add"
    assert add.inputs == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 2}},
        "required": ["a"],
        "additionalProperties": False,
    }


def test_an_action_is_found_by_its_name_and_called_with_a_mapping():
    def add(a: int, b: int = 2) -> int:
        return a + b

    evergrant.action("tools.acme", name="plus")(add)

    assert _udf.registered("tools.acme.plus")({"a": "5"}) == 7
    assert _udf.registered("tools.acme.add") is None
    assert [one.name for one in _udf.all_registered()] == ["tools.acme.plus"]


def test_title_and_description_are_made_of_the_function():
    def list_files():
        """List the files."""

    made = registered(list_files)
    assert (made.title, made.description, made.secrets) == ("List files", "List the files.", ())
    told = registered(list_files, title="Files", description="All of them.", secrets=["acme"])
    assert (told.title, told.description, told.secrets) == ("Files", "All of them.", ("acme",))


@pytest.mark.parametrize("namespace", ["", "Tools", "tools.", "tools..acme", "core", "core.http", "1a", "a-b"])
def test_a_malformed_namespace_is_refused(namespace):
    with pytest.raises(InvalidParameter, match="no namespace"):
        evergrant.action(namespace)(lambda: 1)


def test_a_lambda_needs_a_name():
    with pytest.raises(InvalidParameter, match="write name="):
        evergrant.action("tools.acme")(lambda: 1)
    assert registered(lambda: 1, name="one")({}) == 1


@pytest.mark.parametrize(
    ("decorate", "why"),
    [
        (lambda: evergrant.action(len), "with a namespace, not @action around len"),
        (lambda: evergrant.action("tools.acme")(int), "decorates a function, not int"),
        (lambda: evergrant.action("tools.acme")(3), "decorates a function, not int"),
        (lambda: evergrant.action("tools.acme", secrets="acme"), "collection of strings"),
        (lambda: run(lambda *a: a), None),
    ],
)
def test_what_is_no_function_is_refused(decorate, why):
    if why is None:
        decorate, why = (lambda: registered(lambda *a: a, name="x")), "takes positional arguments"
    with pytest.raises(TypeError, match=why):
        decorate()


def test_generators_and_positional_only_parameters_are_refused():
    def numbers():
        yield 1

    async def later():
        yield 1

    def first(a, /):
        return a

    for function, why in ((numbers, "generator"), (later, "generator"), (first, "positional-only")):
        with pytest.raises(TypeError, match=why):
            registered(function)


def test_two_functions_of_one_name_are_refused(registry):
    def one():
        return 1

    def other():
        return 2

    registered(one, name="same")
    with pytest.raises(InvalidParameter, match=r"two functions are called tools.acme.same: .*one and .*other"):
        registered(other, name="same")
    assert registry["tools.acme.same"]({}) == 1


MODULE = """
import evergrant

@evergrant.action("tools.reloaded")
def number() -> int:
    return {number}
"""


def test_a_module_that_is_loaded_again_replaces_its_actions(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "reloaded_actions.py").write_text(MODULE.format(number=1))
    module = importlib.import_module("reloaded_actions")
    assert _udf.registered("tools.reloaded.number")({}) == 1

    (tmp_path / "reloaded_actions.py").write_text("# longer\n" + MODULE.format(number=22))
    importlib.invalidate_caches()
    importlib.reload(module)

    assert _udf.registered("tools.reloaded.number")({}) == 22


def test_a_program_that_is_imported_too_is_one_module(tmp_path):
    path = tmp_path / "program.py"
    code = compile(MODULE.format(number=1), path, "exec")
    exec(code, {"__name__": "__main__"})
    exec(code, {"__name__": "program"})
    assert _udf.registered("tools.reloaded.number")({}) == 1


# With @oauth


def test_it_goes_above_oauth(core):
    @evergrant.action("tools.acme")
    @oauth("github")
    def stars(owner: str, *, token: AccessToken = injected) -> list[Any]:
        return [owner, token is core.token]

    assert list(stars.inputs["properties"]) == ["owner"]
    assert _udf.registered("tools.acme.stars")({"owner": "ann"}) == ["ann", True]
    assert stars("ann") == ["ann", True]


def test_it_goes_below_oauth(core):
    @oauth("github")
    @evergrant.action("tools.acme")
    def stars(owner: str, *, token: AccessToken = injected) -> list[Any]:
        return [owner, token is core.token]

    assert stars.name == "tools.acme.stars"
    assert list(stars.inputs["properties"]) == ["owner"]
    assert _udf.registered("tools.acme.stars")({"owner": "ann"}) == ["ann", True]


def test_below_oauth_the_parameter_needs_no_default(core):
    @oauth("github", into="key")
    @oauth("slack")
    @evergrant.action("tools.acme")
    def stars(token: AccessToken, key: AccessToken | None, owner: str = "ann") -> Any:
        return [owner, token is key is core.token]

    assert stars.inputs["required"] == []
    assert _udf.registered("tools.acme.stars")({}) == ["ann", True]


def test_its_needs_are_the_tokens_that_oauth_fills_in(core):
    @evergrant.action("tools.acme")
    @oauth("github", optional=True)
    @oauth("slack", into="slack", grant_type="client_credentials")
    def both(*, token: AccessToken | None = injected, slack: AccessToken = injected) -> None: ...

    assert _udf.registered("tools.acme.both").needs == (
        ("slack", "client_credentials", False),
        ("github", None, True),
    )


def test_a_token_that_nobody_fills_is_an_error_and_no_input():
    def stars(*, token: AccessToken = injected) -> str:
        return token

    assert registered(stars).inputs["properties"] == {}
    with pytest.raises(ActionError, match=r"nobody fills token of tools\.acme\.stars"):
        run(stars)
    assert refusal(stars, token="x") == "token: is no input"


@pytest.mark.parametrize("order", ["above", "below"])
def test_a_coroutine_function_is_awaited(core, order):
    async def stars(owner: str, *, token: AccessToken = injected) -> list[Any]:
        return [owner, token is core.token]

    decorators = [oauth("github"), evergrant.action("tools.acme")]
    for decorate in decorators if order == "above" else reversed(decorators):
        stars = decorate(stars)
    found = _udf.registered("tools.acme.stars")

    assert found.is_async
    assert asyncio.run(found({"owner": "ann"})) == ["ann", True]


def test_a_call_that_nobody_awaits_calls_nothing():
    calls = []

    async def later() -> None:
        calls.append(1)

    found = registered(later)
    found({}).close()
    assert found.is_async
    assert calls == []


def test_a_secret_in_a_result_or_an_error_is_masked(core):
    core.secrets = ["the-token"]

    @dataclass
    class Answer:
        header: str

    def show(*, fail: bool) -> Any:
        if fail:
            raise LookupError("no the-token")
        return {"answer": Answer("Bearer the-token")}

    async def later(*, fail: bool) -> Any:
        return show(fail=fail)

    assert run(show, fail=False) == {"answer": {"header": "Bearer [redacted]"}}
    assert asyncio.run(run(later, fail=False)) == {"answer": {"header": "Bearer [redacted]"}}
    with pytest.raises(LookupError, match=r"^'?no \[redacted\]'?$"):
        run(show, fail=True)
    with pytest.raises(LookupError, match=r"^'?no \[redacted\]'?$"):
        asyncio.run(run(later, fail=True))


def test_a_result_is_what_json_can_hold():
    def moment() -> tuple[datetime, timedelta]:
        return datetime(2024, 1, 2, tzinfo=timezone.utc), timedelta(days=1)

    assert run(moment) == ["2024-01-02T00:00:00Z", "P1D"]
    with pytest.raises(ActionError, match=r"the result of tools.acme.it holds a set"):
        registered(lambda: {1}, name="it")({})


# Methods


class Drive:
    """A class with methods that are actions."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @evergrant.action("tools.drive")
    def method(self, name: str) -> str:
        return f"{self.folder}/{name}"

    @evergrant.action("tools.drive")
    @classmethod
    def of_class(cls, name: str) -> str:
        return f"{cls.__name__}/{name}"

    @classmethod
    @evergrant.action("tools.drive")
    def of_class_below(cls, name: str) -> str:
        return f"{cls.__name__}/{name}"

    @staticmethod
    @evergrant.action("tools.drive")
    def static(name: str) -> str:
        return name

    @evergrant.action("tools.drive")
    @staticmethod
    def static_below(name: str) -> str:
        return name


METHODS = [Drive.__dict__[name] for name in ("method", "of_class", "of_class_below", "static", "static_below")]


@pytest.mark.parametrize("method", METHODS, ids=lambda one: getattr(one, "__func__", one).__name__)
def test_a_method_has_a_name_and_no_input_for_its_object(method):
    function = getattr(method, "__func__", method)
    assert function.name == f"tools.drive.{function.__name__}"
    assert list(function.inputs["properties"]) == ["name"]


@pytest.mark.parametrize(
    ("name", "result"),
    [("of_class", "Drive/a"), ("of_class_below", "Drive/a"), ("static", "a"), ("static_below", "a")],
)
def test_a_method_of_the_class_is_called_on_its_class(name, result):
    found = getattr(Drive, name).__evergrant_action__
    assert found({"name": "a"}) == result
    assert getattr(Drive("x"), name)("a") == result


def test_a_method_of_an_object_is_registered_bound():
    assert Drive("root").method("a") == "root/a"
    with pytest.raises(ActionError, match="there is no object to call it on"):
        Drive.method.__evergrant_action__({"name": "a"})

    evergrant.action("tools.root", name="file")(Drive("root").method)

    assert _udf.registered("tools.root.file")({"name": "a"}) == "root/a"


def test_a_partial_can_be_an_action():
    assert registered(partial(lambda a, b: [a, b], b=2), name="p")({"a": 1}) == [1, 2]


# Inputs


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Options(TypedDict):
    size: int
    deep: NotRequired[bool]


@dataclass
class File:
    name: str
    size: int = 0
    tags: list[str] = field(default_factory=list)

    def __post_init__(self):
        if self.size < 0:
            raise ValueError(f"secret {self.name}")


class Inner(pydantic.BaseModel):
    count: int


class Model(pydantic.BaseModel):
    inner: Inner
    at: datetime

    @pydantic.field_validator("at")
    @classmethod
    def check(cls, value):
        if value.year < 2000:
            raise ValueError(f"secret {value}")
        return value


UserId = NewType("UserId", int)
UTC = timezone.utc


def schema_of(hint):
    def function(value): ...

    function.__annotations__ = {"value": hint}
    return registered(function).inputs["properties"]["value"]


def coerced(hint, value):
    """What a function with a parameter of this type is called with."""
    found = []

    def function(value):
        found.append(value)

    function.__annotations__ = {"value": hint}
    registered(function)({"value": value})
    return found[0]


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (datetime, {"type": "string", "format": "date-time"}),
        (timedelta, {"type": "string", "format": "duration"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (list, {"type": "array", "items": {}}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict, {"type": "object", "additionalProperties": {}}),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Colour, {"enum": ["r", "b"]}),
        (UserId, {"type": "integer"}),
        (Annotated[int, "How many."], {"type": "integer", "description": "How many."}),
        (Annotated[int, 3, Doc("How many.")], {"type": "integer", "description": "How many."}),
        (Annotated[int, pydantic.Field(description="How many.")], {"type": "integer", "description": "How many."}),
        ("int", {"type": "integer"}),
        ("list[Colour]", {"type": "array", "items": {"enum": ["r", "b"]}}),
        (
            Options,
            {
                "type": "object",
                "properties": {"size": {"type": "integer"}, "deep": {"type": "boolean"}},
                "required": ["size"],
                "additionalProperties": False,
            },
        ),
        (
            File,
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "size": {"type": "integer"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["name"],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_a_hint_has_a_schema(hint, schema):
    assert schema_of(hint) == schema


def test_the_definitions_of_a_model_belong_to_the_whole_schema():
    def function(model: Model, models: list[Model]): ...

    inputs = registered(function).inputs
    assert inputs["properties"]["model"]["properties"]["inner"] == {"$ref": "#/$defs/Inner"}
    assert inputs["$defs"]["Inner"]["properties"]["count"]["type"] == "integer"
    assert "$defs" not in inputs["properties"]["models"]["items"]


class Endless(TypedDict):
    inner: "Endless"


@pytest.mark.parametrize(
    ("hint", "why"),
    [
        (set, "set is no type of an input"),
        (bytes, "bytes is no type"),
        (tuple[int, str], "no type"),
        (type, "no type"),
        (Drive, "Drive is no type"),
        ("Nowhere", "name 'Nowhere' is not defined"),
        (
            list["Nowhere"],  # noqa: F821 - that is the point; 3.10 leaves it a text
            "Nowhere.* is ",
        ),
        (Endless, "more than 20 types"),
    ],
)
def test_a_hint_that_is_no_type_of_an_input_is_refused_when_decorating(hint, why):
    with pytest.raises(TypeError, match=rf"'value' of tools.acme.function can't be an input: .*{why}"):
        schema_of(hint)


@pytest.mark.parametrize(
    ("hint", "value", "result"),
    [
        (str, "5", "5"),
        (int, 5, 5), (int, "5", 5), (int, " 5 ", 5), (int, "+5", 5), (int, "1_000", 1000), (int, "5.0", 5),
        (int, 5.0, 5), (int, True, 1), (int, "9" * 30, int("9" * 30)),
        (float, 5, 5.0), (float, "5", 5.0), (float, "1e3", 1000.0), (float, True, 1.0), (float, "inf", float("inf")),
        (bool, True, True), (bool, 0, False), (bool, 1.0, True),
        (bool, "Yes", True), (bool, "oFF", False), (bool, "t", True),
        (datetime, "2024-01-02", datetime(2024, 1, 2)),  # noqa: DTZ001 - none was given
        (datetime, "2024-01-02T03:04", datetime(2024, 1, 2, 3, 4)),  # noqa: DTZ001 - none was given
        (datetime, "2024-01-02 03:04:05.12Z", datetime(2024, 1, 2, 3, 4, 5, 120000, UTC)),
        (datetime, "2024-01-02T03:04:05.123456789", datetime(2024, 1, 2, 3, 4, 5, 123456)),  # noqa: DTZ001
        (datetime, "2024-01-02T03:04:05-0230", datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(-timedelta(hours=2.5)))),
        (datetime, 0, datetime(1970, 1, 1, tzinfo=UTC)),
        (datetime, "1.5", datetime(1970, 1, 1, 0, 0, 1, 500000, UTC)),
        (datetime, 1700000000000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (timedelta, 90, timedelta(seconds=90)), (timedelta, 1.5, timedelta(seconds=1.5)),
        (timedelta, "PT1H30M", timedelta(hours=1.5)), (timedelta, "P1D", timedelta(days=1)),
        (timedelta, "-PT5S", timedelta(seconds=-5)), (timedelta, "P1W", timedelta(weeks=1)),
        (timedelta, "01:02:03", timedelta(hours=1, minutes=2, seconds=3)),
        (timedelta, "1 day, 2:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        (Any, {1}, {1}), (None, None, None),
        (list[int], ("1", 2), [1, 2]), (tuple[int, ...], [1, "2"], (1, 2)), (dict[int, str], {"1": "a"}, {1: "a"}),
        (int | str, "5", "5"), (int | str, 5.0, 5), (int | str, True, 1), (str | int, 5, 5),
        (datetime | str, "2024-01-02", "2024-01-02"), (datetime | str, 5, datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)),
        (float | int, 5, 5), (float | int, "5", 5.0), (int | None, None, None),
        (Literal["a", 1], 1, 1), (Colour, "r", Colour.RED), (Colour, Colour.BLUE, Colour.BLUE),
        (UserId, "7", 7),
        (Options, {"size": "3"}, {"size": 3}),
        (File, {"name": "a", "size": "1"}, File("a", 1)), (File, File("b"), File("b")),
        (list[File], [{"name": "a"}], [File("a")]),
        (Inner, {"count": "3"}, Inner(count=3)), (Inner, Inner(count=1), Inner(count=1)),
    ],
)  # fmt: skip
def test_a_value_is_brought_to_its_type(hint, value, result):
    found = coerced(hint, value)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("hint", "value", "why"),
    [
        (str, 5, "value: text is needed, not an integer"),
        (str, None, "value: text is needed, not None"),
        (int, "5.5", "value: an integer is needed, not text"),
        (int, 5.5, "value: an integer is needed, not a float"),
        (int, float("nan"), "value: an integer is needed, not a float"),
        (int, "9" * 5000, "value: an integer is needed, not text"),
        (float, None, "value: a number is needed, not None"),
        (float, "1,5", "value: a number is needed, not text"),
        (float, 10**400, "value: a number is needed, not an integer"),
        (bool, 2, "value: a boolean is needed, not an integer"),
        (bool, "maybe", "value: a boolean is needed, not text"),
        (bool, [], "value: a boolean is needed, not a list"),
        (datetime, "x", "value: a date and time is needed, not text"),
        (datetime, "2024-13-02", "value: a date and time is needed, not text"),
        (datetime, "2024-01-02T03:04+99:00", "value: a date and time is needed, not text"),
        (datetime, 1e300, "value: a date and time is needed, not a float"),
        (datetime, True, "value: a date and time is needed, not a boolean"),
        (timedelta, "90", "value: a duration is needed, not text"),
        (timedelta, "1:02", "value: a duration is needed, not text"),
        (timedelta, "", "value: a duration is needed, not text"),
        (timedelta, 1e300, "value: a duration is needed, not a float"),
        (None, 0, "value: None is needed, not an integer"),
        (list[int], "12", "value: a list is needed, not text"),
        (list[int], [1, "x"], "value[1]: an integer is needed, not text"),
        (dict, [1], "value: a mapping is needed, not a list"),
        (dict[str, int], {"a": "x"}, "value['a']: an integer is needed, not text"),
        (dict[int, str], {"a": "x"}, "value['a']: an integer is needed, not text"),
        (int | None, "x", "value: an integer is needed, not text; or None is needed, not text"),
        (list[int] | None, ["x"], "value[0]: an integer is needed, not text"),
        (Literal["a", 1], "A", "value: must be one of a, 1"),
        (Literal["a", 1], True, "value: must be one of a, 1"),
        (Colour, "RED", "value: must be one of r, b"),
        (Options, {"size": 1, "x": 2}, "value.x: is not known"),
        (Options, {}, "value.size: is missing"),
        (list[File], [{"name": "a", "size": "x"}], "value[0].size: an integer is needed, not text"),
        (File, {"name": "a", "size": -1}, "value: is refused (ValueError)"),
        (Model, {"inner": {"count": []}, "at": 0}, "value.inner.count: Input should be a valid integer"),
        (Model, {"inner": {"count": 1}, "at": "1999-01-01"}, "value.at: is refused by its validator"),
        (str, Drive("x"), "value: text is needed, not an object of Drive"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_by_its_field(hint, value, why):
    with pytest.raises(ActionError) as caught:
        coerced(hint, value)
    assert caught.value.reason == f"the inputs of tools.acme.function are wrong: {why}"


def test_every_field_that_is_wrong_is_named():
    def function(owner: str, repo: str, limit: int = 3): ...

    assert refusal(function, owner=1, ownr="x", zzz=2) == (
        "repo: is missing; owner: text is needed, not an integer; ownr: is no input; did you mean owner?; "
        "zzz: is no input"
    )


def test_a_default_is_taken_as_it_stands():
    def function(limit: int = "7"):
        return limit

    assert run(function) == "7"
    assert refusal(function, limit=None) == "limit: an integer is needed, not None"
    assert function.inputs["properties"]["limit"] == {"type": "integer", "default": "7"}


def test_a_default_that_json_can_not_hold_is_not_shown():
    def function(value: Any = object):
        return value is object

    assert run(function) is True
    assert function.inputs["properties"]["value"] == {}


def test_keywords_take_further_inputs():
    def function(a: int = 0, **more: int):
        return [a, more]

    assert run(function, a="1", b="2") == [1, {"b": 2}]
    assert function.inputs["additionalProperties"] == {"type": "integer"}
    assert refusal(function, b="x") == "b: an integer is needed, not text"


def test_hints_that_are_text_are_looked_up_where_the_function_is(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "future_actions.py").write_text(
        textwrap.dedent("""
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from dataclasses import dataclass
        import evergrant
        from evergrant import injected, oauth
        if TYPE_CHECKING:
            from evergrant import AccessToken

        @dataclass
        class Size:
            width: int

        @oauth("github")
        @evergrant.action("tools.future")
        def below(size: Size, *, token: AccessToken = injected) -> int:
            return size.width

        @evergrant.action("tools.future")
        @oauth("github")
        def above(size: Size, *, token: AccessToken = injected) -> int:
            return size.width
        """)
    )
    module = importlib.import_module("future_actions")
    try:
        for function in (module.below, module.above):
            assert function.inputs["properties"]["size"]["properties"] == {"width": {"type": "integer"}}
    finally:
        del sys.modules["future_actions"]
