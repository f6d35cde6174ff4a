"""Configures `acme` in the default workspace and signs in under each name: ISSUER CLIENT_ID CLIENT_SECRET NAME…"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "python"))
import evergrant
from support.user_agent import UserAgent

issuer, client_id, client_secret, *names = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
evergrant.configure(
    "acme", issuer=issuer, client_id=client_id, client_secret=client_secret, scopes=["openid", "offline_access"]
)
for name in names:
    evergrant.connect("acme", connection=name, open_browser=UserAgent(name).connect)
print(json.dumps({"connected": len(names)}))
