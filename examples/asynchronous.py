"""Many tasks, one token: whoever comes first after the expiry refreshes it, and the others get the same one."""

import asyncio
import json
import sys
from urllib.request import Request, urlopen

from evergrant import AccessToken, aio, injected, oauth

PROVIDER, API = sys.argv[1:] or ("github", "https://api.github.com/user")


@oauth(PROVIDER)
async def account(*, token: AccessToken = injected) -> str:
    request = Request(API, headers={"Authorization": f"Bearer {token}"})
    return await asyncio.to_thread(lambda: urlopen(request, timeout=30).read().decode())


async def main() -> None:
    answers = await asyncio.gather(*(account() for _ in range(5)))
    print(len(answers), "answers, all equal:", len({json.dumps(json.loads(answer)) for answer in answers}) == 1)
    print(repr(await aio.get_token(PROVIDER)))  # masked: the token itself is its text


if __name__ == "__main__":
    asyncio.run(main())
