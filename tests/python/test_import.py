"""Importing evergrant, and getting a stored token, load no module that a bare interpreter has not loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support import AuthorizationServer, UserAgent, acme

SHOW = "import sys; print(*sorted(sys.modules))"

OURS = {"evergrant", "evergrant._core"}
WITH_A_TOKEN = OURS | {"evergrant._types", "evergrant._redact", "evergrant.exceptions"}


def modules(code: str) -> set[str]:
    """The modules that a new interpreter has loaded after `code`."""
    done = subprocess.run([sys.executable, "-c", f"{code}\n{SHOW}"], capture_output=True, check=True, text=True)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def bare() -> set[str]:
    """What an interpreter has loaded that does nothing."""
    return modules("pass")


@pytest.mark.usefixtures("home")
def test_the_package_loads_itself_and_its_core(bare: set[str]) -> None:
    assert modules("import evergrant") - bare == OURS


def test_a_stored_token_loads_nothing_else(
    home: Path, server: AuthorizationServer, user_agent: UserAgent, bare: set[str]
) -> None:
    acme.connect(server, user_agent)

    loaded = modules('import evergrant\ntoken = evergrant.get_token("acme")\nstr(token), token.expires_in')

    assert loaded - bare <= WITH_A_TOKEN
    assert server.count() == 0


def test_a_cached_token_loads_nothing_else(
    home: Path, server: AuthorizationServer, user_agent: UserAgent, bare: set[str]
) -> None:
    acme.connect(server, user_agent)

    loaded = modules('import evergrant\nassert evergrant.get_token("acme") is evergrant.get_token("acme")')

    assert loaded - bare <= WITH_A_TOKEN


@pytest.mark.parametrize("name", ["Workspace", "oauth", "AccessToken", "EvergrantError", "aio", "redact"])
def test_every_public_name_is_found_when_it_is_asked_for(name: str) -> None:
    assert "evergrant" in modules(f"from evergrant import {name}")


def test_importing_writes_nothing_and_starts_no_thread(home: Path) -> None:
    assert "evergrant" in modules("import evergrant, os\nassert len(os.listdir('/proc/self/task')) == 1")
    assert not home.exists()


def test_a_stored_token_starts_no_thread(home: Path, server: AuthorizationServer, user_agent: UserAgent) -> None:
    acme.connect(server, user_agent)

    code = "evergrant.get_token('acme')\nassert len(os.listdir('/proc/self/task')) == 1"

    assert "evergrant" in modules(f"import evergrant, os\n{code}")
