"""A task of the fake Kie and how far it is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs


@attrs.define
class Task:
    """A task. ``seconds`` is how long it takes by Kie's clock, ``speed`` how much faster that clock runs.

    ``readings`` counts how often its record was read after its end, ``mark`` ends its links, ``link`` replaces them.
    ``operation`` says what it does, where that is not the first call of its family.
    """

    id: str
    family: str
    media: str
    body: dict[str, Any]
    created: float
    seconds: float
    speed: float
    credits: Decimal
    files: str
    file_name: str
    tracks: bool = False
    fails: bool = False
    refunded: bool = False
    readings: int = 0
    mark: str = ""
    link: str | None = None
    operation: str = ""

    def share(self, now: float) -> float:
        """Return how much of the task is done: 0 to 1."""
        return min(1.0, max(0.0, (now - self.created) * self.speed / self.seconds))

    def moment(self, share: float) -> float:
        """Return when that much of it is done, in seconds since 1970."""
        return self.created + share * self.seconds / self.speed

    def ended(self, now: float) -> bool:
        return self.share(now) >= 1.0

    @property
    def create_time(self) -> int:
        return int(self.created * 1000)

    @property
    def complete_time(self) -> int:
        return int((self.created + self.seconds) * 1000)

    def url(self, number: int = 1, name: str | None = None) -> str:
        return self.link or f"{self.files}/{number}-{name or self.file_name}{self.mark}"
