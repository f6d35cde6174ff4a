"""What the tests and the demo share: the authorization server, a person at a browser, and a search for leaks."""

from support.leaks import leaks
from support.program import Program
from support.server import AuthorizationServer, Client, TokenRequest, whoami
from support.user_agent import AuthorizationRefused, UserAgent

__all__ = [
    "AuthorizationRefused",
    "AuthorizationServer",
    "Client",
    "Program",
    "TokenRequest",
    "UserAgent",
    "leaks",
    "whoami",
]
