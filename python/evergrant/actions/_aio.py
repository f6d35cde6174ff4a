"""Actions on asyncio, uvloop, trio and anyio."""

from __future__ import annotations

from evergrant.actions._run import load
from evergrant.actions._run import run_async as run

__all__ = ["load", "run"]
