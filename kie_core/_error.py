"""The root of all errors, alone: what catches any of them need not load them all."""

from __future__ import annotations


class KieError(Exception):
    """The root of all errors of kie-core."""
