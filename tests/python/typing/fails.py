"""What type checkers refuse: the lines that end in `# refused`, and no other."""

import evergrant
from evergrant import AccessToken, injected, oauth


@oauth("google_drive")
def files(folder: str, *, token: AccessToken = injected) -> list[str]:
    return [folder, token]


@evergrant.action("tools.acme")
def stars(user: str) -> int:
    return len(user)


class Drive:
    @oauth("google_drive")
    def method(self, folder: str, *, token: AccessToken = injected) -> list[str]:
        return [folder, token]


files()  # refused
files(3)  # refused
files("x", depth=1)  # refused
files("x", token="plain")  # refused
Drive().method()  # refused
number: int = files("x")  # refused
stars(1)  # refused
evergrant.action()  # refused
evergrant.action("tools.acme", "name")  # refused
evergrant.action("tools.acme", secrets=3)  # refused

oauth()  # refused
oauth("github", "token")  # refused
oauth("github", connection=3)  # refused
oauth("github", unknown=True)  # refused
oauth("github", connection=lambda: "ann")  # refused

evergrant.get_token("github", "ann")  # refused
evergrant.get_token("github", min_ttl="60")  # refused
evergrant.configure("github", secret="x")  # refused
evergrant.connect("github", open_browser="firefox")  # refused
evergrant.begin_connect("github")  # refused
evergrant.Workspace(network="private")  # refused
evergrant.status("github").nothing  # refused
evergrant.nothing  # refused


async def use_aio() -> None:
    token: AccessToken = evergrant.aio.get_token("github")  # refused
