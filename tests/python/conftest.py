"""Fixtures of all Python tests."""

import fake_core

fake_core.install()

from fake_core import core  # noqa: E402, F401 - a fixture, which needs the core installed first
