"""A function as an action: its inputs are checked and brought to their types, and its token is filled in."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.request import Request, urlopen

import evergrant
from evergrant import AccessToken, ActionError, actions, injected, oauth


@dataclass
class Account:
    subject: str
    greeting: str


@evergrant.action("tools.mine", title="Greet the account")
@oauth("acme")
def greet_account(
    url: Annotated[str, "What to ask."],
    language: Literal["en", "de"] = "en",
    times: int = 1,
    *,
    token: AccessToken = injected,
) -> Account:
    """Greet whoever connected."""
    with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"}), timeout=30) as response:
        subject = json.load(response)["subject"]
    word = {"en": "Hello", "de": "Hallo"}[language]
    return Account(subject, " ".join([f"{word}, {subject}!"] * times))


def main(url: str) -> None:
    print("inputs:", ", ".join(greet_account.inputs["properties"]))  # type: ignore[attr-defined]
    print("as a function:", greet_account(url, "de"))
    print("as an action:", actions.run("tools.mine.greet_account", {"url": url, "times": "2"}))
    try:
        actions.run("tools.mine.greet_account", {"url": url, "times": "twice"})
    except ActionError as error:
        print("refused:", error)


if __name__ == "__main__":
    main(*sys.argv[1:])
