"""`evergrant run` and `evergrant actions`, with a fake in the place of what runs templates."""

import io
import json
import sys
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import pytest

import evergrant
from evergrant import ActionError, NotConnected, TemplateError, actions, aio, cli, injected, oauth
from evergrant.actions import _library, _udf

INPUTS = {
    "type": "object",
    "properties": {
        "owner": {"type": "string", "description": "Whose."},
        "limit": {"type": "integer", "default": 10},
        "since": {"type": "string", "format": "date-time", "default": None},
        "labels": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}], "default": None},
        "state": {"enum": ["open", "1"], "default": "open"},
        "either": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "anything": {},
    },
    "required": ["owner"],
}


class Template(SimpleNamespace):
    """What `actions.load` returns."""

    def __init__(self, path):
        word = path.stem if hasattr(path, "stem") else path.rpartition("/")[2].partition(".")[0]
        needs = (("github", "authorization_code", True), ("github", "client_credentials", True))
        super().__init__(
            name=f"tools.fake.{word}", title=word.capitalize(), description=f"Does {word}.\nWell.", inputs=INPUTS,
            needs=needs, hosts=("api.github.com",), path=path,
        )  # fmt: skip


class Fake:
    """What runs: it keeps its calls and returns `result`, or raises it."""

    def __init__(self):
        self.calls = []
        self.awaited = 0
        self.result = None

    def run(self, action, inputs, **keywords):
        self.calls.append((action, inputs, keywords))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def run_async(self, *arguments, **keywords):
        self.awaited += 1
        return self.run(*arguments, **keywords)

    @property
    def inputs(self):
        return self.calls[-1][1]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The library: three files, of which one is no template."""
    folder = tmp_path / "library" / "vendor"
    folder.mkdir(parents=True)
    for name in ("list.yaml", "get.yml", "broken.yaml", "notes.txt"):
        (folder / name).touch()
    monkeypatch.setattr(_library, "LIBRARY", folder.parent)
    monkeypatch.setattr(_library, "entry_points", lambda group: [])
    monkeypatch.setattr(_udf, "_registry", {})
    return folder


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    fake = Fake()

    def load(path):
        if "broken" in str(path):
            raise TemplateError("it is broken")
        return Template(path)

    monkeypatch.setattr(actions, "load", load, raising=False)
    monkeypatch.setattr(actions, "run", fake.run, raising=False)
    monkeypatch.setattr(aio, "actions", SimpleNamespace(run=fake.run_async), raising=False)
    monkeypatch.setattr(evergrant, "actions", actions, raising=False)
    return fake


@pytest.fixture
def run(core, capsys, monkeypatch):
    """Runs a command line; returns exit code, standard output and standard error."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = cli.run(list(arguments))
        return code, *capsys.readouterr()

    return run


# run


def test_a_template_is_run_by_its_name(run, fake):
    fake.result = {"a": [1, None]}
    code, out, err = run("run", "tools.fake.list", "--input", "owner=ann", "--connection", "work")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"a": [1, None]}
    ((template, inputs, keywords),) = fake.calls
    assert template.name == "tools.fake.list"
    assert inputs == {"owner": "ann"}
    assert keywords == {"workspace": None, "connection": "work"}


def test_a_template_is_run_by_its_file(run, fake):
    assert run("run", "some/list.yaml")[0] == 0
    assert fake.calls[0][0].path == "some/list.yaml"


def test_a_workspace_and_a_store_can_be_named(run, fake, core):
    run("run", "tools.fake.list", "--workspace", "team", "--store", "s.db")
    assert core.opened[0][:2] == ("team", "s.db")
    assert fake.calls[0][2]["workspace"].name == "team"


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("owner=5", "5"), ("owner=null", "null"), ("owner=", ""), ("owner=a=b", "a=b"), ('owner="a"', '"a"'),
        ("limit=5", 5), ("limit=five", "five"), ("limit=null", None),
        ("since=2024", "2024"), ("state=1", "1"),
        ('labels=["a"]', ["a"]), ("labels=null", None), ("labels=a", "a"),
        ("either=5", "5"), ("either=true", "true"), ("either=null", None), ('either="5"', "5"), ("either=x", "x"),
        ("anything=5", 5), ("anything=x", "x"), ('anything={"a": 1}', {"a": 1}), ("anything=" + "[" * 5000, "[" * 5000),
        ("unknown=5", "5"),
    ],
)  # fmt: skip
def test_an_input_is_text_or_json_as_its_type_says(run, fake, word, value):
    run("run", "tools.fake.list", "--input", word)
    assert list(fake.inputs.values()) == [value]


def test_inputs_come_from_a_file_and_options_win(run, fake, tmp_path):
    (tmp_path / "inputs.json").write_text('{"owner": "ann", "limit": 3}')
    run("run", "tools.fake.list", "--inputs-file", str(tmp_path / "inputs.json"), "--input", "owner=bob")
    assert fake.inputs == {"owner": "bob", "limit": 3}


def test_inputs_come_from_standard_input(run, fake):
    run("run", "tools.fake.list", "--inputs-file", "-", stdin='{"owner": "ann"}')
    assert fake.inputs == {"owner": "ann"}


@pytest.mark.parametrize("text", ["", "[1]", "{", "owner: ann"])
def test_a_file_without_a_mapping_is_a_usage_error(run, fake, text):
    code, out, err = run("run", "tools.fake.list", "--inputs-file", "-", stdin=text)
    assert (code, out, fake.calls) == (2, "", [])
    assert "--inputs-file holds a mapping in JSON" in err


def test_an_input_without_a_value_is_a_usage_error(run, fake):
    code, _, err = run("run", "tools.fake.list", "--input", "owner")
    assert (code, fake.calls) == (2, [])
    assert "--input takes NAME=VALUE" in err


def test_text_is_printed_as_it_is_and_with_json_as_json(run, fake):
    fake.result = 'é "x"'
    assert run("run", "tools.fake.list")[1] == 'é "x"\n'
    assert run("run", "tools.fake.list", "--json")[1] == '"\\u00e9 \\"x\\""\n'
    fake.result = None
    assert run("run", "tools.fake.list")[1] == "null\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ActionError("step list failed", hint="evergrant x"), 1, "error: step list failed\nhint: evergrant x\n"),
        (NotConnected("nobody connected github"), 4, "error: nobody connected github\n"),
        (ValueError("of\x1b[1mthe function"), 1, "error: ValueError: of\ufffd[1mthe function\n"),
    ],
)  # fmt: skip
def test_an_error_is_said_and_has_its_exit_code(run, fake, error, code, said):
    fake.result = error
    assert run("run", "tools.fake.list") == (code, "", said)


def test_an_unknown_action_names_the_nearest(run, fake):
    code, out, err = run("run", "tools.fake.lst")
    assert (code, out, fake.calls) == (1, "", [])
    assert err.splitlines() == [
        "error: there is no action tools.fake.lst; did you mean tools.fake.list?",
        "hint: evergrant actions tools.fake.list",
    ]


def test_a_file_that_is_no_template_is_an_error(run):
    assert run("run", "broken.yaml") == (1, "", "error: it is broken\n")


def test_functions_are_called_as_they_are_and_coroutines_awaited(run, fake):
    @evergrant.action("tools.mine")
    def plain(n: int): ...

    @evergrant.action("tools.mine")
    async def awaited(n: int): ...

    assert run("run", "tools.mine.plain", "--input", "n=1")[0] == 0
    assert (fake.calls[-1][:2], fake.awaited) == (("tools.mine.plain", {"n": 1}), 0)
    assert run("run", "tools.mine.awaited", "--input", "n=1")[0] == 0
    assert (fake.calls[-1][:2], fake.awaited) == (("tools.mine.awaited", {"n": 1}), 1)


# actions


def test_the_actions_are_listed_by_name(run):
    @evergrant.action("tools.mine", title="Mine")
    @oauth("slack")
    def of_mine(*, token=injected): ...

    code, out, err = run("actions")

    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "TITLE", "NEEDS"],
        ["tools.fake.get", "Get", "github"],
        ["tools.fake.list", "List", "github"],
        ["tools.mine.of_mine", "Mine", "slack"],
    ]


def test_an_action_is_described(run):
    code, out, _ = run("actions", "tools.fake.list")
    assert code == 0
    assert out.startswith("tools.fake.list: List\nDoes list.\nWell.\n")
    assert "github (authorization_code, optional); github (client_credentials, optional)" in out
    assert "api.github.com" in out
    assert "input owner\n  type   string\n  value  required\n  what   Whose.\n" in out
    assert "input limit\n  type   integer\n  value  10 unless given\n" in out
    assert "type   array of string or null\n" in out
    assert "type   one of open, 1\n" in out
    assert "type   date-time\n" in out


def test_actions_are_printed_as_json(run):
    listed = json.loads(run("actions", "--json")[1])
    assert [one["name"] for one in listed] == ["tools.fake.get", "tools.fake.list"]
    described = json.loads(run("actions", "tools.fake.list", "--json")[1])
    assert described == listed[1]
    assert set(described) == {"name", "title", "description", "needs", "hosts", "inputs"}


def test_an_unknown_action_can_not_be_described(run):
    assert run("actions", "zzz") == (1, "", "error: there is no action zzz\nhint: evergrant actions\n")


# Where they are


def test_folders_of_the_environment_come_first(run, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "list.yaml").touch()
    monkeypatch.setenv("EVERGRANT_ACTIONS", f"{mine}:{tmp_path / 'nowhere'}")
    assert _library.find("tools.fake.list").path == mine / "list.yaml"
    assert [one.name for one in _library.all_actions()] == ["tools.fake.get", "tools.fake.list"]


def test_entry_points_name_packages_modules_and_paths(tmp_path, monkeypatch):
    path = tmp_path / "path"
    package = ModuleType("installed_package")
    package.__path__ = [str(tmp_path / "package")]
    package.path = path
    module = ModuleType("installed_module")
    for name, one in (("installed_package", package), ("installed_module", module)):
        monkeypatch.setitem(sys.modules, name, one)
    values = ("installed_package", "installed_module", "installed_package:path")
    found = [EntryPoint(f"e{number}", value, "evergrant.actions") for number, value in enumerate(values)]
    monkeypatch.setattr(_library, "entry_points", lambda group: found)
    assert _library.folders()[1:] == [tmp_path / "package", path]


def test_an_entry_point_that_can_not_be_loaded_is_named(monkeypatch):
    broken = EntryPoint("broken", "no_such_module_at_all", "evergrant.actions")
    monkeypatch.setattr(_library, "entry_points", lambda group: [broken])
    with pytest.raises(
        ActionError, match=r"entry point broken .* no_such_module_at_all, can't be loaded: ModuleNotFound"
    ):
        _library.find("tools.fake.list")
