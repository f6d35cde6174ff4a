"""A service that acts as itself (client credentials): no person, no browser, no `connect`.

Usage: service.py TOKEN_ENDPOINT CLIENT_ID < FILE_WITH_THE_CLIENT_SECRET
"""

import sys

import evergrant


def main(token_endpoint: str, client_id: str) -> None:
    evergrant.configure(
        "robot",
        grant_type="client_credentials",
        client_id=client_id,
        client_secret=sys.stdin.readline().strip(),
        endpoints={"token_endpoint": token_endpoint},
    )
    token = evergrant.get_token("robot")
    print(f"{token!r}, scopes {token.scopes}")
    again = evergrant.get_token("robot")  # from the cache: no request
    print("the same object:", again is token)


if __name__ == "__main__":
    main(*sys.argv[1:])
