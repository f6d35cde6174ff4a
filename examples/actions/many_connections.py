"""One action for every account that is connected, at most four at once; one that fails stops no other."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from evergrant import EvergrantError, actions, aio

WHOAMI = actions.load(Path(__file__).with_name("whoami.yaml"))


async def run_for(connection: str, url: str, turn: asyncio.Semaphore) -> tuple[str, Any]:
    async with turn:
        try:
            answer = await aio.actions.run(WHOAMI, {"url": url}, connection=connection, timeout=60)
        except EvergrantError as error:
            return connection, f"{error.code}: {error.hint or error.reason}"
    return connection, answer["subject"]


async def main(url: str) -> None:
    turn = asyncio.Semaphore(4)
    connections = [status.connection for status in await aio.connections("acme")]
    for connection, answer in await asyncio.gather(*(run_for(one, url, turn) for one in connections)):
        print(f"{connection}: {answer}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
