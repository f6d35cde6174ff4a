"""Lambdas of templates: Python source that is checked, rewritten so that every operation is bounded, and called.

`lambda x: …` comes out of a template, and parts of it may come out of a reply. Its syntax tree is compared with a list
of what is allowed, its operators, calls, subscripts and loops are replaced by those of `Bounds`, and it sees nothing
but what it is given. This keeps mistakes and bombs in; it is no wall against whoever writes the template.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any, Final, NoReturn

from evergrant.actions._bounds import FUNCTIONS, Bounds
from evergrant.actions._text import Refused
from evergrant.actions._values import as_json
from evergrant.exceptions import ActionError, EvergrantError

LONGEST: Final = 1000
"""Characters of a lambda."""
MOST_MEMBERS: Final = 10_000
"""Members of a list or mapping that a lambda is called with."""

# Nothing of these may stand anywhere, not even in a text: they are how one gets to what is not allowed.
_REFUSED_TEXTS: Final = ("__", "\\x", "\\u", "chr(", "ord(", ".decode", ".encode", "base64", "codecs")

_REFUSED_NAMES: Final = (
    *("breakpoint", "builtins", "classmethod", "code", "codecs", "compile", "ctypes", "delattr", "dir", "eval", "exec"),
    *("exit", "getattr", "globals", "hasattr", "help", "http", "importlib", "input", "inspect", "io", "locals"),
    *("marshal", "memoryview", "object", "open", "os", "pathlib", "pickle", "property", "quit", "requests", "setattr"),
    *("shutil", "signal", "socket", "staticmethod", "subprocess", "super", "sys", "threading", "type", "vars"),
)

_OPERATORS: Final[dict[type[ast.AST], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.BitAnd: "&",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}

_ALLOWED: Final[tuple[type[ast.AST], ...]] = (
    *_OPERATORS,
    *(ast.Expression, ast.Lambda, ast.arguments, ast.arg, ast.Constant, ast.JoinedStr, ast.FormattedValue),
    *(ast.Name, ast.Load, ast.Store, ast.Attribute, ast.Subscript, ast.Slice, ast.Call, ast.keyword),
    *(ast.BinOp, ast.UnaryOp, ast.UAdd, ast.USub, ast.Not, ast.Invert, ast.BoolOp, ast.And, ast.Or, ast.Compare),
    *(ast.IfExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension),
    *(ast.List, ast.Tuple, ast.Set, ast.Dict),
)
_KINDS: Final = (type(None), bool, int, float, str, bytes, list, tuple, dict, set)


def evaluate(source: str, *values: Any) -> Any:
    """What a lambda makes of `values`, as JSON keeps it.

    Args:
        source: `lambda x: …`, at most 1,000 characters, with exactly one parameter that has to be given.
        values: Its arguments: a list or a mapping has at most 10,000 members.

    Raises:
        ActionError: It is not allowed, takes too much, fails, or returns what JSON can't hold. It names no value.
    """
    return as_json(function(source)(*values), "what the lambda returned")


def function(source: str) -> Callable[..., Any]:
    """A lambda to be called several times, whose calls together have the bounds of one; it returns Python's values.

    Raises:
        ActionError: As `evaluate`; the function that it returns, too.
    """
    if not isinstance(source, str):
        _refuse(f"it is text that begins with `lambda`, not {type(source).__name__}")
    code = _compiled(source)
    bounds = Bounds()
    names = {"__builtins__": {}, **bounds.names()}
    # Defaults are worked out here.
    made, error = _outcome(eval, (code, names))
    if error is not None:
        raise error

    def call(*values: Any) -> Any:
        for value in values:
            if isinstance(value, (list, dict)) and len(value) > MOST_MEMBERS:
                reason = f"a lambda takes lists and mappings of at most {MOST_MEMBERS:,} members, not {len(value):,}"
                raise ActionError(reason, code="lambda_too_large")
        result, error = _outcome(made, values)
        if error is None and not isinstance(result, _KINDS):
            reason = f"the lambda returned a {type(result).__name__}: make a list of it"
            error = ActionError(reason, code="lambda_failed")
        if error is not None:
            raise error
        return result

    return call


def _outcome(made: Callable[..., Any], values: tuple[Any, ...]) -> tuple[Any, ActionError | EvergrantError | None]:
    """What comes of a call, or what to raise in its place: the error itself may quote a value."""
    try:
        return made(*values), None
    except EvergrantError as error:
        return None, error.with_traceback(None)
    except Refused as error:
        return None, ActionError(f"the lambda was stopped: {error}", code="lambda_stopped")
    except RecursionError:
        return None, ActionError("the lambda was stopped: it calls itself too deeply", code="lambda_stopped")
    except MemoryError:
        return None, ActionError("the lambda was stopped: it takes too much memory", code="lambda_stopped")
    except Exception as error:  # noqa: BLE001 - whatever it raises is its own failure
        return None, ActionError(f"the lambda failed with {type(error).__name__}", code="lambda_failed")


@functools.lru_cache(maxsize=256)
def _compiled(source: str) -> CodeType:
    if len(source) > LONGEST:
        _refuse(f"it has {len(source):,} characters, {LONGEST:,} are allowed")
    for text in _REFUSED_TEXTS:
        if text in source:
            _refuse(f"`{text}` may not stand in it")
    tree = _parsed(source)
    _check(tree)
    code: CodeType | None = None
    try:
        code = compile(ast.fix_missing_locations(_Rewriting().visit(tree)), "<lambda>", "eval")
    except (RecursionError, SyntaxError, ValueError, MemoryError):
        _refuse("its parts stand too deeply inside of each other")
    return code


def _parsed(source: str) -> ast.Expression:
    place = ""
    try:
        return ast.parse(source, mode="eval")
    except SyntaxError as error:
        if error.lineno and error.offset:
            place = f" at line {error.lineno}, column {error.offset}"
    except (RecursionError, MemoryError, ValueError):
        pass  # too deep for Python's own parser, or a null byte
    # Raised here: the error behind it quotes the source.
    return _refuse(f"it is no Python expression{place}")


def _check(tree: ast.Expression) -> None:
    body = tree.body
    if not isinstance(body, ast.Lambda):
        _refuse("it begins with `lambda` and its parameter")
    nodes = list(ast.walk(tree))
    for node in nodes:
        _check_node(node)
    arguments = body.args
    needed = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    if needed != 1 or None in arguments.kw_defaults:
        _refuse("it has exactly one parameter that has to be given")
    bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.Name) and node.id not in bound and node.id not in FUNCTIONS:
            _refuse(f"`{node.id}` is not known in it: there are its parameters and {', '.join(FUNCTIONS)}")


def _check_node(node: ast.AST) -> None:
    if not isinstance(node, _ALLOWED):
        _refuse(f"{_spelt(node)} is not allowed in it")
    if isinstance(node, ast.Constant) and not isinstance(node.value, (type(None), bool, int, float, str, bytes)):
        _refuse(f"{type(node.value).__name__} is not allowed in it")
    if isinstance(node, ast.arguments) and (node.vararg or node.kwarg):
        _refuse("`*` before a parameter is not allowed in it")
    if (isinstance(node, ast.keyword) and node.arg is None) or (isinstance(node, ast.Dict) and None in node.keys):
        _refuse("`**` before a value is not allowed in it")
    if isinstance(node, ast.comprehension):
        if node.is_async:
            _refuse("`async` is not allowed in it")
        if not all(isinstance(part, (ast.Name, ast.Tuple, ast.List, ast.Store)) for part in ast.walk(node.target)):
            _refuse("`for` names what it goes through, and sets nothing")
    if isinstance(node, ast.Tuple) and any(isinstance(part, ast.Slice) for part in node.elts):
        _refuse("a subscript has one slice")
    for name in _names(node):
        if name in _REFUSED_NAMES:
            _refuse(f"the name `{name}` is not allowed in it")


def _names(node: ast.AST) -> Iterable[str]:
    for field in ("id", "arg", "attr"):
        name = getattr(node, field, None)
        if isinstance(name, str):
            yield name


def _spelt(node: ast.AST) -> str:
    spellings = {"NamedExpr": "`:=`", "Starred": "`*` before a value", "Await": "`await`", "MatMult": "`@`"}
    name = type(node).__name__
    return spellings.get(name, name)


def _refuse(why: str) -> NoReturn:
    raise ActionError(f"the lambda is not allowed: {why}", code="lambda_refused")


class _Rewriting(ast.NodeTransformer):
    """Puts the bounded operations of `Bounds` in the place of Python's.

    Their names are no identifiers: no parameter of a lambda hides one, and no lambda can call one.
    """

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        weight = _weight(node.body)
        self.generic_visit(node)
        # `step` is true: the body is what `and` gives.
        node.body = ast.BoolOp(ast.And(), [_call("<step>", ast.Constant(weight)), node.body])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return _call("<binary>", ast.Constant(_OPERATORS[type(node.op)]), node.left, node.right)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        signs = ast.Tuple([ast.Constant(_OPERATORS[type(sign)]) for sign in node.ops], ast.Load())
        # In a chain an operand is evaluated once, and only if those before it hold.
        return _call("<compare>", signs, node.left, *(_later(operand) for operand in node.comparators))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return _call("<attribute>", node.value, ast.Constant(node.attr))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(_name("<call>"), [node.func, *node.args], node.keywords)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        return _call("<item>", node.value, node.slice)

    def visit_Slice(self, node: ast.Slice) -> ast.AST:
        self.generic_visit(node)
        return _call("<slice>", *(part or ast.Constant(None) for part in (node.lower, node.upper, node.step)))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        return _call("<text>", *node.values)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        self.generic_visit(node)
        return _call("<format>", node.value, ast.Constant(node.conversion), node.format_spec or ast.Constant(""))

    def visit_Set(self, node: ast.Set) -> ast.AST:
        self.generic_visit(node)
        node.elts = [_call("<key>", key) for key in node.elts]
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        self.generic_visit(node)
        node.keys = [_call("<key>", key) for key in node.keys if key is not None]
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._loops(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._loops(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        self._loops(node)
        node.elt = _call("<key>", node.elt)
        return node

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        self._loops(node)
        node.key = _call("<key>", node.key)
        return node

    def _loops(self, node: Any) -> ast.AST:
        weight = _weight(node)
        self.generic_visit(node)
        for loop in node.generators:
            loop.iter = _call("<each>", loop.iter, ast.Constant(weight))
        return node  # type: ignore[no-any-return]


def _weight(node: ast.AST) -> int:
    """What evaluating `node` once costs at most by its literals and loops alone."""
    return sum(1 for _ in ast.walk(node))


def _later(node: ast.expr) -> ast.Lambda:
    return ast.Lambda(ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]), node)


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(_name(name), list(arguments), [])
