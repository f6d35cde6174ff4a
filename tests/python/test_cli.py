"""The command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import evergrant
from evergrant import cli
from evergrant.cli import _commands, _exit, _token

STATUS = {
    "provider": "github",
    "grant_type": "authorization_code",
    "connection": "default",
    "state": "connected",
    "client_id": "Iv1.abc",
    "account": "ann",
    "granted_scopes": ["repo"],
}


@pytest.fixture
def run(core, capsys, monkeypatch):
    """Runs a command line; returns exit code, standard output and standard error."""

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", Input(stdin))
        code = cli.run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    monkeypatch.setattr(_token, "_core", core)
    return run


class Input:
    """Standard input that is no terminal."""

    def __init__(self, text):
        self.text = text

    def read(self):
        return self.text

    def isatty(self):
        return False

    def fileno(self):
        raise OSError


@pytest.fixture
def terminal(core, monkeypatch):
    """Runs a command line whose standard input is a terminal with these answers typed."""

    def run(*arguments, typed=""):
        return CliRunner().invoke(_commands.commands, arguments, input=typed, standalone_mode=False)

    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False)
    return run


# Token


def test_token_prints_the_token_alone(run, core):
    assert run("token", "github") == (0, f"{core.token}\n", "")


def test_token_prints_a_header(run, core):
    assert run("token", "github", "--header") == (0, f"Authorization: Bearer {core.token}\n", "")


def test_token_prints_json(run, core):
    code, out, _ = run("token", "github", "--json")

    shown = json.loads(out)
    assert code == 0
    assert shown["access_token"] == str(core.token)
    assert set(shown) == {
        "access_token",
        "connection",
        "expires_at",
        "expires_in",
        "extra",
        "grant_type",
        "provider",
        "resource",
        "scopes",
        "token_type",
        "workspace",
    }


@pytest.mark.parametrize("way", [_token.answer, lambda words: _commands.run(["token", *words])])
def test_token_takes_its_options_with_and_without_click(run, core, way):
    words = ["--connection", "ann", "github", "--min-ttl=60", "--scope", "a", "--scope=b", "--grant-type"]

    assert way([*words, "client_credentials", "--store", "/s", "--workspace", "team"]) == 0
    assert core.opened == [("team", "/s")]
    assert core.last("get_token") == {
        "workspace": "team",
        "provider": "github",
        "grant_type": "client_credentials",
        "connection": "ann",
        "scopes": ["a", "b"],
        "min_ttl": 60.0,
    }


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["a", "b"],
        ["a", "--nothing"],
        ["a", "--min-ttl", "x"],
        ["a", "--scope"],
        ["-j", "a"],
        ["a", "--json=1"],
    ],
)
def test_what_token_does_not_understand_click_answers(core, words):
    assert _token.answer(words) is None
    assert core.calls == []


def test_token_loads_no_click():
    with cli_process("token", "github", loaded="click") as process:
        assert process.stdout.read() == "value\nFalse\n"
    assert process.returncode == 0


# Exit codes and errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (evergrant.EvergrantError, 1),
        (evergrant.ConnectFailed, 1),
        (evergrant.ProviderRejected, 1),
        (evergrant.UnknownProvider, 2),
        (evergrant.InvalidScope, 2),
        (evergrant.InvalidParameter, 2),
        (evergrant.AmbiguousGrant, 2),
        (evergrant.NotConfigured, 3),
        (evergrant.NotConnected, 4),
        (evergrant.ReauthorizationRequired, 4),
        (evergrant.MissingScopes, 4),
        (evergrant.ConnectDenied, 4),
        (evergrant.ConnectTimeout, 4),
        (evergrant.ProviderUnavailable, 5),
        (evergrant.StoreError, 6),
        (evergrant.VaultLocked, 6),
        (evergrant.WrongKey, 6),
    ],
)
def test_every_error_has_its_exit_code_with_and_without_click(run, core, error, code):
    core.answers["get_token"] = core.answers["status"] = error("It broke", hint="evergrant connect github\nor else")

    expected = (code, "", "error: It broke\nhint: evergrant connect github\nhint: or else\n")
    assert run("token", "github") == expected
    assert run("status", "github") == expected


def test_wrong_usage_exits_2(run):
    code, out, err = run("status", "--nothing")

    assert (code, out) == (2, "")
    assert err.startswith("error: No such option")
    assert err.endswith("hint: evergrant status --help\n")


def test_no_command_is_wrong_usage(run):
    code, out, err = run()

    assert code == 2
    assert "Usage: evergrant" in err + out


def test_an_interrupt_exits_130(run, core):
    core.answers["get_token"] = core.answers["status"] = KeyboardInterrupt()

    assert run("token", "github")[0] == 130
    assert run("status", "github")[0] == 130


def test_every_command_has_help(run):
    for name in _commands.commands.commands:
        code, out, _ = run(name, "--help")
        assert code == 0
        assert f"Usage: evergrant {name}" in out


def test_every_command_prints_json():
    for name, command in _commands.commands.commands.items():
        assert "--json" in [option for parameter in command.params for option in parameter.opts], name


def test_no_option_takes_a_secret():
    for command in _commands.commands.commands.values():
        for parameter in command.params:
            if "secret" in parameter.name or "refresh_token" in parameter.name:
                assert isinstance(parameter.type, click.File) or parameter.is_flag


def cli_process(*arguments, loaded=None, **options):
    """A process of its own that runs the command line on a fake core, and says whether a module is `loaded`."""
    folder, tests = Path(evergrant.__file__).parents[1], Path(__file__).parent
    program = (
        f"import sys; sys.path[:0] = [{str(folder)!r}, {str(tests)!r}]; import fake_core\n"
        "core = sys.modules['evergrant._core'] = fake_core.FakeCore()\n"
        "from evergrant import AccessToken; core.token = AccessToken('value')\n"
        f"core.answers = {{'connections': [{{**{STATUS!r}, 'account': 'Zo\u00eb'}}], 'integrations': []}}\n"
        "import atexit; from evergrant import cli\n"
        f"if {loaded!r}: atexit.register(lambda: print({loaded!r} in sys.modules))\n"
        "cli.main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("arguments", [["status"], ["token", "github"]])
def test_a_reader_that_went_away_gets_no_traceback(arguments):
    with cli_process(*arguments) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_terminal_without_the_letters_gets_them_escaped():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    with cli_process("status", env=environment) as process:
        assert "Zo\\xeb" in process.stdout.read()
    with cli_process("status", "--json", env=environment) as process:
        assert json.loads(process.stdout.read())[0]["account"] == "Zo\u00eb"


def test_what_could_steer_a_terminal_is_not_printed(run, core):
    core.answers["status"] = {**STATUS, "account": "\x1b[2Jann", "hint": "x\u202e"}

    code, out, err = run("status", "github")

    assert code == 0
    assert "\x1b" not in out
    assert "\ufffd[2Jann" in out
    assert err == "hint: x\ufffd\n"


# Colours


def test_colours_are_for_terminals_only(monkeypatch, capsys):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert _exit.paint("x", "31", sys.stderr) == "x"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert _exit.paint("x", "31", sys.stderr) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert _exit.paint("x", "31", sys.stderr) == "x"


# Commands


def test_configure_reads_a_secret_from_a_file(run, core, tmp_path):
    (tmp_path / "secret").write_text("s3cret\n")
    core.answers["configure"] = {**STATUS, "state": "configured"}

    code, out, err = run(
        *("configure", "github", "--client-id", "x", "--client-secret-file", str(tmp_path / "secret")),
        *("--scope", "repo", "--scope", "user", "--parameter", "host=a=b", "--endpoint", "token_endpoint=https://t"),
        *("--api-host", "api.me", "--redirect-uri", "http://localhost/", "--issuer", "https://i"),
    )

    assert code == 0
    assert {name: value for name, value in core.last("configure").items() if value is not None} == {
        "provider": "github",
        "client_id": "x",
        "client_secret": "s3cret",
        "scopes": ["repo", "user"],
        "parameters": {"host": "a=b"},
        "redirect_uri": "http://localhost/",
        "endpoints": {"token_endpoint": "https://t"},
        "issuer": "https://i",
        "api_hosts": ["api.me"],
    }
    assert "s3cret" not in out + err


def test_configure_reads_a_secret_from_standard_input(run, core):
    run("configure", "github", "--client-secret-stdin", stdin="s3cret\n")

    assert core.last("configure")["client_secret"] == "s3cret"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--client-secret-stdin", "--client-secret-file", __file__], "exclude each other"),
        (["--client-secret-stdin"], "--client-secret-stdin is empty"),
        (["--parameter", "host"], "--parameter takes NAME=VALUE, not 'host'"),
    ],
)
def test_configure_says_what_is_wrong_with_its_options(run, core, words, message):
    code, out, err = run("configure", "github", *words)

    assert (code, out) == (2, "")
    assert message in err
    assert "configure" not in core.verbs()


def test_configure_without_a_terminal_asks_nothing(run, core):
    assert run("configure", "github", "--client-id", "x")[0] == 0
    assert core.last("configure")["client_secret"] is None


def test_configure_asks_for_what_is_missing(terminal, core):
    core.answers["status"] = {**STATUS, "state": "not_configured"}
    core.answers["configure"] = {**STATUS, "state": "configured"}

    result = terminal("configure", "github", typed="x\ns3cret\n")

    assert result.exception is None
    assert core.last("configure")["client_id"] == "x"
    assert core.last("configure")["client_secret"] == "s3cret"
    assert "s3cret" not in result.output


def test_configure_of_a_configured_provider_asks_nothing(terminal, core):
    core.answers["status"] = core.answers["configure"] = {**STATUS, "state": "configured"}

    assert terminal("configure", "github", "--scope", "repo").exception is None
    assert core.last("configure")["client_secret"] is None


def test_connect_passes_its_options(run, core):
    core.answers["connect_start"] = {"status": STATUS}

    code, out, _ = run("connect", "github", "--scope", "a", "--again", "--connection", "ann", "--no-browser")

    assert code == 0
    assert out.startswith("github/default: connected as ann\n")
    assert core.last("connect_start") == {
        "provider": "github",
        "grant_type": None,
        "connection": "ann",
        "scopes": ["a"],
        "again": True,
        "headless": True,
        "timeout": 300.0,
    }


def test_complete_connect_reads_the_url_from_standard_input(run, core):
    core.answers["complete_connect"] = STATUS

    assert run("complete-connect", stdin="http://127.0.0.1/?code=1\n")[0] == 0
    assert core.last("complete_connect")["callback_url"] == "http://127.0.0.1/?code=1"


def test_complete_connect_wants_a_url(run, core):
    code, _, err = run("complete-connect", stdin="\n")

    assert code == 2
    assert err.startswith("error: standard input is empty: ")
    assert core.verbs() == []


def test_status_of_one_shows_the_details(run, core):
    core.answers["status"] = {**STATUS, "reason": "It was revoked", "hint": "evergrant connect github"}

    code, out, err = run("status", "github")

    assert code == 0
    assert out == (
        "github/default: connected as ann\n"
        "  grant type      authorization_code\n"
        "  client id       Iv1.abc\n"
        "  granted scopes  repo\n"
        "  reason          It was revoked\n"
    )
    assert err == "hint: evergrant connect github\n"


def test_status_of_all_shows_connections_and_integrations_without(run, core):
    core.answers["connections"] = [STATUS]
    core.answers["integrations"] = [STATUS, {**STATUS, "provider": "slack", "state": "configured", "account": None}]

    code, out, _ = run("status")

    assert code == 0
    assert out == (
        "PROVIDER  CONNECTION  GRANT TYPE          STATE       ACCOUNT  EXPIRES\n"
        "github    default     authorization_code  connected   ann      -\n"
        "slack     default     authorization_code  configured  -        -\n"
    )


def test_status_of_nothing_says_how_to_begin(run, core):
    core.answers["connections"] = core.answers["integrations"] = []

    assert run("status") == (0, "", "nothing is configured\nhint: evergrant providers\n")
    assert run("status", "--json") == (0, "[]\n", "")


def test_status_prints_json(run, core):
    core.answers["status"] = STATUS

    assert json.loads(run("status", "github", "--json")[1])["account"] == "ann"


REPORT = {
    "ok": False,
    "steps": [{"what": "revoke", "ok": False, "detail": "503"}, {"what": "delete", "ok": True, "detail": ""}],
    "reason": "It was not revoked",
    "hint": "evergrant disconnect github",
}


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("test", ["test", "github"]),
        ("disconnect", ["disconnect", "github", "--no-revoke"]),
        ("remove", ["remove", "github", "--yes", "--no-revoke"]),
        ("refresh", ["refresh", "github"]),
        ("refresh", ["refresh", "--due", "--lead", "60"]),
        ("apply", ["apply", __file__, "--check"]),
    ],
)
def test_reports_say_each_step_and_fail_when_not_ok(run, core, verb, words):
    core.answers[verb] = REPORT
    assert run(*words) == (
        1,
        "failed  revoke: 503\nok      delete\n",
        "error: It was not revoked\nhint: evergrant disconnect github\n",
    )
    code, out, _ = run(*words, "--json")
    assert (code, json.loads(out)) == (1, REPORT)
    core.answers[verb] = {"ok": True, "steps": [], "reason": None, "hint": None}
    assert run(*words) == (0, "", "")


def test_no_revoke_and_check_reach_the_verb(run, core):
    core.answers = {verb: {"ok": True} for verb in ("disconnect", "remove", "apply")}
    run("disconnect", "github", "--no-revoke", "--connection", "ann")
    run("remove", "github", "--yes")
    run("apply", __file__, "--check")

    assert core.last("disconnect")["revoke"] is False
    assert core.last("disconnect")["connection"] == "ann"
    assert core.last("remove")["revoke"] is True
    assert core.last("apply") == {"path": __file__, "check": True}


def test_remove_asks_first(terminal, core):
    core.answers = {"connections": [STATUS], "remove": {"ok": True}}

    refused = terminal("remove", "github", typed="n\n")
    assert refused.return_value == _exit.FAILED
    assert refused.stderr.endswith("nothing was removed\n")
    assert "remove" not in core.verbs()
    result = terminal("remove", "github", typed="y\n")
    assert result.exception is None
    assert "Remove github with its connections (default)?" in result.output
    assert "remove" in core.verbs()


def test_remove_without_a_terminal_wants_yes(run, core):
    code, _, err = run("remove", "github")

    assert code == 2
    assert "--yes" in err
    assert core.calls == []


@pytest.mark.parametrize("words", [[], ["github", "--due"], ["github", "--lead", "3"]])
def test_refresh_wants_a_provider_or_due(run, core, words):
    assert run("refresh", *words)[0] == 2
    assert core.calls == []


def test_refresh_of_what_is_due_passes_its_lead(run, core):
    core.answers["refresh"] = {"ok": True}
    run("refresh", "--due", "--lead", "60")

    assert core.last("refresh") == {"provider": None, "grant_type": None, "connection": "default", "lead": 60.0}


def test_import_refresh_token_reads_it_from_a_file_or_standard_input(run, core, tmp_path):
    (tmp_path / "token").write_text("r3fresh\n")
    core.answers["import_refresh_token"] = STATUS

    assert run("import-refresh-token", "github", "--refresh-token-file", str(tmp_path / "token"))[0] == 0
    assert core.last("import_refresh_token")["refresh_token"] == "r3fresh"
    assert run("import-refresh-token", "github", "--refresh-token-stdin", stdin="0ther")[0] == 0
    assert core.last("import_refresh_token")["refresh_token"] == "0ther"
    assert run("import-refresh-token", "github")[0] == 2


def test_providers_lists_the_catalogue(run, core):
    core.answers["providers"] = [
        {"id": "github", "name": "GitHub", "grant_types": ["authorization_code"], "category": "code"},
        {"id": "box", "name": "Box", "grant_types": ["authorization_code", "client_credentials"]},
    ]

    assert run("providers")[1] == (
        "ID      NAME    GRANT TYPES                             CATEGORY\n"
        "github  GitHub  authorization_code                      code\n"
        "box     Box     authorization_code, client_credentials  -\n"
    )


def test_providers_describes_one(run, core):
    core.answers["provider"] = {
        "id": "github",
        "name": "GitHub",
        "summary": "Code hosting.",
        "grant_types": ["authorization_code"],
        "links": {"api": "https://docs"},
        "api_hosts": ["api.github.com"],
        "parameters": {"authorization_code": {"host": {"label": "Host", "secret": False, "pattern": None}}},
        "suggested_scopes": {"authorization_code": {"repo": "Repositories"}},
        "setup": {"authorization_code": {"steps": ["Open settings"]}},
    }

    code, out, _ = run("providers", "github")

    assert code == 0
    assert core.last("provider") == {"id": "github"}
    for line in (
        "github: GitHub",
        "  api page   https://docs",
        "parameter host",
        "  label  Host",
        "    repo  Repositories",
        "    1.  Open settings",
    ):
        assert f"{line}\n" in out
    assert json.loads(run("providers", "github", "--json")[1])["id"] == "github"


def test_check_provider_prints_problems_as_compilers_do(run, core):
    problem = {"severity": "warning", "path": "a.yaml", "line": 3, "column": 5, "message": "odd", "hint": "write x"}
    core.answers["check_provider"] = [problem]
    assert run("check-provider", __file__) == (0, "a.yaml:3:5: warning: odd\n  write x\n", "")

    core.answers["check_provider"] = [{**problem, "severity": "error", "line": None, "column": None, "hint": None}]
    assert run("check-provider", __file__) == (1, "a.yaml: error: odd\n", "")
    assert json.loads(run("check-provider", __file__, __file__, "--json")[1])[1]["message"] == "odd"
