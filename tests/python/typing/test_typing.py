"""The public surface under mypy and pyright."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

PASSES = HERE / "passes.py"
FAILS = HERE / "fails.py"


def mypy(*paths):
    """Lines with errors, by file name."""
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version=3.11", "--no-error-summary", "--no-pretty"]
    shown = subprocess.run([*command, *map(str, paths)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.stderr == ""
    return {
        (Path(file).name, int(line)) for file, line in re.findall(r"^(.+?):(\d+): error:", shown.stdout, re.MULTILINE)
    }


def pyright(*paths):
    """Lines with errors, by file name."""
    settings = HERE / "pyrightconfig.json"
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(settings)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    names = {path.name for path in paths}
    found = json.loads(shown.stdout)["generalDiagnostics"]
    return {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1)
        for one in found
        if one["severity"] == "error" and Path(one["file"]).name in names
    }


def refused(path):
    return {
        (path.name, number)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.endswith("  # refused")
    }


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_checkers_accept_what_is_right_and_refuse_what_is_wrong(checker):
    found = checker(PASSES, FAILS)

    assert len(refused(FAILS)) > 15
    assert found == refused(FAILS)
