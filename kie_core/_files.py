"""Put results on disk: streamed, counted, under names of our own, whole or not at all."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import BinaryIO, Final
from urllib.parse import urljoin

import attrs

from kie_core._errors import ReadFailed, SaveFailed
from kie_core._http import FileClient, place_of
from kie_core._job import Job
from kie_core._outcome import Artifact

#: Bytes of one result at the most.
LARGEST_FILE: Final = 4 * 1024**3
REDIRECTS: Final = 3
#: First bytes of a file -> extension. The name in the URL is never used.
_MAGIC: Final = (
    (rb"\x89PNG\r\n\x1a\n", "png"), (rb"\xff\xd8\xff", "jpg"), (rb"GIF8", "gif"),
    (rb"RIFF....WEBP", "webp"), (rb"RIFF....WAVE", "wav"),
    (rb"....ftypM4A", "m4a"), (rb"....ftypqt", "mov"), (rb"....ftypavif", "avif"), (rb"....ftyphei[cfx]", "heic"),
    (rb"....ftyp", "mp4"), (rb"\x1aE\xdf\xa3", "webm"),
    (rb"ID3|\xff[\xfb\xf3\xf2\xfa]", "mp3"), (rb"fLaC", "flac"), (rb"OggS", "ogg"), (rb"MThd", "mid"),
)  # fmt: skip
#: So many first bytes tell what a file is.
_HEAD: Final = 256


@attrs.frozen
class Saver:
    """Saves one artifact. Blocks, so it works in a thread; free.

    Attributes:
        handle: Names the task, for messages.
        job: Names the file.
        number: The artifact's place, from 1.
        folder: Made if it is missing.
        client: Fetches; it has no key.
        api: The base URL: if the user set it to this machine, files may come from there.
        stop: Set to give up at the next chunk.
    """

    handle: str
    job: Job
    number: int
    folder: Path
    client: FileClient
    api: str
    stop: Event = attrs.field(factory=Event)

    def save(self, artifact: Artifact) -> Path:
        """Save *artifact* and return its path.

        Raises:
            SaveFailed: Nothing lies under the final name.
        """
        name = f"{_safe(self.job.model.id)}-{_safe(self.job.id)}-{self.number}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if artifact.url is not None:
                return self._download(artifact.url, name)
            if artifact.text is not None:
                return self._written(f"{name}.txt", artifact.text)
            return self._written(f"{name}.json", json.dumps(artifact.data, ensure_ascii=False, indent=1))
        except (OSError, ValueError, ReadFailed, _Refused) as error:
            raise SaveFailed(self.handle, artifact.url or f"the {artifact.kind}", str(error)) from error

    def _download(self, url: str, name: str) -> Path:
        for _ in range(REDIRECTS + 1):
            check_address(url, self.api)
            with self.client.open(url) as (status, headers, chunks):
                if status in (301, 302, 303, 307, 308) and "location" in headers:
                    url = urljoin(url, headers["location"])
                    continue
                if status != 200:
                    raise _Refused(f"the file host answered HTTP {status}")
                length = "" if "content-encoding" in headers else headers.get("content-length", "")
                return self._streamed(chunks, int(length) if length.isascii() and length.isdigit() else None, name)
        raise _Refused(f"more than {REDIRECTS} redirects")

    def _streamed(self, chunks: Iterator[bytes], length: int | None, name: str) -> Path:
        if length is not None and length > LARGEST_FILE:
            raise _Refused(f"it has {length} bytes, more than {LARGEST_FILE}")
        with _Partial(self.folder) as partial:
            head, size = b"", 0
            for chunk in chunks:
                head = head if len(head) >= _HEAD else head + chunk[:_HEAD]
                size += len(chunk)
                if size > LARGEST_FILE:
                    raise _Refused(f"it has more than {LARGEST_FILE} bytes")
                if self.stop.is_set():
                    raise _Refused("it was interrupted")
                partial.file.write(chunk)
            if not size:
                raise _Refused("it is empty")
            kind = extension(head)
            if kind == "bin" and _is_text(head):
                raise _Refused(f"it is a text, not a media file: {head[:60].decode(errors='replace')!r}")
            return partial.keep(self.folder / f"{name}.{kind}")

    def _written(self, name: str, text: str) -> Path:
        with _Partial(self.folder) as partial:
            partial.file.write(text.encode(errors="backslashreplace"))
            return partial.keep(self.folder / name)


def check_folder(folder: Path) -> None:
    """Make *folder* and try to write in it: better before a purchase than after.

    Raises:
        OSError: It cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _Partial(folder):
        pass


def _safe(name: str) -> str:
    """No separators, no leading dots: whatever a registry or a handle says, it is one name in the folder."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)


class _Refused(Exception):
    """The address or what lies there is not acceptable."""


def check_address(url: str, api: str) -> None:
    """Raise unless *url* may be connected to: https to a public host, or the API's own origin on this machine."""
    try:
        scheme, host, port, has_user = place_of(url)
        own_scheme, own_host, own_port, _ = place_of(api)
    except ValueError as error:
        raise _Refused(f"its address is {error}") from None
    if own_host in _LOOPBACK and (scheme, host, port) == (own_scheme, own_host, own_port):
        return
    if scheme != "https":
        raise _Refused(f"its address begins with {scheme!r}; only https is fetched")
    if has_user:
        raise _Refused("its address carries a user name")
    if port not in (None, 443):
        raise _Refused(f"its address names port {port}")
    if not _is_public(host.rstrip(".").lower()):
        raise _Refused(f"its host {host!r} is not a public one")


_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
#: What the standard library of some Python versions takes for global and is not: special assignments,
#: relays, multicast, and IPv6 forms that carry an IPv4 address inside.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96",
        "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fec0::/10", "ff00::/8",
        "3fff::/20", "5f00::/16",
    )
)  # fmt: skip


_INNER: Final = (
    ".localhost",
    ".local",
    ".localdomain",
    ".internal",
    ".intranet",
    ".lan",
    ".home.arpa",
    ".corp",
    ".svc",
)


def _is_public(host: str) -> bool:
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        # 127.1, 2130706433, 0x7f000001, 0177.0x0.1: spellings of an address that only the system's resolver reads
        last = host.rpartition(".")[2]
        return "." in host and not host.endswith(_INNER) and not last[:1].isdigit()
    return literal.is_global and not any(literal in network for network in _NOT_PUBLIC)


def extension(head: bytes) -> str:
    """Return the file extension for the first bytes of a file; ``bin`` for what is not known."""
    return next((name for magic, name in _MAGIC if re.match(magic, head, re.DOTALL)), "bin")


def _is_text(head: bytes) -> bool:
    """Tell whether *head* reads like an error page or a message, of which no media format begins."""
    if re.match(rb"\W*<(!doctype|html|\?xml)", head.replace(b"\0", b""), re.IGNORECASE):
        return True
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.end < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8-sig")
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)


class _Partial:
    """A temporary file beside its final place; what is not kept is removed."""

    def __init__(self, folder: Path) -> None:
        number, name = tempfile.mkstemp(prefix=".kie-", suffix=".part", dir=folder)
        self._path = Path(name)
        self.file: BinaryIO = os.fdopen(number, "wb", buffering=0)

    def __enter__(self) -> _Partial:
        return self

    def keep(self, path: Path) -> Path:
        os.fsync(self.file.fileno())
        self.file.close()
        self._path.chmod(0o666 & ~_umask())
        return self._path.replace(path)

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self._path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
