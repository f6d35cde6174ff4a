"""docs/faults.md and the tests that its rows name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
WITNESSED = ("Exits", "Kills", "Freezes")  # these tests name the line without which they fail


class Row(NamedTuple):
    """A row of docs/faults.md."""

    section: str
    fault: str
    test: str


def rows() -> list[Row]:
    found: list[Row] = []
    for section in re.split(r"^## ", (ROOT / "docs" / "faults.md").read_text(), flags=re.MULTILINE)[1:]:
        title, *lines = section.splitlines()
        for line in lines:
            if line.startswith("| ") and not line.startswith("| what happens "):
                cells = [cell.strip() for cell in line.strip("|").split(" | ")]
                found += [
                    Row(title, cells[0], test) for test in re.findall(r"`(\w+\.(?:py|rs)::\w+)`", cells[-1]) or [""]
                ]
    return found


def source(test: str) -> str | None:
    """The text of a test, from what stands directly above it to the next one; `None` when there is no such test."""
    file, name = test.split("::")
    is_python = file.endswith(".py")
    folder = ROOT / "tests" / ("python" if is_python else "rust")
    for path in folder.rglob(file):
        tests = re.split(r"\n\n(?=\S)" if is_python else r"\n\n(?= *(?:#\[|///|//|async fn|fn))", path.read_text())
        for text in tests:
            if re.search(rf"^ *(?:async )?{'def' if is_python else 'fn'} {name}\b", text, re.MULTILINE):
                return text
    return None


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.section}: {row.fault}"[:80])
def test_every_fault_has_a_test(row: Row) -> None:
    assert row.test, f"no test is named for: {row.fault}"
    text = source(row.test)
    assert text is not None, f"there is no {row.test}"
    assert "#[ignore" not in text
    if row.section in WITNESSED:
        assert "Fails without" in text, f"{row.test} does not name the line that it guards"


def test_no_fault_stands_twice() -> None:
    faults = [(row.section, row.fault, row.test) for row in rows()]
    assert len(faults) == len(set(faults))
