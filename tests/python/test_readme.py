"""Every block of README.md is executed, in order, section by section; every table and signature is checked.

Its vendors and addresses stand for the authorization server of the tests, as `Reader.here` and `Reader.prepare` say.
Nothing else differs from what a reader does.
"""

from __future__ import annotations

import doctest
import inspect
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx
import pytest

import evergrant
from evergrant.cli import _commands, _exit
from support import AuthorizationServer, UserAgent, acme

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

BROWSER = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "python")!r})
from support import UserAgent
UserAgent("ada").connect(sys.argv[1])
"""

# What a reader calls: the verbs and the classes that one makes oneself.
PUBLIC = {name for name in evergrant.__all__ if name[0].islower()} - {"injected", "actions", "aio", "exceptions"} | {
    "Workspace"
}

# `make demo` without its set-up, which whoever runs the tests has done; pytest without a plugin that the reader lacks.
COMMANDS = {
    "make demo": f"{sys.executable} {ROOT}/examples/demo.py",
    "pytest -q test_greeting.py": f"{sys.executable} -m pytest -q -p no:asyncio test_greeting.py",
}


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line it begins at."""

    language: str
    text: str
    line: int


def sections() -> dict[str, str]:
    """The text below each heading of the second level."""
    parts = re.split(r"^## (.+)\n", README, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a text of the README."""
    return [
        Block(found[1], found[2], README.count("\n", 0, max(0, README.find(found[2]))) + 1)
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


class Reader:
    """Somebody who follows one section of the README, block by block, in an empty home."""

    def __init__(self, folder: Path, server: AuthorizationServer) -> None:
        self.folder = folder
        self.server = server
        self.names: dict[str, Any] = {"__name__": "readme"}

    def here(self, text: str) -> str:
        """The same text with the README's clients and addresses replaced by those of the server of the tests."""
        for written, meant in {
            "1234-abcd.apps.googleusercontent.com": self.server.confidential.client_id,
            "acme-app": self.server.confidential.client_id,
            "acme-robot": self.server.service.client_id,
            "0a1b2c3d-0000-4000-8000-000000000000": self.server.service.client_id,
            "https://login.acme.example": self.server.issuer,
            "https://app.example": "http://127.0.0.1:8000",
        }.items():
            text = text.replace(written, meant)
        return text

    def prepare(self, text: str) -> None:
        """Points the vendors of a section to loopback, and connects those that it takes for connected."""
        (self.folder / "client-secret.txt").write_text(f"{self.server.service.client_secret}\n")
        (self.folder / "refresh-token.txt").write_text("refresh-token-of-another-store\n")
        if "google_drive" in text:
            client_id, client_secret = self.server.confidential
            self.server.settings(offline=True)
            evergrant.configure(
                "google_drive",
                client_id=client_id,
                client_secret=client_secret,
                issuer=self.server.issuer,
                scopes=["https://www.googleapis.com/auth/drive.readonly"],
            )
            if "connect google_drive" not in text:
                evergrant.connect("google_drive", open_browser=UserAgent("ada").connect)
        if "acme_oauth" in text:
            with evergrant.Workspace() as workspace:
                acme.configure(workspace, self.server, api_hosts=[self.server.issuer])
            evergrant.connect("acme", open_browser=UserAgent("ada").connect)
        if "configure microsoft_graph" in text:
            evergrant.configure(
                "microsoft_graph",
                grant_type="client_credentials",
                client_id="to-be-configured",
                client_secret="to-be-configured",
                parameters={"tenant": "contoso.onmicrosoft.com"},
                endpoints={"token_endpoint": self.server.endpoints["token_endpoint"]},
            )

    def python(self, block: Block) -> None:
        if file := re.match(r"# (test_\w+\.py)\n", block.text):
            (self.folder / file[1]).write_text(block.text)
            return
        source = "\n" * block.line + self.here(block.text)
        exec(compile(source, "README.md", "exec"), self.names)

    def pycon(self, block: Block) -> None:
        test = doctest.DocTestParser().get_doctest(self.here(block.text), self.names, "README.md", None, block.line)
        outcome = doctest.DocTestRunner(verbose=False).run(test, clear_globs=False)
        self.names.update(test.globs)
        assert outcome.failed == 0
        assert outcome.attempted > 0

    def console(self, block: Block) -> None:
        session = re.split(r"^\$ ", self.here(block.text).replace("\\\n", ""), flags=re.MULTILINE)
        assert session[0] == "", "a block of commands begins with a prompt"
        for command, _, expected in (part.partition("\n") for part in session[1:]):
            shown = self.type(COMMANDS.get(command, command))
            pattern = re.escape(expected.strip()).replace("…", ".*")
            assert re.fullmatch(pattern, shown.strip(), re.DOTALL), f"$ {command}\n{shown}"

    def yaml(self, block: Block) -> None:
        if provider := re.match(r"id: (\w+)", block.text):
            self.provider_file(f"{provider[1]}.yaml", block.text)
            return
        if block.text.startswith("type: action"):
            (self.folder / "whoami.yaml").write_text(self.here(block.text))
            return
        path = self.folder / "evergrant.yaml"
        path.write_text(self.here(block.text))
        assert [step.detail for step in evergrant.apply(path, check=True).steps] == ["new", "new", "would be imported"]

    def provider_file(self, name: str, text: str) -> None:
        (self.folder / "providers").mkdir(exist_ok=True)
        (self.folder / "providers" / name).write_text(text)
        assert evergrant.check_provider(self.folder / "providers" / name) == []

    def type(self, command: str) -> str:
        """What a terminal shows when a person types `command`, and the secret where it is asked for."""
        screen, terminal = pty.openpty()
        # A session leader that opens a terminal makes it its own: /dev/tty is what hides a secret that is typed.
        line = f"exec 0<>{os.ttyname(terminal)} 1>&0 2>&0; {command}"
        shown = ""
        with subprocess.Popen(["bash", "-c", line], cwd=self.folder, start_new_session=True) as shell:
            while True:
                ended = shell.poll() is not None  # asked first: what it wrote before is there by now
                if select.select([screen], [], [], 0.02)[0]:
                    shown += os.read(screen, 65536).decode()
                    if shown.endswith("(empty for none): "):
                        os.write(screen, f"{self.server.confidential.client_secret}\n".encode())
                elif ended:
                    break
        os.close(screen)
        os.close(terminal)
        return re.sub(r"[ \r]+\n", "\n", shown)


@pytest.fixture
def reader(home: Path, tmp_path: Path, server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A reader whose browser, command line and HTTP client reach the server of the tests."""
    (tmp_path / "browser.py").write_text(BROWSER)
    monkeypatch.setenv("BROWSER", f"{sys.executable} {tmp_path / 'browser.py'} %s")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("GITHUB_CLIENT_SECRET", "secret-of-the-github-app")
    monkeypatch.chdir(tmp_path)

    def google(_: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        assert server.whoami(request.headers["Authorization"].removeprefix("Bearer "))["subject"] == "ada"
        return httpx.Response(200, json={"files": [{"name": "Notes"}]})

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", google)
    return Reader(tmp_path, server)


@pytest.mark.parametrize("title", [title for title, text in sections().items() if blocks(text)])
def test_what_the_readme_shows_is_what_happens(title: str, reader: Reader) -> None:
    text = sections()[title]
    reader.prepare(text)
    for block in blocks(text):
        getattr(reader, block.language)(block)
    if "files" in reader.names:
        assert reader.names["files"]("root") == ["Notes"]
    if "begin" in reader.names:  # the web application's functions, called as its server would
        visitor = UserAgent("grace")
        callback = visitor.consent(reader.names["begin"]("user-7", session="cookie"))
        assert "session" in reader.names["finish"](callback, session="another")
        assert reader.names["finish"](callback, session="cookie") == "Connected as grace@example.com."


def test_what_the_guide_to_provider_files_shows_is_what_happens(reader: Reader) -> None:
    for block in blocks((ROOT / "docs" / "provider-files.md").read_text()):
        getattr(reader, block.language)(block)


def test_what_the_guide_to_actions_shows_is_what_happens(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "actions.md").read_text()
    reader.prepare(text)
    for block in blocks(text):
        getattr(reader, block.language)(block)
    assert capsys.readouterr().out == "{'said': 'Hi, ada!'}\n"


def test_every_block_belongs_to_a_section() -> None:
    assert sum(len(blocks(text)) for text in sections().values()) == README.count("```") / 2


def test_every_command_that_the_text_names_exists() -> None:
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`evergrant ([a-z-]+)", prose))
    targets = set(re.findall(r"`make ([a-z]+)`", prose))
    assert named
    assert targets
    assert named <= set(_commands.commands.commands)
    assert targets <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def table(title: str) -> list[list[str]]:
    """The cells of the rows of the table below a heading, without the code marks."""
    rows = re.findall(r"^\| (.+) \|$", sections()[title], re.MULTILINE)
    return [row.replace("`", "").split(" | ") for row in rows[1:]]


def test_the_providers_are_those_of_the_catalogue(home: Path) -> None:
    providers = {one.id: (one.name, list(one.grant_types)) for one in evergrant.providers()}
    assert f"{len(providers)} providers are built in" in sections()["Providers"]
    shown = {row[0]: (row[1], row[2].split(", ")) for row in table("Providers")}
    assert shown == {name: providers[name] for name in shown}


def test_a_provider_rotates_its_refresh_tokens_as_its_file_says() -> None:
    catalogue = ROOT / "src" / "provider" / "catalog"
    for name, _, _, rotation, _ in table("Providers"):
        text = (catalogue / f"{name}.yaml").read_text()
        if extended := re.search(r"^extends: (\w+)", text, re.MULTILINE):
            text += (catalogue / f"{extended[1]}.yaml").read_text()
        found = re.search(r"rotates: (\w+)", text)
        assert found is not None
        assert rotation.startswith({"always": "rotate", "never": "stay the same"}[found[1]]), name


def test_every_command_and_option_is_in_the_readme() -> None:
    shown = {}
    for command, text in table("Command line"):
        name, _, argument = command.partition(" ")
        shown[name] = (argument, sorted(re.findall(r"--[\w-]+", text)))
    common = re.search(r"they take (.*?)\.", sections()["Command line"], re.DOTALL)
    assert common is not None
    everywhere = set(re.findall(r"--[\w-]+", common[1]))
    commands = {}
    for name, command in _commands.commands.commands.items():
        options = [option.opts[0] for option in command.params if isinstance(option, click.Option)]
        arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
        words = " ".join(f"{one.make_metavar(click.Context(command))}" for one in arguments)
        commands[name] = (words, sorted(set(options) - everywhere))
    assert shown == commands


def test_every_exit_code_is_that_of_its_errors() -> None:
    text = sections()["Command line"]
    for code, error in [
        (1, evergrant.ProviderRejected),
        (2, evergrant.UnknownProvider),
        (3, evergrant.NotConfigured),
        (4, evergrant.ReauthorizationRequired),
        (5, evergrant.ProviderUnavailable),
        (6, evergrant.VaultLocked),
    ]:
        assert _exit.code_of(error("")) == code
        assert re.search(rf"[:;]\s{code}\s", text)


def test_every_variable_is_one_that_the_code_reads() -> None:
    paths = [*(ROOT / "src").rglob("*.rs"), *(ROOT / "python" / "evergrant").rglob("*.py")]
    sources = "".join(path.read_text() for path in paths)
    read = set(re.findall(r"EVERGRANT_[A-Z_]+\b(?<!_)", sources))
    read = {name for name in read if not name.startswith("EVERGRANT_TEST_")}  # a release reads none of these
    assert {row[0] for row in table("Environment")} == read


def test_every_signature_is_the_one_that_can_be_called() -> None:
    shown = re.findall(r"`(\w+)(\([^`]*\))`", sections()["API"])
    assert {name for name, _ in shown} == PUBLIC
    for name, signature in shown:
        assert signature == str(signature_of(getattr(evergrant, name))), name


def signature_of(verb: Any) -> inspect.Signature:
    """The parameters of a verb and their defaults, without types."""
    full = inspect.signature(verb)
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in full.parameters.values()]
    return inspect.Signature(plain)


def test_every_link_leads_to_a_file() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).is_file()] == []
