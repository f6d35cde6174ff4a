"""A function that calls a template: whoami.yaml makes the request, and the function never sees a token."""

import sys
from pathlib import Path
from typing import Any

import evergrant
from evergrant import actions

WHOAMI = actions.load(Path(__file__).with_name("whoami.yaml"))


@evergrant.action("tools.mine")
def initials(url: str, connection: str = "default") -> dict[str, Any]:
    """The first letter of the account's name, and what it was made of."""
    account = actions.run(WHOAMI, {"url": url}, connection=connection)
    return {"letter": account["subject"][0].upper(), "subject": account["subject"]}


if __name__ == "__main__":
    print(actions.run("tools.mine.initials", {"url": sys.argv[1]}))
