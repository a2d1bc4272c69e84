"""What is known of other distributions without importing them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points


def summaries(group: str) -> Iterator[tuple[EntryPoint, str]]:
    """Yield the entry points of *group*, each with the summary of its distribution."""
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        yield entry, (entry.dist.metadata["Summary"] or "" if entry.dist is not None else "")
