"""The steps `core.transform.*`."""

import pytest

from evergrant import ActionError
from evergrant.actions import _transform


@pytest.fixture
def paths(core):
    """Paths are looked up by the core; here they are keys behind `$.`."""

    def jsonpath(path, value):
        if not isinstance(path, str):
            raise TypeError
        if "[[" in path:
            raise ValueError(path)
        return value.get(path.removeprefix("$."))

    core.jsonpath = jsonpath


def test_reshape_gives_its_value():
    value = {"a": [1, None]}
    assert _transform.reshape(value) is value


def test_apply_gives_what_the_lambda_makes():
    assert _transform.apply({"name": "ann"}, "lambda x: x.get('name').upper()") == "ANN"


@pytest.mark.parametrize(
    ("items", "kept"), [([1, 2, 3], [2, 3]), ({2: "a", 1: "b"}, [2]), ([], []), ((1, 2), [2])]
)  # fmt: skip
def test_filter_keeps_what_the_lambda_finds_true(items, kept):
    assert _transform.filter(items, "lambda x: x > 1") == kept


def test_filter_goes_through_the_characters_of_a_text():
    assert _transform.filter("abc", "lambda x: x != 'b'") == ["a", "c"]


@pytest.mark.parametrize("step", ["filter", "map"])
def test_nothing_can_not_be_gone_through(step):
    with pytest.raises(ActionError, match="items: a list is needed, not NoneType"):
        getattr(_transform, step)(None, "lambda x: x")


def test_filter_takes_more_items_than_one_value_has_members():
    assert len(_transform.filter(list(range(20_000)), "lambda x: x % 2 == 0")) == 10_000


def test_map_gives_what_the_lambda_makes_of_each():
    assert _transform.map([1, 2], "lambda x: (x, x * 2)") == [[1, 2], [2, 4]]


def test_map_refuses_what_json_does_not_know():
    with pytest.raises(ActionError, match="holds a set"):
        _transform.map([1], "lambda x: {x}")


def test_is_in_and_not_in_part_the_items():
    assert _transform.is_in([1, "a", None], ["a", None]) == ["a", None]
    assert _transform.not_in([1, "a", None], ["a", None]) == [1]


def test_is_in_and_not_in_look_up_what_the_lambda_makes():
    items = [{"id": 1}, {"id": 2}]
    assert _transform.is_in(items, [2], "lambda x: x['id']") == [{"id": 2}]
    assert _transform.not_in(items, [2], "lambda x: x['id']") == [{"id": 1}]


def test_lists_and_mappings_can_not_be_looked_up():
    with pytest.raises(ActionError, match="items: a dict can't be looked up"):
        _transform.is_in([{}], [1])
    with pytest.raises(ActionError, match="collection: its members are texts"):
        _transform.not_in([1], [[1]])


def test_drop_nulls_keeps_what_is_false_but_not_null():
    assert _transform.drop_nulls([0, None, "", [], False]) == [0, "", [], False]


@pytest.mark.parametrize("value", [{"a": {"b": [1, {"c": None}]}, "d": {}}, '{"a": {"b": [1, {"c": null}]}, "d": []}'])
def test_flatten_json_gives_each_value_by_its_path(value):
    assert _transform.flatten_json(value) == {"a.b[0]": 1, "a.b[1].c": None}


@pytest.mark.parametrize("value", [[1], "[1]", "{", '{"a": NaN}', "[" * 100_000, 1, None])
def test_flatten_json_needs_a_mapping(value):
    with pytest.raises(ActionError, match="json: a mapping or its JSON text is needed"):
        _transform.flatten_json(value)


def test_flatten_json_goes_a_hundred_levels_down():
    value = 1
    for _ in range(100):
        value = {"a": value}
    assert _transform.flatten_json(value) == {".".join("a" * 100): 1}
    with pytest.raises(ActionError, match="100 levels"):
        _transform.flatten_json({"a": value})


@pytest.mark.usefixtures("paths")
def test_eval_jsonpaths_gives_what_is_found_by_its_path():
    assert _transform.eval_jsonpaths('{"a": 1}', ["$.a", "$.b"]) == {"$.a": 1, "$.b": None}


@pytest.mark.usefixtures("paths")
@pytest.mark.parametrize("path", ["[[secret", 3])
def test_what_is_no_path_is_refused_and_not_repeated(path):
    with pytest.raises(ActionError, match=r"^jsonpaths: one of them is no path$") as caught:
        _transform.eval_jsonpaths({}, [path])
    assert caught.value.__context__ is None


@pytest.mark.usefixtures("paths")
def test_deduplicate_merges_what_is_equal_at_all_keys():
    items = [{"id": 1, "a": 1}, {"id": 2, "a": 2}, {"id": 1, "b": 3}, {"id": "1"}]
    found = _transform.deduplicate(items, ["id"], persist=False)
    assert found == [{"id": 1, "a": 1, "b": 3}, {"id": 2, "a": 2}, {"id": "1"}]
    assert items[0] == {"id": 1, "a": 1}


@pytest.mark.usefixtures("paths")
def test_deduplicate_takes_one_mapping_and_keys_that_are_lists():
    assert _transform.deduplicate({"id": [1]}, ["id"], persist=False) == [{"id": [1]}]
    assert _transform.deduplicate([], ["id"]) == []


@pytest.mark.usefixtures("paths")
@pytest.mark.parametrize(
    ("items", "keywords", "why"),
    [
        ([{"id": 1}], {}, "persist: false"),
        ([{"a": 1}], {"persist": False}, "lacks a key"),
        ([1], {"persist": False}, "a mapping is needed, not int"),
    ],
)
def test_deduplicate_says_what_it_can_not_do(items, keywords, why):
    with pytest.raises(ActionError, match=why):
        _transform.deduplicate(items, ["id"], **keywords)
