"""What passes between steps: Python's values as JSON keeps them."""

import enum
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from types import MappingProxyType

import pydantic
import pytest

from evergrant import AccessToken, ActionError
from evergrant.actions._values import as_json

UTC = timezone.utc


class Colour(enum.Enum):
    RED = "r"


class Number(enum.IntEnum):
    ONE = 1


@dataclass
class File:
    name: str
    tags: tuple[str, ...] = field(default=())


class Model(pydantic.BaseModel):
    at: datetime


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ((1, (2,)), [1, [2]]),
        ({1: "a", None: "b", False: "c", 1.5: "d"}, {"1": "a", "None": "b", "False": "c", "1.5": "d"}),
        (OrderedDict(a=MappingProxyType({"b": 1})), {"a": {"b": 1}}),
        (float("nan"), None),
        (float("-inf"), None),
        (2**63, 2**63),
        (2**64, float(2**64)),
        (-(2**63) - 1, -float(2**63)),
        (10**400, None),
        (datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02T03:04:05Z"),
        (datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),  # noqa: DTZ001 - one without a zone
        (datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2024-01-02T00:00:00+02:00"),
        (date(2024, 1, 2), "2024-01-02"),
        (time(10), "10:00:00"),
        (timedelta(0), "PT0S"),
        (timedelta(days=1), "P1D"),
        (timedelta(seconds=90), "PT1M30S"),
        (timedelta(seconds=1.5), "PT1.5S"),
        (timedelta(seconds=-5), "-PT5S"),
        (timedelta(days=1, hours=2, minutes=3, seconds=4), "P1DT2H3M4S"),
        (timedelta(hours=1), "PT1H"),
        (Colour.RED, "r"),
        (Number.ONE, 1),
        ([File("a", ("x",))], [{"name": "a", "tags": ["x"]}]),
        (Model(at=datetime(2024, 1, 2, tzinfo=UTC)), {"at": "2024-01-02T00:00:00Z"}),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("é", "é"),
    ],
)
def test_a_value_becomes_what_json_keeps(value, result):
    found = as_json(value, "it")
    assert found == result
    assert type(found) is type(result)


def test_a_token_becomes_plain_text():
    assert type(as_json(AccessToken("x"), "it")) is str


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1}, "it holds a set, which JSON can't hold"),
        ([b"x"], "holds a bytes"),
        (File, "holds a type"),
        (object(), "holds a object"),
        (Exception("secret"), "holds an object of Exception"),
        ("\ud800", "no Unicode"),
        ({"\ud800": 1}, "no Unicode"),
        ([0] * (2**20 + 1), "1,048,576 members"),
    ],
)
def test_what_json_does_not_know_is_refused(value, why):
    with pytest.raises(ActionError, match=why) as caught:
        as_json(value, "it")
    assert caught.value.code == "not_json"
    assert "secret" not in str(caught.value)


def test_a_value_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(ActionError, match="150 levels"):
        as_json(value, "it")
