"""The test kit: providers on loopback that behave as real ones do, for tests of code that needs tokens.

With pytest nothing needs to be imported: the fixtures `mock_provider`, `oauth_workspace`, `oauth_clock`, `fake_token`,
`mock_provider_as` and `oauth_recorder` are there once evergrant is installed. Without pytest:

```python
from evergrant.testing import Server

with Server() as server:
    server.next("503")
    ...
```
"""

from evergrant.testing.behaviour import BEHAVIOURS, Behaviour
from evergrant.testing.fixtures import FakeTokens, Recorder
from evergrant.testing.keys import CLIENT_KEY, SERVER_KEY, Key
from evergrant.testing.ledger import Client
from evergrant.testing.messages import RecordedRequest
from evergrant.testing.person import Person, Refusal
from evergrant.testing.providers import Clock, MockProvider, Providers
from evergrant.testing.server import Server
from evergrant.testing.tokens import InvalidToken, sign, verify
from evergrant.testing.vendors import VendorServer, vendors

__all__ = [
    "BEHAVIOURS",
    "CLIENT_KEY",
    "SERVER_KEY",
    "Behaviour",
    "Client",
    "Clock",
    "FakeTokens",
    "InvalidToken",
    "Key",
    "MockProvider",
    "Person",
    "Providers",
    "RecordedRequest",
    "Recorder",
    "Refusal",
    "Server",
    "VendorServer",
    "sign",
    "vendors",
    "verify",
]
