"""`@oauth` from end to end: functions of every kind call the server's API with the token they are given."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import evergrant
from evergrant import AccessToken, MissingScopes, NotConnected, Workspace, injected, oauth
from support import AuthorizationServer, Program, UserAgent, acme, leaks

Start = Callable[..., Program]


@pytest.fixture(autouse=True)
def connected(home: object, server: AuthorizationServer) -> None:
    """`acme` is connected twice in the default workspace: `default` is ada, `grace` is grace."""
    acme.connect(server, UserAgent("ada"))
    acme.connect(server, UserAgent("grace"), connection="grace")


# Every kind of function


def test_a_function(server: AuthorizationServer) -> None:
    @oauth("acme")
    def who(greeting: str, *, token: AccessToken = injected) -> str:
        return f"{greeting}, {server.whoami(token)['subject']}"

    assert who("Hello") == "Hello, ada"


def test_methods(server: AuthorizationServer) -> None:
    class Service:
        @oauth("acme")
        def own(self, *, token: AccessToken = injected) -> str:
            return str(server.whoami(token)["subject"])

        @classmethod
        @oauth("acme", connection="grace")
        def of_the_class(cls, *, token: AccessToken = injected) -> str:
            return str(server.whoami(token)["subject"])

        @staticmethod
        @oauth("acme")
        def of_nobody(*, token: AccessToken = injected) -> str:
            return str(server.whoami(token)["subject"])

    assert (Service().own(), Service.of_the_class(), Service.of_nobody()) == ("ada", "grace", "ada")


def test_a_coroutine(server: AuthorizationServer) -> None:
    @oauth("acme")
    async def who(*, token: AccessToken = injected) -> str:
        await asyncio.sleep(0)
        return str(server.whoami(token)["subject"])

    async def main() -> list[str]:
        return await asyncio.gather(*(who() for _ in range(5)))

    assert asyncio.run(main()) == ["ada"] * 5


def test_a_generator(server: AuthorizationServer) -> None:
    @oauth("acme")
    def pages(count: int, *, token: AccessToken = injected) -> Iterator[str]:
        for number in range(count):
            yield f"{number} {server.whoami(token)['subject']}"

    assert list(pages(2)) == ["0 ada", "1 ada"]


def test_an_asynchronous_generator(server: AuthorizationServer) -> None:
    @oauth("acme")
    async def pages(count: int, *, token: AccessToken = injected) -> AsyncIterator[str]:
        for number in range(count):
            yield f"{number} {server.whoami(token)['subject']}"

    async def main() -> list[str]:
        return [page async for page in pages(2)]

    assert asyncio.run(main()) == ["0 ada", "1 ada"]


def test_two_tokens_for_one_function(server: AuthorizationServer) -> None:
    @oauth("acme", into="source")
    @oauth("acme", into="target", connection="grace")
    def copied(*, source: AccessToken = injected, target: AccessToken = injected) -> list[str]:
        return [str(server.whoami(token)["subject"]) for token in (source, target)]

    assert copied() == ["ada", "grace"]


def test_a_workspaces_own_decorator(server: AuthorizationServer, tmp_path: Any) -> None:
    acme.connect(server, UserAgent("mary"), store=tmp_path / "other.db")
    with Workspace(store=tmp_path / "other.db") as workspace:

        @workspace.oauth("acme")
        def who(*, token: AccessToken = injected) -> str:
            return str(server.whoami(token)["subject"])

        assert who() == "mary"


def test_a_function_asks_anew_at_each_call(server: AuthorizationServer) -> None:
    @oauth("acme")
    def who(*, token: AccessToken = injected) -> str:
        return str(server.whoami(token)["subject"])

    assert who() == "ada"
    evergrant.connect("acme", again=True, open_browser=UserAgent("mary").connect)
    assert who() == "mary"
    evergrant.disconnect("acme")
    with pytest.raises(NotConnected):
        who()


# Which token


def test_an_explicit_argument_wins_and_asks_nobody(server: AuthorizationServer) -> None:
    @oauth("nowhere")
    def who(*, token: AccessToken = injected) -> str:
        return str(token)

    assert who(token="fake") == "fake"
    assert server.count() == 0


def test_the_connection_may_be_the_calls_argument(server: AuthorizationServer) -> None:
    @oauth("acme", connection=lambda call: call["user"])
    def who(user: str, *, token: AccessToken = injected) -> str:
        return str(server.whoami(token)["subject"])

    assert (who("default"), who(user="grace")) == ("ada", "grace")
    with pytest.raises(NotConnected):
        who("nobody")


def test_an_optional_token_is_none_when_nobody_is_connected() -> None:
    @oauth("acme", connection=lambda call: call["user"], optional=True)
    def is_connected(user: str, *, token: AccessToken | None = injected) -> bool:
        return token is not None

    assert is_connected("grace")
    assert not is_connected("nobody")


def test_missing_scopes_are_named_with_the_command_that_asks_for_them(user_agent: UserAgent) -> None:
    @oauth("acme", scopes=["email", "files.read"])
    def files(*, token: AccessToken = injected) -> tuple[str, ...]:
        return token.scopes

    with pytest.raises(MissingScopes) as raised:
        files()

    assert raised.value.missing == ("files.read",)
    assert set(raised.value.union) == {*acme.SCOPES, "files.read"}
    assert raised.value.hint == "evergrant connect acme --scope files.read"


def test_expired_tokens_are_refreshed_before_the_function_runs(server: AuthorizationServer) -> None:
    acme.connect(server, UserAgent("ada"), age=acme.EXPIRED)

    @oauth("acme")
    def who(*, token: AccessToken = injected) -> str:
        return str(server.whoami(token)["subject"])

    assert [who() for _ in range(3)] == ["ada"] * 3
    assert server.refreshes == 1


# What leaves a function


def test_a_returned_token_is_masked(server: AuthorizationServer) -> None:
    @oauth("acme")
    def request(*, token: AccessToken = injected) -> dict[str, Any]:
        return {"url": f"https://api/?token={token}", "headers": [("Authorization", f"Bearer {token}")], "count": 1}

    found = request()

    assert leaks(repr(found), server.secrets()) == []
    assert found["count"] == 1
    assert found["url"].startswith("https://api/?token=")


def test_a_token_in_an_exception_is_masked(server: AuthorizationServer) -> None:
    @oauth("acme")
    def fail(*, token: AccessToken = injected) -> None:
        raise ValueError(f"the API refused {token}", {"Authorization": token})

    with pytest.raises(ValueError, match="the API refused") as raised:
        fail()

    assert leaks(f"{raised.value!r} {raised.value}", server.secrets()) == []


def test_a_function_may_return_its_token_where_it_says_so(server: AuthorizationServer) -> None:
    @oauth("acme", redact=False)
    def same(*, token: AccessToken = injected) -> AccessToken:
        return token

    assert server.whoami(same())["subject"] == "ada"


def test_logs_are_masked(server: AuthorizationServer, caplog: pytest.LogCaptureFixture) -> None:
    token = evergrant.get_token("acme")

    logging.getLogger("some.sdk").warning("GET /files?access_token=%s", token, extra={"header": f"Bearer {token}"})

    assert "GET /files?access_token=" in caplog.text
    assert leaks(caplog.text + repr(caplog.records[0].__dict__), server.secrets()) == []


def test_a_token_shows_whose_it_is_and_never_its_value(server: AuthorizationServer) -> None:
    token = evergrant.get_token("acme", connection="grace")

    assert repr(token).startswith("<AccessToken acme/grace, ")
    assert leaks(repr(token), server.secrets()) == []
    assert (token.provider, token.connection, token.workspace) == ("acme", "grace", "default")
    assert token.grant_type == "authorization_code"
    assert set(token.scopes) == set(acme.SCOPES)
    assert token.expires_in is not None
    assert 0 < token.expires_in <= acme.LIFETIME


# Other processes


def test_a_token_pickles_as_a_reference(server: AuthorizationServer) -> None:
    token = evergrant.get_token("acme", connection="grace")

    pickled = pickle.dumps({"Authorization": token})

    assert leaks(pickled.decode("latin-1"), server.secrets()) == []
    assert pickle.loads(pickled) == {"Authorization": token}
    assert copy.deepcopy([token])[0] is token


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_token_that_was_sent_to_another_process_works_there(
    server: AuthorizationServer, program: Start, method: str
) -> None:
    output = program(
        """
        import multiprocessing, sys
        import evergrant
        from evergrant import AccessToken, injected, oauth
        from support import whoami

        @oauth("acme", connection="grace")
        def decorated(api, *, token: AccessToken = injected):
            return whoami(api, token)

        if __name__ == "__main__":
            api, method = sys.argv[1:]
            token = evergrant.get_token("acme")
            with multiprocessing.get_context(method).Pool(1) as pool:
                print(pool.apply(whoami, (api, token)), pool.apply(decorated, (api,)))
        """,
        server.api,
        method,
    ).end()

    assert output == "ada grace\n"
    assert server.count() == 0
