"""The leak check sees what it is there to see, and CI skips nothing."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from support import leaks

SECRET = "eyJhbGciOi:+%/ &=~abcdefghijklmnopqrstuvwxyz"


def base64_at(offset: int) -> str:
    return base64.b64encode(b"client:"[:offset] + SECRET.encode() + b":end").decode()


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        "…" + SECRET[-16:],
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        SECRET.encode().hex(),
        base64_at(0),
        base64_at(1),
        base64_at(2),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_found_in_every_form_in_which_it_escapes(text: str) -> None:
    assert leaks(f"before {text} after", [("token", SECRET)]) != []


def test_other_text_is_no_leak() -> None:
    assert leaks(f"{SECRET[:20]} and the last four: {SECRET[-4:]}", [("token", SECRET)]) == []


def test_a_leak_is_reported_without_the_secret() -> None:
    assert SECRET[-16:] not in str(leaks(SECRET, [("token", SECRET)]))


def outcome(tmp_path: Path, test: str, **environment: str) -> str:
    """The last line of pytest for one test that is run under our fixtures."""
    (tmp_path / "test_inner.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", os.devnull, "--rootdir", str(tmp_path)]
    clean = {name: value for name, value in os.environ.items() if name != "CI"}
    clean |= {"PYTHONPATH": str(Path(__file__).parent), **environment}
    done = subprocess.run([*command, tmp_path], capture_output=True, check=False, env=clean, text=True, timeout=50)
    return done.stdout.splitlines()[-1]


PRINTS = """
import sys
from test_server import token

def test_out(server):
    print(token(server, server.service, grant_type="client_credentials")["access_token"])

def test_nothing(server):
    print(token(server, server.service, grant_type="client_credentials")["expires_in"])

def test_err(server):
    print(token(server, server.service, grant_type="client_credentials")["access_token"], file=sys.stderr)
"""


def test_a_test_that_prints_a_token_fails_be_it_the_last(tmp_path: Path) -> None:
    assert "3 passed, 2 errors" in outcome(tmp_path, PRINTS)


SKIPS = """
import pytest

def test_it():
    pytest.skip("not here")
"""


def test_a_skipped_test_fails_in_ci(tmp_path: Path) -> None:
    assert "1 failed" in outcome(tmp_path, SKIPS, CI="true")


def test_elsewhere_a_skipped_test_is_reported(tmp_path: Path) -> None:
    assert "1 skipped" in outcome(tmp_path, SKIPS)
