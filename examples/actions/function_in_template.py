"""A template that calls a function: greeting.yaml names `tools.mine.greet`, which is registered here."""

import sys
from pathlib import Path

import evergrant
from evergrant import actions


@evergrant.action("tools.mine")
def greet(name: str, words: list[str]) -> list[str]:
    """Greet somebody in several words."""
    return [f"{word}, {name}!" for word in words]


if __name__ == "__main__":
    greeting = Path(__file__).with_name("greeting.yaml")
    print(actions.run(greeting, {"url": sys.argv[1], "words": ["Hello", "Salut"]}))
