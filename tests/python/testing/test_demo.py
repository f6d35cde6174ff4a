"""`evergrant demo`: the story of `make demo`, without a certified server, without sleeping, without a trace."""

from __future__ import annotations

import json
import resource
from pathlib import Path

from support.command import evergrant

SECONDS = 5.0


def test_the_story_is_told_in_less_than_five_seconds_and_leaves_nothing(home: Path) -> None:
    """Its own time is counted: what a loaded machine takes is not the story's."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, story, complaints = evergrant("demo", TMPDIR=str(home.parent))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert (code, complaints) == (0, "")
    assert "connected as ada@example.com" in story
    assert "Welcome back, ada" in story
    assert "64 answers; the server itself counted 1 refresh" in story
    assert "the name 'acme' in clear: True; tokens and secrets in clear: none" in story
    assert "removed: True, 0 integrations are left" in story
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
    assert list(home.parent.iterdir()) == []


def test_the_story_is_told_as_json(home: Path) -> None:
    code, story, _ = evergrant("demo", "--json")
    assert code == 0
    assert json.loads(story)[-1] == "removed: True, 0 integrations are left"
