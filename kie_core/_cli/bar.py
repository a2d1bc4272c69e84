"""The bar of a task on a terminal: how much of it is done, and how long it still takes. Loads rich."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from kie_core._cli.output import GOES_ON, time_left

if TYPE_CHECKING:
    from rich.console import RenderableType


class Bar(Progress):
    """What Kie says is done counts; where it says nothing, the bar goes by how long such tasks take.

    Args:
        remaining: Seconds in which half of such tasks end; None: nobody knows.
        console: Where it is drawn.
    """

    def __init__(self, remaining: Callable[[], float | None], *, console: Console | None = None) -> None:
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
        )  # fmt: skip
        self._remaining = remaining
        self._share: float | None = None
        self._goes_on = True
        super().__init__(*columns, console=console or Console(stderr=True), transient=True)
        self._row = self.add_task("submitted", total=None, left="")

    def show(self, state: str, share: float | None) -> None:
        """Show *state* and, where Kie says it, the share that is done."""
        self._share = 1.0 if state == "succeeded" else share
        self._goes_on = state in GOES_ON
        self.update(self._row, description=state.replace("_", " "))

    def say(self, text: str) -> None:
        """Print a text above the bar."""
        self.console.print(Text(text))

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is drawn, several times a second."""
        for row in self.tasks:
            share, seconds = self._share, self._remaining() if self._goes_on else None
            if share is None and seconds is not None:
                elapsed = row.elapsed or 0.0
                share = elapsed / (elapsed + seconds)
            total = None if share is None else 1.0
            self.update(row.id, total=total, completed=share or 0.0, left=time_left(seconds))
        return super().get_renderables()
