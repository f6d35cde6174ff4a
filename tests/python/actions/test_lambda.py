"""Lambdas of templates: what is allowed, what is refused, and that no bomb goes off."""

import time
import traceback

import pytest

from evergrant import ActionError
from evergrant.actions import _bounds, _lambda

evaluate = _lambda.evaluate


@pytest.mark.parametrize(
    ("source", "value", "result"),
    [
        ("lambda x: x + 1", 1, 2),
        ("lambda x: -x // 2 % 3 - +x ** 2", 5, -25),
        ("lambda x: ~x & 6 | 1 ^ 3 << 1 >> 1", 1, 6),
        ("lambda x: 1 < x <= 3 != 4", 3, True),
        ("lambda x: x is None or x is not True and not x", False, True),
        ("lambda x: 'b' in x and 'z' not in x", ["a", "b"], True),
        ("lambda x: 'yes' if x > 1 else 'no'", 1, "no"),
        ("lambda x: [i['a'] for i in x if i.get('b', 1)]", [{"a": 1}, {"a": 2, "b": 0}], [1]),
        ("lambda x: {k: v for k, v in x.items() if v is not None}", {"a": None, "b": 2}, {"b": 2}),
        ("lambda x: sorted({len(i) for i in x})", ["a", "bb", "c"], [1, 2]),
        ("lambda x: sum(i for i in x)", [1, 2.5], 3.5),
        ("lambda x: [[a, b] for a in x for b in x if a < b]", [1, 2], [[1, 2]]),
        ("lambda x: f'{x!r:>5}|{x:.2f}|{{}}'", 1.5, "  1.5|1.50|{}"),
        ("lambda x: f'{x:{4}}'", 1, "   1"),
        ("lambda x: '{0[a]} {y:>4}'.format(x, y=3)", {"a": 1}, "1    3"),
        ("lambda x: '%s-%03d %%' % ('a', x)", 7, "a-007 %"),
        ("lambda x: '%(a)s' % x", {"a": 1}, "1"),
        ("lambda x: x[1:][::-1]", [1, 2, 3], [3, 2]),
        ("lambda x: x['a'][0]", {"a": [1]}, 1),
        ("lambda x: (1, 'a')", None, [1, "a"]),
        ("lambda x, y=2: x + y", 1, 3),
        ("lambda x: (lambda y=2, *, z: x + y + z)(z=1)", 1, 4),
        ("lambda x: x.update({'a': 1}) or x", {}, {"a": 1}),
        ("lambda x: sorted(x, key=str.lower, reverse=True)", ["b", "A"], ["b", "A"]),
        ("lambda x: sorted(x, key=lambda i: i['n'])[0]['n']", [{"n": 2}, {"n": 1}], 1),
        ("lambda x: dict(zip(['a', 'b'], x))", [1, 2], {"a": 1, "b": 2}),
        ("lambda x: [list(i) for i in enumerate(reversed(x))]", ["a"], [[0, "a"]]),
        ("lambda x: [min(x), max(x, key=abs), round(1.25, 1), len(x)]", [-3, 2], [-3, -3, 1.2, 2]),
        ("lambda x: [any(x), all(x), bool(x)]", [1, 0], [True, False, True]),
        ("lambda x: [int('7'), float('1e3'), str(x)]", None, [7, 1e3, "None"]),
        ("lambda x: list(range(3)) + list(tuple(x))", [9], [0, 1, 2, 9]),
        ("lambda x: ','.join(i.strip() for i in x.split(';'))", "a; b", "a,b"),
        ("lambda x: x.replace('a', 'bb').upper()", "aXa", "BBXBB"),
        ("lambda x: [x.pop(0), x.index(3), x.count(2), len(x)]", [1, 2, 3], [1, 1, 1, 2]),
        ("lambda x: 10 ** 400 > x", 1, True),
        ("lambda x: x\n", 1, 1),
        ("lambda x: 1 / 3", None, 1 / 3),
        ("lambda x: 2 ** 70", None, float(2**70)),
        ("lambda x: float('inf')", None, None),
        ("lambda x: {1: 'a', None: 'b'}", None, {"1": "a", "None": "b"}),
        ("lambda len: len", 5, 5),
    ],
)  # fmt: skip
def test_a_lambda_computes_as_python_does(source, value, result):
    assert evaluate(source, value) == result


def test_a_chain_evaluates_what_it_needs_and_once():
    assert evaluate("lambda x: [1 < x.pop() < 3, x]", [9, 2]) == [True, [9]]
    assert evaluate("lambda x: 3 < 1 < 1 / 0", None) is False


def test_a_path_is_looked_up_by_the_core(core):
    core.jsonpath = lambda path, value: [path, value]

    assert evaluate("lambda x: jsonpath('$.a[*]', x)", {"a": [1]}) == ["$.a[*]", {"a": [1]}]
    assert evaluate("lambda x: jsonpath('$..a..b', x)", {"a": [1]}) == ["$..a..b", {"a": [1]}]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("x + 1", "begins with `lambda`"),
        (" lambda x: x", "no Python expression"),
        ("lambda x: import os", "no Python expression at line 1, column 11"),
        ("lambda x: x; x", "no Python expression"),
        ("lambda: 1", "exactly one parameter"),
        ("lambda x, y: x", "exactly one parameter"),
        ("lambda x, *, y: x", "exactly one parameter"),
        ("lambda *x: x", r"`\*` before a parameter"),
        ("lambda x, **y: x", r"`\*` before a parameter"),
        ("lambda x: [*x]", r"`\*` before a value"),
        ("lambda x: len(*x)", r"`\*` before a value"),
        ("lambda x: {**x}", r"`\*\*` before a value"),
        ("lambda x: dict(**x)", r"`\*\*` before a value"),
        ("lambda x: [y := x]", "`:=`"),
        ("lambda x: [i async for i in x]", "`async`|no Python expression"),
        ("lambda x: await x", "`await`|no Python expression"),
        ("lambda x: x @ x", "`@`"),
        ("lambda x: (yield x)", "Yield"),
        ("lambda x: 3j", "complex"),
        ("lambda x: ...", "ellipsis"),
        ("lambda x: [0 for x[0] in [1]]", "sets nothing"),
        ("lambda x: [0 for x.a in [1]]", "sets nothing"),
        ("lambda x: x[1:2, 3]", "one slice"),
        ("lambda x: x.__class__", "`__`"),
        ("lambda x: '__class__'", "`__`"),
        ("lambda x: '\\x41'", r"`\\x`"),
        ("lambda x: '\\u0041'", r"`\\u`"),
        ("lambda x: chr(95)", r"`chr\(`"),
        ("lambda x: ord('a')", r"`ord\(`"),
        ("lambda x: x.decode()", "`.decode`"),
        ("lambda x: x.encode()", "`.encode`"),
        ("lambda x: 'base64'", "`base64`"),
        ("lambda x: codecs", "`codecs`"),
        ("lambda x: open('a')", "the name `open`"),
        ("lambda type: type", "the name `type`"),
        ("lambda x: x.http", "the name `http`"),
        ("lambda x: x.get(sys=1)", "the name `sys`"),
        ("lambda x: print(x)", "`print` is not known"),
        ("lambda x: isinstance(x, str)", "`isinstance` is not known"),
        ("lambda x: [i for i in x] and re", "`re` is not known"),
        ("lambda x: " + "x" * 991, "1,001 characters, 1,000"),
        ("lambda x: " + "-" * 900 + "x", "deep|no Python expression"),
        ("lambda x: " + "[" * 300 + "]" * 300, "no Python expression"),
        ("lambda x: \0", "no Python expression"),
        ("", "no Python expression"),
        (None, "text"),
        (["lambda x: x"], "text"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_before_it_runs(source, why):
    with pytest.raises(ActionError, match=why) as caught:
        _lambda.function(source)
    assert caught.value.code == "lambda_refused"


@pytest.mark.parametrize(
    "source",
    [
        "lambda x: x.foo",
        "lambda x: (i for i in x).gi_frame",
        "lambda x: (lambda: 0).func_globals",
        "lambda x: jsonpath.func",
        "lambda x: str.mro()",
        "lambda x: x.get.args",
        "lambda x: str.lower(1)",
        "lambda x: dict.fromkeys('ab')",
    ],
)
def test_nothing_but_the_methods_of_values_is_reached(source):
    with pytest.raises(ActionError, match=r"failed with (AttributeError|TypeError)") as caught:
        evaluate(source, {"a": 1})
    assert caught.value.code == "lambda_failed"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("lambda x: {'a': x}['b']", "KeyError"),
        ("lambda x: int(x)", "ValueError"),
        ("lambda x: x + 1", "TypeError"),
        ("lambda x: [][0]", "IndexError"),
        ("lambda x: 1 / 0", "ZeroDivisionError"),
        ("lambda x: 1e308 * 10 ** 308", "OverflowError"),
        ("lambda x: 1 in (i for i in x)", "TypeError"),
        ("lambda x: sum(['a'], '')", "TypeError"),
    ],
)
def test_an_error_names_its_kind_and_no_value(source, kind):
    if kind == "OverflowError":
        source = "lambda x: 10.0 ** 400"
    with pytest.raises(ActionError, match=f"failed with {kind}$") as caught:
        evaluate(source, "secret-value")
    error = caught.value
    while error is not None:
        assert "secret" not in f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or error.__context__


BOMBS = [
    "'a' * 10 ** 9",
    "10 ** 9 * 'a'",
    "[0] * 10 ** 9",
    "10 ** 10 ** 8",
    "1 << 10 ** 10",
    "(1 << 4000) * (1 << 4000)",
    "int('9' * 5000)",
    "round(5, -10 ** 9)",
    "list(range(10 ** 12))",
    "len(range(10 ** 30))",
    "sum(range(10 ** 9))",
    "[i for a in range(10 ** 6) for i in range(10 ** 6)]",
    "any(i < 0 for a in range(10 ** 6) for i in range(10 ** 6))",
    "list(zip(range(10 ** 6), range(10 ** 6), range(10 ** 6)))",
    "'a'.ljust(10 ** 10)",
    "'a'.zfill(10 ** 10)",
    "'a'.center(10 ** 10, 'b')",
    "str.rjust('a', 10 ** 10)",
    "sorted([10 ** 9], key='a'.ljust)",
    "'a\t'.expandtabs(10 ** 10)",
    "('a' * 10 ** 6).replace('a', 'b' * 10 ** 6)",
    "('b' * 10 ** 6).join(['a'] * 10 ** 6)",
    "','.join(['a' * 10 ** 7] * 1000)",
    "f'{x:>999999999}'",
    "f'{x:.999999999f}'",
    "f'{x:{10 ** 9}}'",
    "'{:999999999}'.format(x)",
    "'{:{}}'.format(x, 10 ** 9)",
    "'{0.real}'.format(x)",
    "('{0}' * 10 ** 5).format('a' * 10 ** 5)",
    "'%999999999d' % x",
    "'%*d' % (10 ** 9, x)",
    "'%.999999999f' % x",
    "'%(a(b)c)999999999d' % {'a(b)c': 1}",
    "('%(a)s' * 10 ** 5) % {'a': 'b' * 10 ** 5}",
    "str(['a' * 10 ** 7] * 1000)",
    "[['a' * 10 ** 7 + str(i)] for i in range(1000)]",
    "[[[], [], [], [], [], []] for i in range(10 ** 6)]",
    "[2 ** 4000 + i for i in range(10 ** 6)]",
    "sum([[1]] * 10 ** 6, [])",
    "sorted([[1] * 1000] * 10 ** 5)",
    "[1] * 10 ** 6 == [1] * 10 ** 6 and [[1] * 10 ** 6] * 10 == [[1] * 10 ** 6] * 10",
    "(lambda a, b: [a in b for i in range(10 ** 5)])('a' * 10 ** 6, ['a' * 10 ** 6 + ''] * 10)",
    "(lambda a, b: [{a: 1}[b] for i in range(10 ** 5)])('a' * 10 ** 6, 'a' * 10 ** 6)",
    "(lambda f: f(f))(lambda f: f(f))",
    "(lambda f: f(f))(lambda f: sorted([f], key=f))",
    "(lambda a: [a.append([a[-1], a[-1]]) for i in range(60)] and str(a))([1])",
    "(lambda a: [a.append([a[-1], a[-1]]) for i in range(60)] and a[:] == a[::])([1])",
    "(lambda a: [a.append((a[-1], a[-1])) for i in range(60)] and {a[-1]: 1})([1])",
    "(lambda a: [a.append((a[-1], a[-1])) for i in range(60)] and {}.get(a[-1]))([1])",
    "(lambda a: [a.append((a[-1], a[-1])) for i in range(60)] and set(a))([1])",
    "(lambda a: [a.extend(a) for i in range(60)])([1])",
    "(lambda a: [a.insert(0, 1) for i in range(10 ** 6)])([0] * 10 ** 5)",
    "(lambda a: [a.reverse() for i in range(10 ** 6)])([0] * 10 ** 6)",
    "(lambda a: a.append(a) or str(a))([1])",
    "jsonpath('$' + '..*' * 9, [[i] for i in range(100)])",
    "(lambda a: a.append(a) or a == a)([1])",
    "(lambda a: [[a.append([(((((((((a.pop()[0],),),),),),),),),)]) for i in range(9999)], {a.pop()[0]: 1}])([[0]])",
    "(lambda a: a.extend([a] * 500000) or str(a))([1])",
    "max([1, 2], key=lambda i: [[[[[0] * 100] * 100] * 100] * 100] * 100)",
    "sorted(range(20000), key=lambda i, b=[0] * 300000: b)",
    "[0 for i in range(100000) if [] in range(1000000)]",
    "('a' * 400000).rfind('ab' + 'a' * 200000)",
    "('a' * 400000).strip('b' * 400000 + 'a')",
    "{i * 2305843009213693951 for i in range(60000)}",
    "set([i * 2305843009213693951 for i in range(60000)])",
    "dict([(i * 2305843009213693951, 1) for i in range(60000)])",
    "(lambda a: [a.add(i * 2305843009213693951) for i in range(60000)])(set())",
    "('%()999s' * 1300000) % {'': ''}",
    "str([2 ** 4095] * 900000)",
    "jsonpath('.' * 4000000, [0] * 300000)",
    "[0 for i in range(60000) if round(7, -4096)]",
    "len({1: ((((((0,) * 60,) * 60,) * 60,) * 60,) * 60,) * 2}.items() ^ {1: 0}.items())",
]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_bomb_goes_off(bomb):
    began = time.process_time()
    with pytest.raises(ActionError, match="the lambda was stopped") as caught:
        evaluate(f"lambda x: {bomb}", 1)
    assert caught.value.code == "lambda_stopped"
    assert time.process_time() - began < 20  # without a bound each takes minutes, or all memory


def test_a_result_that_holds_itself_or_is_a_bomb_is_refused():
    with pytest.raises(ActionError, match="more than 150 levels"):
        evaluate("lambda x: x.append(x) or x", [1])
    with pytest.raises(ActionError, match="more than 1,048,576 members"):
        evaluate("lambda x: [x.append([x[-1], x[-1]]) for i in range(60)] and x", [1])


def test_a_text_that_stands_in_many_places_is_a_large_result():
    with pytest.raises(ActionError, match="more than 1,048,576 members"):
        evaluate("lambda x: ['a' * 1000000] * 20000", 1)


def test_a_view_is_joined_with_sets_alone():
    assert evaluate("lambda x: sorted(x.keys() & {'a', 'c'})", {"a": 1, "b": 2}) == ["a"]
    with pytest.raises(ActionError, match="failed with TypeError"):
        evaluate("lambda x: {}.keys() & range(1000000)", 1)


def test_a_large_integer_is_computed_with_and_looked_for():
    assert evaluate("lambda x: str(2 ** 64) + str(2 ** 64 in [2 ** 64])", 1) == "18446744073709551616True"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("lambda x: (i for i in x)", "returned a generator"),
        ("lambda x: range(3)", "returned a range"),
        ("lambda x: zip(x)", "returned a zip"),
        ("lambda x: (-8) ** 0.5", "returned a complex"),
        ("lambda x: {1}", "holds a set"),
        ("lambda x: [b'a']", "holds a bytes"),
        ("lambda x: [lambda: 1]", "holds a function"),
    ],
)
def test_a_result_is_a_value_of_json(source, why):
    with pytest.raises(ActionError, match=why):
        evaluate(source, [1])


def test_a_value_may_have_ten_thousand_members():
    assert evaluate("lambda x: len(x)", [0] * 10_000) == 10_000
    with pytest.raises(ActionError, match="10,000 members, not 10,001"):
        evaluate("lambda x: len(x)", [0] * 10_001)


@pytest.mark.parametrize(
    ("default", "code"),
    [("{}['a value']", "lambda_failed"), ("int('a value')", "lambda_failed"), ("2**9999", "lambda_stopped")],
)
def test_a_default_that_fails_names_no_value(default, code):
    with pytest.raises(ActionError) as raised:
        evaluate(f"lambda x, y={default}: x", 1)
    assert raised.value.code == code
    assert "a value" not in "".join(traceback.format_exception(raised.value))


def test_the_calls_of_a_function_share_one_budget():
    work = _lambda.function("lambda x: sum(range(x))")
    for _ in range(_bounds.BUDGET // 1_000_100):
        assert work(1_000_000) > 0
    with pytest.raises(ActionError, match="steps"):
        work(1_000_000)
    assert evaluate("lambda x: sum(range(10))", 1) == 45


def test_five_hundred_calls_may_stand_inside_of_each_other():
    down = "lambda x: (lambda f: f(f, x))(lambda f, n: n and f(f, n - 1))"
    assert evaluate(down, 100) == 0
    with pytest.raises(ActionError, match="too deeply"):
        evaluate(down, 1000)
