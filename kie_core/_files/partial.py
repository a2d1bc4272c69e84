"""A file that is not finished: beside its final place, counted, hashed, and kept whole or not at all.

Beside it lies a note that says which file of which address its bytes belong to. So another
process goes on where a killed one stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any, Final, Self

import attrs

#: Bytes read at once where bytes that lie on disk are hashed.
_BLOCK: Final = 1024 * 1024
#: Where Windows locks a byte: beyond the end of any file, for there a lock forbids others to read.
_FAR: Final = 1 << 60


@attrs.frozen
class Source:
    """What the bytes are a part of.

    Attributes:
        url: The address without its query, in which signatures and dates change.
        validator: What the host calls this very content: a strong ETag or a date.
        total: Bytes of the whole, if the host said.
    """

    url: str
    validator: str
    total: int | None


class Partial:
    """A temporary file in *folder*. Use it in a ``with`` block: what is neither kept nor left is removed.

    Args:
        folder: Where the final file will lie.
        stem: Names the result, so that a later process finds what was left. None, or if another process
            has it: a random name, which nobody goes on with.

    Attributes:
        size: Bytes so far.
        source: What they belong to; None: nobody can go on with them.
    """

    def __init__(self, folder: Path, stem: str | None = None) -> None:
        self.size = 0
        self.source: Source | None = None
        self._digest = hashlib.sha256()
        shared = None if stem is None else _claimed(folder / f".kie-{stem}.part")
        self._note = None if shared is None else folder / f".kie-{stem}.part.json"
        if shared is not None:
            self._path, self._file = shared
        else:
            self._path = folder / f".kie-{secrets.token_hex(8)}.part"
            self._file = _opened(self._path, os.O_EXCL)
        self._done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._done:
            self._file.close()
            return
        with self._closed_on_windows_first():
            if self._note is not None:
                self._note.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)

    def go_on(self, url: str) -> None:
        """Take over what an earlier process left of *url*; begin anew if that cannot be trusted."""
        source = self._noted()
        found = os.fstat(self._file.fileno()).st_size
        if source is None or source.url != url or found > (source.total or found):
            self.restart(None)
            return
        if found == source.total:  # killed before it was kept: without one byte, the host is asked about the rest
            self._file.truncate(found - 1)
        self.source = source
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            self._digest.update(block)
            self.size += len(block)

    def restart(self, source: Source | None) -> None:
        """Throw all bytes away; the next ones belong to *source*."""
        self._file.seek(0)
        if os.fstat(self._file.fileno()).st_size:
            self._file.truncate()
            os.fsync(self._file.fileno())  # else a power cut may leave these bytes beside the next note
        self.size, self.source, self._digest = 0, source, hashlib.sha256()
        if self._note is not None:
            self._note.unlink(missing_ok=True)
            if source is not None:
                with self._note.open("x", encoding="utf-8") as note:
                    json.dump(attrs.asdict(source), note)

    def write(self, chunk: bytes) -> None:
        """Append *chunk*."""
        rest = memoryview(chunk)
        while rest:  # a file without a buffer may take less than it is given
            rest = rest[self._file.write(rest) :]
        self._digest.update(chunk)
        self.size += len(chunk)

    def head(self, length: int) -> bytes:
        """Return the first bytes."""
        self._file.seek(0)
        try:
            return self._file.read(length)
        finally:
            self._file.seek(0, os.SEEK_END)

    @property
    def sha256(self) -> str:
        """The hash of all bytes, in hexadecimal."""
        return self._digest.hexdigest()

    def leave(self) -> None:
        """Leave what is there for a later process, if one can go on with it."""
        if self._note is not None and self.source is not None and self.size:
            self._done = True

    def keep(self, path: Path) -> Path:
        """Make it the file at *path*: on disk, then under its name, then the name on disk."""
        os.fsync(self._file.fileno())
        with self._closed_on_windows_first():
            if self._note is not None:
                self._note.unlink(missing_ok=True)
            self._path.replace(path)
            self._done = True
        _sync_folder(path.parent)
        return path

    @contextlib.contextmanager
    def _closed_on_windows_first(self) -> Iterator[None]:
        # Windows moves no open file; elsewhere the lock must hold until the name is gone.
        if os.name == "nt":
            self._file.close()
        try:
            yield
        finally:
            self._file.close()

    def _noted(self) -> Source | None:
        if self._note is None:
            return None
        try:
            noted: Any = json.loads(self._note.read_text(encoding="utf-8"))
            source = Source(**noted)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        fits = isinstance(source.url, str) and isinstance(source.validator, str)
        return source if fits and isinstance(source.total, int | None) else None


def sha256_of(path: Path) -> str:
    """Return the hash of the file at *path*, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path, flags: int) -> FileIO:
    # Never through a link that somebody put there. With the permissions that the user gives to new files.
    flags |= os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return FileIO(os.open(path, flags, 0o666), "r+")


def _claimed(path: Path) -> tuple[Path, FileIO] | None:
    """Open *path* for this process alone; None: another has it, or the file system knows no locks."""
    try:
        file = _opened(path, 0)
    except OSError:
        return None
    try:
        _lock(file)
        ours, there = os.fstat(file.fileno()), path.stat(follow_symlinks=False)
        if os.path.samestat(ours, there) and stat.S_ISREG(ours.st_mode):  # the one before us may have renamed it
            return path, file
    except OSError:
        pass
    file.close()
    return None


def _lock(file: FileIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # some file systems cannot; the file is there all the same
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
