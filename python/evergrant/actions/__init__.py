"""Action templates: YAML files that call APIs with the tokens of a workspace.

A template never sees a token: it gets a marker of this run in its place, which becomes the token in the header of a
request to one of the provider's own hosts, and nowhere else. It is code all the same: run only what you trust.

```python
from evergrant import actions

actions.run("tools.github.list_issues", {"owner": "octocat", "repository": "hello-world"})
```
"""

from __future__ import annotations

from evergrant._core import Template
from evergrant.actions._run import load, run
from evergrant.actions._validate import validate

__all__ = ["Template", "load", "run", "validate"]
