"""Packages that bring provider files by an entry point of the group `evergrant.providers`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import evergrant
from evergrant import Workspace

FILE = """
id: northwind
aliases: [north]
name: Northwind
category: commerce
summary: Orders of Northwind.
sources: [https://northwind.example/docs]
endpoints:
  authorization_endpoint: https://login.northwind.example/authorize
  token_endpoint: https://login.northwind.example/token
client: {authentication: [client_secret_basic]}
grants: {authorization_code: {refresh: {rotates: always}}}
scopes: {base: [orders], allowed: ["[a-z]+"]}
api: {hosts: [api.northwind.example]}
"""

Installed = Callable[..., Path]


@pytest.fixture
def workspace(home: Path) -> Iterator[Workspace]:
    """A workspace of its own, in memory."""
    with Workspace(store="memory:", key=bytes(32)) as workspace:
        yield workspace


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Installs a package that brings `FILE`."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def install(entry_point: str = "northwind_files", code: str = "", file: str = FILE) -> Path:
        package, metadata = site / "northwind_files", site / "northwind_files-1.dist-info"
        for folder in (package, metadata):
            folder.mkdir(parents=True)
        (package / "__init__.py").write_text(code)
        (package / "northwind.yaml").write_text(file)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: northwind-files\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text(f"[evergrant.providers]\nnorthwind = {entry_point}\n")
        sys.modules.pop("northwind_files", None)
        return site

    return install


def test_an_unknown_provider_is_looked_for_in_installed_packages(installed: Installed, workspace: Workspace) -> None:
    installed(code="raise AssertionError('it was run')")
    assert workspace.provider("north").name == "Northwind"
    assert workspace.status("northwind").state == "not_configured"


def test_a_provider_of_a_package_is_configured_and_still_known_by_its_file_in_the_next_process(
    installed: Installed, home: Path
) -> None:
    site = installed()
    evergrant.configure("northwind", client_id="app", client_secret="unimportant", scopes=["invoices"])
    shown = in_another_process(site, "evergrant.status('northwind').requested_scopes")
    assert shown == "('orders', 'invoices')\n"


def in_another_process(site: Path, expression: str) -> str:
    """What it is in a process whose path has `site`."""
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import evergrant; print({expression})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50).stdout


def test_it_is_listed_among_all_providers(installed: Installed, workspace: Workspace) -> None:
    installed()
    assert "northwind" in [provider.id for provider in workspace.providers()]


def test_a_configuration_file_may_name_it(installed: Installed, home: Path, tmp_path: Path) -> None:
    installed()
    config = tmp_path / "evergrant.yaml"
    config.write_text("integrations:\n  - {provider: northwind, client_id: app, client_secret: {env: PATH}}\n")
    with Workspace(config=config) as workspace:
        assert workspace.status("northwind").state == "configured"


def test_what_has_endpoints_alone_is_looked_for_no_more_once_it_is_configured(installed: Installed, home: Path) -> None:
    evergrant.configure(
        "acme",
        grant_type="client_credentials",
        endpoints={"token_endpoint": "http://127.0.0.1:1/token"},
        client_id="app",
        client_secret="unimportant",
    )
    site = installed(file="no: provider file")
    assert in_another_process(site, "evergrant.status('acme').state") == "configured\n"


def test_a_package_that_is_not_there_leaves_the_provider_unknown(installed: Installed, workspace: Workspace) -> None:
    installed("gone_files")
    with pytest.raises(evergrant.UnknownProvider):
        workspace.provider("northwind")


def test_a_package_can_not_take_the_id_of_a_built_in_provider(installed: Installed, workspace: Workspace) -> None:
    installed(file=FILE.replace("id: northwind", "id: github"))
    with pytest.raises(evergrant.InvalidParameter, match="`github` is taken by the provider github"):
        workspace.provider("northwind")
