"""A function that is given its token. Once: `evergrant configure github`, `evergrant connect github`."""

import json
import sys
from urllib.request import Request, urlopen

from evergrant import AccessToken, injected, oauth

PROVIDER, API = sys.argv[1:] or ("github", "https://api.github.com/user")


@oauth(PROVIDER)
def account(url: str, *, token: AccessToken = injected) -> dict[str, object]:
    request = Request(url, headers={"Authorization": f"Bearer {token}"})
    with urlopen(request, timeout=30) as response:
        answer: dict[str, object] = json.load(response)
    return answer


if __name__ == "__main__":
    print(json.dumps(account(API), indent=2))
