"""Where task ids go while the ledger cannot be written: one small file per process, with its space taken beforehand."""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

log = logging.getLogger("kie_core")
#: Bytes of one file: room for the answers of all creates that can be on their way at once.
SIZE: Final = 64 * 1024


@attrs.frozen
class Spilt:
    """A task id that may not have reached the ledger; ``record`` is the result, where Kie sent that at once."""

    account: str
    job_id: str
    task_id: str
    record: str | None = None


class Spill:
    """The file of this process.

    Args:
        stem: The ledger's path, beside which it lies.
        owner: Names the process.
    """

    def __init__(self, stem: Path, owner: str) -> None:
        self._path = stem.with_name(f"{stem.name}.spill-{owner}")
        self._file: int | None = None
        self._used = 0

    def prepare(self) -> None:
        """Take the space, before anything is bought.

        Raises:
            OSError: There is none.
        """
        if self._file is not None and os.fstat(self._file).st_nlink:
            return
        self.remove()  # who took this process for dead has removed the file
        self._used = 0
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(
            self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_DSYNC", 0) | getattr(os, "O_BINARY", 0), 0o600
        )
        try:
            _write(file, b"\n" * SIZE)
        except OSError:
            os.close(file)
            self._path.unlink(missing_ok=True)
            raise
        self._file = file

    def note(self, spilt: Spilt) -> bool:
        """Write a task id down, durably. Tell whether that worked.

        A record may go beyond the space that was taken: it is tried, as there is no other place for it.
        """
        line = json.dumps(attrs.asdict(spilt)).encode() + b"\n"
        try:
            if self._file is not None and not os.fstat(self._file).st_nlink:
                self.prepare()
            if self._file is None or (self._used + len(line) > SIZE and spilt.record is None):
                return False
            os.lseek(self._file, self._used, os.SEEK_SET)
            _write(self._file, line)
        except OSError as error:
            log.critical("the spill file %s cannot be written: %s", self._path, error)
            return False
        self._used += len(line)
        return True

    def remove(self) -> None:
        """Give the space back; for the end of a process whose ledger has everything."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
            self._path.unlink(missing_ok=True)


def _write(file: int, content: bytes) -> None:
    if os.write(file, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file)


def left_behind(stem: Path) -> Iterator[tuple[Path, list[Spilt]]]:
    """Yield the files of all processes beside the ledger *stem*, with what is in them."""
    for path in sorted(stem.parent.glob(f"{glob.escape(stem.name)}.spill-*")):
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            continue  # its process took it away
        except OSError as error:
            log.critical("the spill file %s cannot be read: %s", path, error)
            continue
        spilt = []
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):  # the last line may be half
                spilt += [Spilt(**json.loads(line))] if line.strip() else []
        yield path, spilt
