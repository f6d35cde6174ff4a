"""The wheel alone: a user's own tests pass where nothing but `pip install evergrant pytest` was done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[3]
ENVIRONMENT = dict(os.environ)  # the developer's own, in which cargo is at home: read before the tests get another
NEEDED = ("click", "iniconfig", "packaging", "pluggy", "pygments", "pytest")  # what pip would install beside the wheel
OLD_PYTHON = ("exceptiongroup", "tomli", "typing_extensions")  # the same on 3.10

pytestmark = pytest.mark.timeout(300)  # it compiles what an edit has changed


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel, pytest, and what these two need: from no network."""
    folder = tmp_path_factory.mktemp("environment")
    # As scripts/setup builds the extension: then cargo has built it already.
    done = subprocess.run(
        [str(Path(sys.executable).parent / "maturin"), "build", "--quiet", "--out", str(folder)],
        cwd=ROOT,
        env={**ENVIRONMENT, "VIRTUAL_ENV": sys.prefix, "PATH": f"{Path(sys.executable).parent}:{ENVIRONMENT['PATH']}"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    with ZipFile(wheel) as content:
        content.extractall(packages)
    for name in (*NEEDED, *(OLD_PYTHON if sys.version_info < (3, 11) else ())):
        for file in distribution(name).files or ():
            if not file.is_absolute() and ".." not in file.parts:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), packages / file)
    return folder / "venv" / "bin" / "python"


def run(environment: Path, folder: Path, *arguments: str) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [environment, "-W", "error", *arguments], cwd=folder, env=plain, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_users_tests_pass_where_only_the_wheel_and_pytest_are_installed(
    environment: Path, home: Path, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "examples" / "testing" / "test_reports.py", tmp_path)
    output = run(environment, tmp_path, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    assert " passed" in output


def test_the_demo_runs_from_the_wheel(environment: Path, home: Path, tmp_path: Path) -> None:
    assert "the server itself counted 1 refresh" in run(environment, tmp_path, "-m", "evergrant.cli", "demo")


def test_nothing_of_the_checkout_is_used(environment: Path, home: Path, tmp_path: Path) -> None:
    place = run(environment, tmp_path, "-c", "import evergrant.testing; print(evergrant.testing.__file__)")
    assert Path(place).is_relative_to(environment.parents[1])
