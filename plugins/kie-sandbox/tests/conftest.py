"""A fake Kie by a clock that only tests move."""

from __future__ import annotations

import pytest

from kie_sandbox import Sandbox


class Clock:
    """A clock that only tests move."""

    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def world(clock):
    return Sandbox(clock=clock)
