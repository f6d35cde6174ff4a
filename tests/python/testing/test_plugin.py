"""The pytest plugin: what it costs, what it leaves behind, and whom it works beside. Each runs pytest on its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "python"
SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")  # pytest-asyncio warns where it is unset


def run(folder: Path, test: str, *options: str) -> str:
    """Runs pytest on a file that a user could have written; returns what it says."""
    (folder / "test_users_own.py").write_text(textwrap.dedent(test))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-s", "-W", "error", *SCOPE, *options, str(folder)],
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_of_the_kit_is_imported_when_no_fixture_is_used(home: Path, tmp_path: Path) -> None:
    output = run(
        tmp_path,
        """
        import json, sys

        def test_what_is_loaded(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("evergrant")
            print(json.dumps(sorted(name for name in sys.modules if name.startswith("evergrant"))))
        """,
    )
    assert json.loads(output.splitlines()[0].lstrip(".")) == ["evergrant", "evergrant._core", "evergrant._pytest"]


def test_the_fixtures_are_documented_in_words(home: Path, tmp_path: Path) -> None:
    listed = run(tmp_path, "def test_nothing(): pass", "--fixtures")
    for name in (
        "oauth_workspace", "mock_provider", "mock_provider_as", "oauth_clock", "fake_token", "oauth_recorder"
    ):  # fmt: skip
        assert f"\n{name} -- " in listed
        assert "no docstring" not in listed.split(f"\n{name} -- ")[1].split("\n\n")[0]


USE_ALL = """
    import gc, logging, os, socket, threading
    import evergrant, pytest

    def left():
        gc.collect()
        return {
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "files": sorted(os.readlink(f"/proc/self/fd/{name}").split(":")[0] for name in os.listdir("/proc/self/fd")
                            if os.path.exists(f"/proc/self/fd/{name}")),
            "environment": dict(os.environ, PYTEST_CURRENT_TEST=""),
            "logging": (logging.Logger.handle, len(logging.getLogger().filters), len(logging.getLogger().handlers)),
            "resolver": socket.getaddrinfo,
        }

    def use(mock_provider, fake_token, oauth_clock):
        mock_provider.connect()
        oauth_clock.advance(3600)
        evergrant.get_token("mock")
        with fake_token("google_drive"):
            evergrant.get_token("google_drive")

    def test_first(mock_provider, mock_provider_as, fake_token, oauth_clock, oauth_recorder):
        mock_provider_as("slack").connect()
        use(mock_provider, fake_token, oauth_clock)

    class TestLater:
        before = {}

        def test_count(self):
            self.before.update(left())

        def test_use(self, mock_provider, mock_provider_as, fake_token, oauth_clock, oauth_recorder):
            mock_provider_as("slack").connect()
            use(mock_provider, fake_token, oauth_clock)
            mock_provider.next("slow")
            oauth_clock.advance(3600)
            with pytest.raises(evergrant.ProviderUnavailable):
                evergrant.get_token("mock", timeout=0.1)

        def test_count_again(self):
            assert left() == self.before
"""


def test_no_thread_socket_file_variable_or_log_filter_is_left_behind(home: Path, tmp_path: Path) -> None:
    """The first test of the file starts the core's own runtime, which stays; a later one must add nothing to it."""
    assert "4 passed" in run(tmp_path, USE_ALL, "-p", "no:randomly", "-p", "no:xdist")


def test_before_the_first_use_logging_is_as_it_was(home: Path, tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        import logging
        import evergrant

        PLAIN = logging.Logger.handle

        def test_masks(fake_token):
            with fake_token("github"):
                evergrant.get_token("github")
                assert logging.Logger.handle is not PLAIN

        def test_is_as_before():
            assert logging.Logger.handle is PLAIN

        def test_masks_again(fake_token, caplog):
            with fake_token("github") as token:
                logging.getLogger("mine").warning("it is %s", token + "")
                assert token not in caplog.text
        """,
        "-p",
        "no:randomly",
    )


def test_a_users_default_workspace_is_put_back(home: Path, tmp_path: Path) -> None:
    run(
        tmp_path,
        """
        import os
        import evergrant, pytest

        @pytest.fixture(scope="module", autouse=True)
        def own():
            evergrant.configure("github", client_id="mine")

        def test_is_isolated(oauth_workspace):
            assert evergrant.integrations() == ()
            assert oauth_workspace.store == "memory:"

        def test_is_back():
            assert [one.client_id for one in evergrant.integrations()] == ["mine"]
        """,
        "-p",
        "no:randomly",
    )


def test_an_environment_for_production_does_not_reach_the_workspace(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERGRANT_CONFIG", str(tmp_path / "missing.yaml"))
    monkeypatch.setenv("EVERGRANT_STORE", str(tmp_path / "production.db"))
    monkeypatch.setenv("EVERGRANT_KEY", "not a key")
    monkeypatch.setenv("EVERGRANT_WORKSPACE", "production")
    run(
        tmp_path,
        """
        import os
        import evergrant

        def test_is_isolated(mock_provider):
            assert mock_provider.connect().state == "connected"
            assert evergrant.get_token("mock").workspace == "default"
            assert os.environ["EVERGRANT_CONFIG"].endswith("missing.yaml")
        """,
    )
    assert not (tmp_path / "production.db").exists()


@pytest.mark.parametrize("provider", ["github", "slack", "microsoft"])
def test_a_test_never_touches_a_vendor(provider: str, oauth_workspace: object) -> None:
    import evergrant

    evergrant.configure(provider, client_id="c", client_secret="s")
    evergrant.import_refresh_token(provider, "a-refresh-token")
    with pytest.raises(evergrant.ProviderUnavailable, match="a test talks to this machine only"):
        evergrant.get_token(provider)
