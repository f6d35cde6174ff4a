"""What the tree promises about itself: lock files without a host, no path of a machine, every error documented."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK_FILES = ("Cargo.lock", "requirements-demo.txt", "requirements-dev.txt", "tests/server/package-lock.json")
CRATES = "registry+https://github.com/rust-lang/crates.io-index"  # the name of crates.io, not a place to download from


def tracked_text() -> list[tuple[str, str]]:
    """Name and text of every file of the repository that is text."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    texts = []
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file():
            try:
                texts.append((name, path.read_text()))
            except UnicodeDecodeError:
                continue
    return texts


@pytest.mark.parametrize("name", LOCK_FILES)
def test_a_lock_file_names_no_registry_host(name: str) -> None:
    text = (ROOT / name).read_text().replace(CRATES, "")
    text = re.sub(r'"funding": (\{[^}]*\}|\[[^]]*\])', "", text)
    assert "resolved" not in text
    assert re.findall(r"https?://\S+", text) == []


@pytest.mark.parametrize("name", ["requirements-demo.txt", "requirements-dev.txt"])
def test_every_locked_package_has_a_hash(name: str) -> None:
    packages = re.split(r"\n(?=[a-z])", (ROOT / name).read_text())
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []


def test_no_file_names_a_path_of_a_machine() -> None:
    path = re.compile(r"(?<![\w./~-])/(?:" + "home|root|Users|work|mnt" + r")/\w")
    found = [
        f"{name}: {line.strip()}" for name, text in tracked_text() for line in text.splitlines() if path.search(line)
    ]
    assert found == []


def test_no_source_file_is_longer_than_900_lines() -> None:
    sources = (".rs", ".py", ".pyi", ".mjs", ".html", ".css")
    assert [name for name, text in tracked_text() if name.endswith(sources) and text.count("\n") > 900] == []


def test_every_example_is_shorter_than_60_lines() -> None:
    assert [path.name for path in (ROOT / "examples").rglob("*.py") if path.read_text().count("\n") >= 60] == []


def test_every_bad_input_has_a_test_and_every_test_a_row() -> None:
    rows = re.findall(r"test_bad_input\.py::(test_\w+)", (ROOT / "docs" / "errors.md").read_text())
    tree = ast.parse((ROOT / "tests" / "python" / "test_bad_input.py").read_text())
    tests = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert sorted(rows) == sorted(tests)


def test_every_exception_has_a_paragraph() -> None:
    tree = ast.parse((ROOT / "python" / "evergrant" / "exceptions.py").read_text())
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}
    paragraphs = set(re.findall(r"^### `(\w+)`", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    assert paragraphs == classes
