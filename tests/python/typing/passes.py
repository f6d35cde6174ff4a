"""What type checkers accept: every line of it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import Any, assert_type

import evergrant
from evergrant import AccessToken, Report, Status, Workspace, injected, oauth


@oauth("google_drive")
def files(folder: str, *, token: AccessToken = injected) -> list[str]:
    return [folder, token]


@oauth("github", connection=lambda call: str(call["user"]), resource=lambda call: None, scopes=("repo",))
async def stars(user: str, *, token: AccessToken = injected) -> int:
    return len(user + token)


@oauth("github", optional=True)
def maybe(*, token: AccessToken | None = injected) -> bool:
    return token is not None


@oauth("slack", into="slack")
@oauth("github", into="github")
def both(n: int, *, slack: AccessToken = injected, github: AccessToken = injected) -> Iterator[str]:
    yield from (slack, github)[:n]


@oauth("slack")
async def items(*, token: AccessToken = injected) -> AsyncIterator[str]:
    yield token


@evergrant.action("tools.acme", title="Forks", secrets=["acme"])
@oauth("github")
async def forks(user: str, *, token: AccessToken = injected) -> int:
    return len(user + token)


class Drive:
    @oauth("google_drive")
    def method(self, folder: str, *, token: AccessToken = injected) -> list[str]:
        return [folder, token]

    @classmethod
    @oauth("google_drive")
    def below(cls, *, token: AccessToken = injected) -> "Drive":
        return cls()


def use() -> None:
    assert_type(files("x"), list[str])
    assert_type(files("x", token=AccessToken("fake")), list[str])
    assert_type(maybe(), bool)
    assert_type(both(2), Iterator[str])
    assert_type(items(), AsyncIterator[str])
    assert_type(Drive().method("x"), list[str])
    assert_type(Drive.below(), Drive)

    token = evergrant.get_token("github", min_ttl=60, scopes=("repo",))
    assert_type(token, AccessToken)
    assert_type(token.expires_at, datetime | None)
    assert_type(token.expires_in, float | None)
    assert_type(token.scopes, tuple[str, ...])
    assert_type(token.extra, Mapping[str, str])
    evergrant.get_token("github", replacing=token, timeout=None)

    status = evergrant.configure("github", client_id="x", client_secret="y", scopes=["a"], parameters={"k": "v"})
    assert_type(status, Status)
    assert_type(status.granted_scopes, tuple[str, ...])
    assert_type(status.to_dict(), dict[str, Any])
    for what, ok, detail in evergrant.test("github").steps:
        assert_type((what, ok, detail), tuple[str, bool, str])
    evergrant.connect("github", open_browser=print)
    evergrant.connect("github", open_browser=False)
    assert_type(evergrant.redact({"a": 1}), dict[str, int])
    try:
        evergrant.status("github")
    except evergrant.InvalidScope as error:
        assert_type(error.patterns, tuple[str, ...])
    except evergrant.EvergrantError as error:
        assert_type(error.hint, str | None)

    with Workspace("team", store="memory:", network="public") as workspace:
        assert_type(workspace.get_token("github"), AccessToken)

        @workspace.oauth("github")
        def inner(n: int, *, token: AccessToken = injected) -> str:
            return token * n

        assert_type(inner(1), str)


async def use_aio() -> None:
    assert_type(await stars("ann"), int)
    assert_type(await forks("ann"), int)
    assert_type(await evergrant.aio.get_token("github"), AccessToken)
    assert_type(await evergrant.aio.disconnect("github", revoke=False), Report)
    async with evergrant.aio.Workspace("team") as workspace:
        assert_type(await workspace.status("github"), Status)
