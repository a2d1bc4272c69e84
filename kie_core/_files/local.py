"""What stands on this machine in place of a URL: paths, bytes, open files, data URLs. Read and checked, never held.

A file is read twice, in pieces: once to see what it is and to hash it, once to send it; what changed in between is
not sent. Until it is sent a stand-in takes its place, an address that is made of the hash of its content. So a job is
decided, priced and checked before anything leaves, and the same content is the same job, wherever it was uploaded.
"""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import io
import os
import re
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO, Final, TypeAlias
from urllib.parse import unquote_to_bytes

import attrs

from kie_core._dispatch.dispatcher import Dispatcher
from kie_core._errors import Fault, InvalidJob
from kie_core._files.sniff import HEAD
from kie_core._files.upload_kinds import KINDS, MEGABYTE, kind_of, too_large, unwanted
from kie_core._jobs.job import Job
from kie_core._models.field import Field
from kie_core._models.file_limits import FileLimits

#: Under the domain that cannot exist (RFC 2606): one that slipped through would lead nowhere.
STAND_IN: Final = "https://upload.invalid/"
#: Bytes that are read at once.
PIECE: Final = 256 * 1024
#: Bytes that a data URL may hold: for more, give a file. Kie advises base64 for so much, too.
#: Source: docs.kie.ai/file-upload-api/upload-file-base-64, read 2026-10-01.
LARGEST_DATA: Final = 10 * MEGABYTE
#: Letters of a data URL that are decoded at once; a multiple of four.
_LETTERS: Final = 64 * 1024
_LONGEST_NAME: Final = 80
_DEEPEST: Final = 8

#: What is taken in place of a URL.
FileLike: TypeAlias = "os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | str"


class Unusable(Exception):
    """It cannot be uploaded; says why. Never leaves this package."""


@attrs.frozen(eq=False)
class Source:
    """One file, ready to be sent.

    Attributes:
        shown: What to call it in messages.
        name: Its base name, cleaned; empty: it has none.
        size: Bytes.
        sha256: The hash of its content, in hexadecimal.
        kind: What it is, by its first bytes.
    """

    shown: str
    name: str
    size: int
    sha256: str
    kind: str
    _reading: Callable[[], contextlib.AbstractContextManager[Iterator[bytes]]] = attrs.field(repr=False)

    def __str__(self) -> str:
        return f"<upload of {self.shown}, {self.size} bytes, sha256 {self.sha256}>"

    @property
    def stand_in(self) -> str:
        """The address that takes its place until it is uploaded."""
        return f"{STAND_IN}{self.sha256}.{self.kind}"

    def pieces(self) -> Iterator[bytes]:
        """Yield the content, as it was when it was hashed.

        Raises:
            Unusable: It is another by now.
        """
        changed = f"{self.shown} changed while it was read; give it again when nobody writes to it any more"
        digest, size = hashlib.sha256(), 0
        with self._reading() as pieces:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                if size > self.size:
                    raise Unusable(changed)
                if size == self.size and digest.hexdigest() != self.sha256:
                    raise Unusable(changed)  # before its last piece is handed out
                yield piece
        if size != self.size:
            raise Unusable(changed)


def is_source(value: Any) -> bool:
    """Tell whether *value* stands for a file of this machine."""
    if isinstance(value, str):
        return value[:5].lower() == "data:"
    return isinstance(value, (os.PathLike, bytes, bytearray, memoryview)) or callable(getattr(value, "read", None))


def any_source(value: Any, depth: int = 0) -> bool:
    """Tell whether a file of this machine is in *value*."""
    if depth > _DEEPEST:
        return False
    if isinstance(value, Mapping):
        return any(any_source(item, depth + 1) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(any_source(item, depth + 1) for item in value)
    return is_source(value)


def shown_of(value: Any) -> str:
    """Return what to call something in a message that cannot be looked at."""
    if isinstance(value, os.PathLike):
        return Path(os.fsdecode(value)).name or str(value)
    if isinstance(value, str):
        return repr(value[:40])
    return f"an object of type {type(value).__name__}"


def source_of(value: Any, limits: FileLimits | None = None) -> Source:
    """Look at a file, check it, hash it. Blocks; sends nothing.

    Args:
        value: A path, bytes, a file that is open in binary, or a data URL.
        limits: What the file may be, beside what may be uploaded at all.

    Raises:
        Unusable: It cannot be uploaded.
    """
    if isinstance(value, str) and is_source(value):
        return _from_data_url(value, limits)
    if isinstance(value, str):
        raise Unusable("a text is no file; expected Path(...) for a file of this machine, or a data: URL")
    if isinstance(value, (bytes, bytearray, memoryview)):
        content = bytes(value)
        return _looked_at("the content", "", len(content), limits, lambda: _of_memory(content))
    if isinstance(value, os.PathLike):
        return _from_path(Path(os.fsdecode(value)), limits)
    if callable(getattr(value, "read", None)):
        return _from_file(value, limits)
    raise Unusable(f"is {type(value).__name__}; expected a path, bytes, an open binary file or a data: URL")


def clean_name(name: str) -> str:
    """Return the last part of *name* in letters that every system takes; nothing else of a path leaves the machine."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", PureWindowsPath(name).name).strip(".-")[-_LONGEST_NAME:]


def name_on_the_wire(name: str, kind: str) -> str:
    """Return a file name that ends as its kind does."""
    stem, dot, ending = clean_name(name).rpartition(".")
    if dot and stem and ending.lower() in KINDS[kind].endings:
        return f"{stem}.{ending.lower()}"
    return f"{clean_name(name) or 'file'}.{KINDS[kind].endings[0]}"


def decided(
    dispatcher: Dispatcher, model_id: str, inputs: Mapping[str, Any], *, job_id: str, wire: str | None = None
) -> Job:
    """Decide a job whose inputs may hold files of this machine: these are read, and nothing is sent.

    Raises:
        InvalidJob: The inputs or the files do not fit; all faults at once.
        What `Dispatcher.job` raises.
    """
    if not isinstance(inputs, Mapping) or not any_source(inputs):
        return dispatcher.job(model_id, inputs, job_id=job_id, wire=wire)
    model = dispatcher.plugins.registry.get(model_id)
    taken = _Taken()
    if model.status != "gone":
        fields = {field.name: field for field in model.inputs}
        inputs = {
            name: taken.swapped(fields[name], value, name) if name in fields else value
            for name, value in inputs.items()
        }
    try:
        job = dispatcher.job(model_id, inputs, job_id=job_id, wire=wire)
    except InvalidJob as error:
        raise InvalidJob(error.model, (*taken.faults, *error.faults)) from None
    if taken.faults:
        raise InvalidJob(model.id, tuple(taken.faults))
    return attrs.evolve(job, files={source.stand_in: source for source in taken.sources.values()})


@attrs.frozen
class _Taken:
    """The files that stand in the inputs of one job, by the identity of what was given, and what is wrong with them."""

    sources: dict[int, Source] = attrs.field(factory=dict)
    faults: list[Fault] = attrs.field(factory=list)

    def swapped(self, field: Field, value: Any, place: str, limits: FileLimits | None = None) -> Any:
        """Return *value* with stand-ins where files stand in place of URLs."""
        limits = field.file or limits
        if field.format == "uri":
            if isinstance(value, (list, tuple)):
                return [self.swapped(field, item, f"{place}[{at}]", limits) for at, item in enumerate(value)]
            return self._taken(value, place, limits) if _wanted(field, value) else value
        if field.type == "array" and field.items is not None:
            if field.items.format == "uri" and _wanted(field.items, value):
                return self.swapped(field.items, value, place, limits)
            if isinstance(value, (list, tuple)):
                items = [self.swapped(field.items, item, f"{place}[{at}]", limits) for at, item in enumerate(value)]
                self._check_total(items, place, limits)
                return items
        if field.type == "object" and isinstance(value, Mapping):
            members = {member.name: member for member in field.fields}
            return {
                name: self.swapped(members[name], item, f"{place}.{name}") if name in members else item
                for name, item in value.items()
            }
        return value

    def _taken(self, value: Any, place: str, limits: FileLimits | None) -> str:
        try:
            if id(value) not in self.sources:
                self.sources[id(value)] = source_of(value, limits)
            source = self.sources[id(value)]
            problem = too_large(source.size, limits) or unwanted(source.kind, limits)
            if problem is not None:
                raise Unusable(f"{source.shown} {problem}")  # noqa: TRY301  (as if it had been read for this place)
            return source.stand_in
        except Unusable as error:
            self.faults.append(Fault(place, str(error)))
            return f"{STAND_IN}unusable"

    def _check_total(self, items: list[Any], place: str, limits: FileLimits | None) -> None:
        if limits is None or limits.total_megabytes is None:
            return
        sizes = {source.stand_in: source.size for source in self.sources.values()}
        total = sum(sizes.get(item, 0) for item in items if isinstance(item, str))
        if total > limits.total_megabytes * MEGABYTE:
            self.faults.append(
                Fault(place, f"its files have {total} bytes together; expected up to {limits.total_megabytes:g} MB")
            )


def _wanted(field: Field, value: Any) -> bool:
    return is_source(value) and not (isinstance(value, str) and "data" in field.schemes)


def replaced(value: Any, texts: Mapping[str, str]) -> Any:
    """Return *value* with the keys of *texts*, wherever they stand in a text, replaced by what belongs there."""
    if isinstance(value, str):
        if STAND_IN in value:
            for old, new in texts.items():
                value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {name: replaced(item, texts) for name, item in value.items()}
    return [replaced(item, texts) for item in value] if isinstance(value, (list, tuple)) else value


# --- the kinds of sources -------------------------------------------------------------


def _looked_at(
    shown: str,
    name: str,
    size: int,
    limits: FileLimits | None,
    reading: Callable[[], contextlib.AbstractContextManager[Iterator[bytes]]],
) -> Source:
    """Check a file by its size and its first bytes, and then read it once, for its hash."""
    _check_size(size, shown, limits)
    digest, seen, kind = hashlib.sha256(), 0, None
    with reading() as pieces:
        for piece in pieces:
            if not seen:
                kind = _kind(piece[:HEAD], shown, name, limits)
            digest.update(piece)
            seen += len(piece)
            if seen > size:
                break
    if seen != size or kind is None:
        raise Unusable(f"{shown} changed while it was read; give it again when nobody writes to it any more")
    return Source(shown, clean_name(name), size, digest.hexdigest(), kind, reading)


def _kind(head: bytes, shown: str, name: str, limits: FileLimits | None) -> str:
    """Return of what kind a file is that begins so. Raises `Unusable` where such are not uploaded, or not taken."""
    kind = kind_of(head, name)
    if kind is None:
        raise Unusable(f"{shown} is of no kind that is uploaded; allowed: {', '.join(KINDS)}")
    problem = unwanted(kind, limits)
    if problem is not None:
        raise Unusable(f"{shown} {problem}")
    return kind


@contextlib.contextmanager
def _of_memory(content: bytes) -> Iterator[Iterator[bytes]]:
    yield (content[at : at + PIECE] for at in range(0, len(content), PIECE))


def _from_path(path: Path, limits: FileLimits | None) -> Source:
    shown = path.name or str(path)

    @contextlib.contextmanager
    def reading() -> Iterator[Iterator[bytes]]:
        with _regular(path) as file:
            yield _pieces(file, shown)

    with _regular(path) as file:
        size = os.fstat(file.fileno()).st_size
    return _looked_at(shown, path.name, size, limits, reading)


def _regular(path: Path) -> io.FileIO:
    """Open a regular file; a link to one is fine, for somebody named it. A pipe or a device is not even opened.

    Raises:
        Unusable: It is something else, or cannot be read.
    """
    try:
        _check_regular(path.stat().st_mode, path)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        file = io.FileIO(os.open(path, flags), "rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unusable(f"{str(path)!r} cannot be read: {reason or error}") from None
    try:
        _check_regular(os.fstat(file.fileno()).st_mode, path)  # it may have been put there just now
    except BaseException:
        file.close()
        raise
    return file


def _check_regular(mode: int, path: Path) -> None:
    if not stat.S_ISREG(mode):
        found = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "no regular file"
        raise Unusable(f"{str(path)!r} is {found}; expected a regular file")


def _pieces(file: Any, shown: str) -> Iterator[bytes]:
    """Yield what is left of a file.

    Raises:
        Unusable: It cannot be read.
    """
    while True:
        try:
            piece = file.read(PIECE)
        except (OSError, ValueError) as error:
            raise Unusable(f"{shown} cannot be read: {error}") from None
        if isinstance(piece, str):
            raise Unusable(f"{shown} is open as text; open it with mode 'rb'")
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise Unusable(f"{shown} gave {type(piece).__name__} in place of bytes; expected an open binary file")
        if not piece:
            return
        yield bytes(piece)


def _from_file(file: Any, limits: FileLimits | None) -> Source:
    said = getattr(file, "name", None)
    name = said if isinstance(said, str) else ""
    shown = clean_name(name) or "the open file"
    try:
        start = file.tell() if file.seekable() else None
    except (AttributeError, OSError, ValueError):
        start = None
    if start is None:
        return _copied(file, shown, name, limits)
    try:
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
    except (OSError, ValueError) as error:
        raise Unusable(f"{shown} cannot be read: {error}") from None
    if isinstance(file, io.TextIOBase) or not isinstance(end, int):
        raise Unusable(f"{shown} is open as text; open it with mode 'rb'")

    @contextlib.contextmanager
    def reading() -> Iterator[Iterator[bytes]]:
        try:
            file.seek(start)
        except (OSError, ValueError) as error:
            raise Unusable(f"{shown} cannot be read: {error}") from None
        yield _pieces(file, shown)

    return _looked_at(shown, name, max(0, end - start), limits, reading)


def _copied(file: Any, shown: str, name: str, limits: FileLimits | None) -> Source:
    """Copy what can be read only once, onto the disk: so it is checked before a byte of it leaves."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the source)

    @contextlib.contextmanager
    def reading() -> Iterator[Iterator[bytes]]:
        copy.seek(0)
        yield _pieces(copy, shown)

    try:
        begun = b""
        for piece in _pieces(file, shown):
            if len(begun) < HEAD:
                begun += piece[:HEAD]
                if len(begun) >= HEAD:  # else an endless stream of nothing would fill the disk
                    _kind(begun[:HEAD], shown, name, limits)
            copy.write(piece)
            _check_size(copy.tell(), shown, limits)
        copy.flush()
        source = _looked_at(shown, name, copy.tell(), limits, reading)
    except BaseException as error:
        copy.close()
        if isinstance(error, OSError):
            raise Unusable(f"{shown} cannot be copied to a temporary file: {error}") from None
        raise
    weakref.finalize(source, copy.close)
    return source


def _check_size(size: int, shown: str, limits: FileLimits | None) -> None:
    problem = "is empty" if not size else too_large(size, limits)
    if problem is not None:
        raise Unusable(f"{shown} {problem}")


def _from_data_url(text: str, limits: FileLimits | None) -> Source:
    head, comma, content = text.partition(",") if len(text) <= _LONGEST_DATA_URL else ("", "", "")
    shown = "the data: URL"
    if len(text) > _LONGEST_DATA_URL:
        raise Unusable(f"{shown} has {len(text)} letters; more than {LARGEST_DATA // MEGABYTE} MB are given as a file")
    if not comma:
        raise Unusable(f"{shown} {text[:40]!r} has no comma; expected data:image/png;base64,...")
    if not head.lower().endswith(";base64"):
        plain = unquote_to_bytes(content)
        return _looked_at(shown, "", len(plain), limits, lambda: _of_memory(plain))
    if "%" in content:
        content = unquote_to_bytes(content).decode("latin-1")
    size = len(content) // 4 * 3 - (content.endswith("=") + content.endswith("=="))

    @contextlib.contextmanager
    def reading() -> Iterator[Iterator[bytes]]:
        yield _decoded(content, shown)

    return _looked_at(shown, "", size, limits, reading)


_LONGEST_DATA_URL: Final = LARGEST_DATA * 4 // 3 + 200


def _decoded(content: str, shown: str) -> Iterator[bytes]:
    for at in range(0, len(content), _LETTERS):
        try:
            yield binascii.a2b_base64(content[at : at + _LETTERS], strict_mode=True)
        except ValueError as error:
            raise Unusable(f"{shown} is not base64: {error}") from None
