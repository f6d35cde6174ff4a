"""What is wrong with action templates, from Python and from the command line."""

import json

import pytest

from evergrant import Problem, actions, cli

TEMPLATE = """\
definition:
  name: list_files
  namespace: tools.example
  title: List files
  display_group: Example
  secrets:
    - {type: oauth, provider_id: google_drive, grant_type: authorization_code}
  expects:
    folder: {type: str}
  steps:
    - ref: get
      action: core.http_request
      args:
        url: https://www.googleapis.com/drive/v3/files
        method: GET
        params: {q: "${{ inputs.folder }}"}
        headers:
          Authorization: Bearer ${{ SECRETS.google_drive_oauth.GOOGLE_DRIVE_USER_TOKEN }}
  returns: ${{ steps.get.result.data }}
"""


@pytest.fixture
def write(home, tmp_path):
    """Writes a file beside the home and gives its path."""

    def write(text, name="a.yaml"):
        path = tmp_path / "templates" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def run(capsys):
    """Runs a command line; returns exit code and standard output."""

    def run(*arguments):
        code = cli.run([str(argument) for argument in arguments])
        return code, capsys.readouterr().out

    return run


def test_nothing_is_wrong_with_a_good_template(write):
    assert actions.validate(write(TEMPLATE)) == []


def test_a_problem_has_its_place_and_what_would_be_right(write):
    path = write(TEMPLATE.replace("inputs.folder", "inputs.foldr"))

    assert actions.validate(path) == [
        Problem(
            {
                "severity": "error",
                "path": str(path),
                "line": 16,
                "column": 26,
                "message": "there is no input foldr",
                "hint": "did you mean folder?",
            }
        )
    ]


def test_a_folder_is_looked_at_as_a_whole(write):
    write(TEMPLATE)
    write("a: [", "b.yml")

    problems = actions.validate(write("", "c.txt").parent)

    assert [problem.path.rpartition("/")[2] for problem in problems] == ["b.yml"]


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff\xfe", b"[" * 10_000, b"a: &a [*a]", b"definition: [1]"])
def test_whatever_a_file_holds_is_told_and_not_raised(write, content):
    path = write("")
    path.write_bytes(content)

    assert [problem.severity for problem in actions.validate(path)] == ["error"]


def test_a_file_that_is_not_there_is_told(home, tmp_path):
    assert "it can't be read" in actions.validate(tmp_path / "nothing.yaml")[0].message


def test_a_provider_that_is_configured_is_known(write, home):
    import evergrant

    path = write(TEMPLATE.replace("google_drive", "acme").replace("GOOGLE_DRIVE", "ACME"))
    assert "no provider is called `acme`" in actions.validate(path)[0].message

    endpoints = {"authorization_endpoint": "https://a.example/a", "token_endpoint": "https://a.example/t"}
    evergrant.configure("acme", client_id="x", client_secret="y", endpoints=endpoints)
    assert actions.validate(path) == []


def test_the_command_shows_what_a_good_template_needs(write, run):
    code, out = run("validate", write(TEMPLATE))

    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "1 template, 0 errors, 0 warnings"
    assert lines[1] == "needs google_drive (authorization_code): openid email"
    assert lines[2:] == ["asks www.googleapis.com"]


def test_the_command_shows_problems_as_compilers_do_and_fails_on_errors(write, run):
    path = write(TEMPLATE.replace("inputs.folder", "inputs.foldr"))

    code, out = run("validate", path)

    assert code == 2
    assert out.splitlines()[:5] == [
        f"{path}:16:26: error: there is no input foldr",
        '            params: {q: "${{ inputs.foldr }}"}',
        "                             ^^^^^^^^^^^^",
        "  did you mean folder?",
        "1 template, 1 error, 0 warnings",
    ]


def test_warnings_alone_are_no_failure(write, run):
    code, out = run("validate", write(TEMPLATE.replace("method: GET", "method: GET\n        method: PUT")))

    assert code == 0
    assert "warning: the mapping has this key already" in out


def test_json_holds_the_problems_of_all_paths(write, run):
    broken = write("a: [", "b.yaml")

    code, out = run("validate", broken, write(TEMPLATE), "--json")

    assert code == 2
    assert [(one["path"], one["severity"]) for one in json.loads(out)] == [(str(broken), "error")]


def test_a_path_that_is_not_there_is_a_mistake_of_the_command_line(home, run):
    assert run("validate", "/nowhere")[0] == 2


def test_what_could_steer_a_terminal_is_not_shown(write, run):
    _, out = run("validate", write(TEMPLATE.replace("core.http_request", '"core.\\e[31m"') + "# \u202e\n"))

    assert "\x1b" not in out
    assert "there is no action core.\\u{1b}[31m" in out
