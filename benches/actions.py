"""Action templates: a thousand read and validated, and expressions, best of interleaved rounds; argument: a folder."""

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from evergrant import _core, actions

ROUNDS = 15
TEMPLATES = 1000
PATH = "${{ inputs.page.items[0].name }}"
TEXT = (
    "https://${{ FN.lowercase(inputs.host) }}/v1/items/${{ FN.url_encode(inputs.name) }}"
    "?sort=${{ ('-' if inputs.descending else '') + 'name' }}"
)
INPUTS = json.dumps(
    {"host": "API.example.com", "name": "a b/c", "descending": True, "page": {"items": [{"name": "x"}]}}
)


def copies(originals: Path, folder: Path) -> list[str]:
    """Fills a folder with templates of different names; gives their texts."""
    paths = sorted(originals.glob("*.yaml"))
    texts = []
    for number in range(TEMPLATES):
        path = paths[number % len(paths)]
        text = path.read_text(encoding="utf-8").replace(f"name: {path.stem}\n", f"name: template_{number}\n")
        (folder / f"{number}.yaml").write_text(text, encoding="utf-8")
        texts.append(text)
    return texts


def seconds(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def main(originals: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        texts = copies(originals, Path(name))
        # The one that calls another finds it under its own name no more.
        assert {problem.severity for problem in actions.validate(name)} <= {"warning"}
        measured: dict[str, Callable[[], object]] = {
            "validate": lambda: actions.validate(name),
            "yaml": lambda: [yaml.load(text, Loader=yaml.CSafeLoader) for text in texts],
            "path": lambda: _core._evaluate(PATH, INPUTS, 1000),
            "text": lambda: _core._evaluate(TEXT, INPUTS, 1000),
        }
        best = dict.fromkeys(measured, float("inf"))
        for _ in range(ROUNDS):
            for what in random.sample(list(measured), len(measured)):
                best[what] = min(best[what], seconds(measured[what]))
    print(json.dumps(best))


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    main(Path(sys.argv[1]))
