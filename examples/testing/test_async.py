"""Asynchronous functions, under pytest-asyncio and under anyio: the fixtures are the same."""

import asyncio

import anyio
import pytest

from evergrant import AccessToken, aio, injected, oauth
from evergrant.testing import Clock, MockProvider


@oauth("mock")
async def provider(*, token: AccessToken = injected) -> str:
    return token.provider


@pytest.mark.asyncio
async def test_asyncio(mock_provider: MockProvider, oauth_clock: Clock) -> None:
    mock_provider.connect()
    oauth_clock.advance(3600)
    assert set(await asyncio.gather(*(provider() for _ in range(20)))) == {"mock"}
    assert mock_provider.refreshes == 1


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_anyio(mock_provider: MockProvider, oauth_clock: Clock) -> None:
    mock_provider.connect()
    oauth_clock.advance(3600)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(provider)
    assert (await aio.get_token("mock")).scopes == ("openid", "email")
    assert mock_provider.refreshes == 1
