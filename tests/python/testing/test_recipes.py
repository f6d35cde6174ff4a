"""Every recipe of examples/testing runs as it stands: warnings are errors, in random order, in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "examples" / "testing"
OPTIONS = ("-q", "-W", "error", "-o", "asyncio_default_fixture_loop_scope=function", "-p", "no:cacheprovider")


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> Path:
    """A copy of the recipes, outside of the repository and its settings."""
    return Path(shutil.copytree(RECIPES, tmp_path / "recipes"))


def test_every_recipe_runs_in_random_order(folder: Path) -> None:
    files = sorted(path.name for path in folder.glob("test_*.py") if "without_network" not in path.name)
    output = run(sys.executable, "-m", "pytest", *OPTIONS, "-v", *files, folder=folder)
    assert "Using --randomly-seed" in output
    assert all(f"{name} ." in output for name in files)
    assert "SKIPPED" not in output


def test_the_recipe_for_many_workers_runs_with_two(folder: Path) -> None:
    output = run(sys.executable, "-m", "pytest", *OPTIONS, "-v", "-n", "2", "test_parallel.py", folder=folder)
    assert "2 workers" in output
    assert "8 passed" in output


def test_the_job_without_network_runs_literally(folder: Path) -> None:
    """But for what a hosted runner has and this machine may not: `sudo`, and `python` as a word."""
    *_, command = re.findall(r"- run: (.+)", (folder / "ci.yaml").read_text())
    assert command.startswith("sudo unshare --net ")
    command = command.replace("sudo unshare", "unshare --map-root-user").replace("python -m", f"{sys.executable} -m")
    assert " passed" in run("sh", "-c", command, folder=folder)


def test_every_recipe_is_in_the_documentation() -> None:
    table = (ROOT / "docs" / "testing.md").read_text().split("## Recipes")[1].split("\n## ")[0]
    assert sorted(re.findall(r"examples/testing/([\w.]+)\)", table)) == sorted(
        path.name for path in RECIPES.iterdir() if path.is_file()
    )
