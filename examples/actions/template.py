"""Run a template, whoami.yaml, with the token of the connection `default`."""

import sys
from pathlib import Path

from evergrant import ActionError, actions

WHOAMI = Path(__file__).with_name("whoami.yaml")


def main(url: str) -> None:
    template = actions.load(WHOAMI)
    print(template.name, "needs", template.needs)
    print("answer:", actions.run(template, {"url": url})["subject"])
    try:
        actions.run(template, {"url": "https://elsewhere.example/"})
    except ActionError as error:  # before anything is sent: that host is not acme's
        print("refused:", error.code)


if __name__ == "__main__":
    main(*sys.argv[1:])
