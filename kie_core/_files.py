"""Put results on disk: streamed, counted, under names of our own, whole or not at all."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urljoin, urlsplit

from kie_core._errors import ReadFailed, SaveFailed
from kie_core._http import FileClient
from kie_core._job import Job
from kie_core._outcome import Artifact

#: Bytes of one result at the most.
LARGEST_FILE: Final = 4 * 1024**3
REDIRECTS: Final = 3
#: First bytes of a file -> extension. The name in the URL is never used.
_MAGIC: Final = (
    (rb"\x89PNG\r\n\x1a\n", "png"), (rb"\xff\xd8\xff", "jpg"), (rb"GIF8", "gif"),
    (rb"RIFF....WEBP", "webp"), (rb"RIFF....WAVE", "wav"),
    (rb"....ftypM4A", "m4a"), (rb"....ftypqt", "mov"), (rb"....ftyp", "mp4"), (rb"\x1aE\xdf\xa3", "webm"),
    (rb"ID3|\xff[\xfb\xf3\xf2\xfa]", "mp3"), (rb"fLaC", "flac"), (rb"OggS", "ogg"), (rb"MThd", "mid"),
)  # fmt: skip
_MARKUP = re.compile(rb"\s*(<!doctype|<html|<svg|<\?xml|<error)", re.IGNORECASE)


def save_artifact(artifact: Artifact, job: Job, number: int, folder: Path, *, client: FileClient, api: str) -> Path:
    """Save one artifact and return its path. Blocks; free.

    Args:
        artifact: What to save.
        job: Names the file.
        number: Its place among the artifacts, from 1.
        folder: Made if it is missing.
        client: Fetches; it has no key.
        api: The base URL: if the user set it to this machine, files may come from there.

    Raises:
        SaveFailed: Nothing lies under the final name.
    """
    source = artifact.url or f"{artifact.kind} of {job.id}"
    name = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', job.model.id)}-{job.id}-{number}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if artifact.url is not None:
            return _download(artifact.url, folder, name, client, api)
        if artifact.text is not None:
            return _written(folder, f"{name}.txt", artifact.text.encode())
        return _written(folder, f"{name}.json", json.dumps(artifact.data, ensure_ascii=False, indent=1).encode())
    except (OSError, ReadFailed, _Refused) as error:
        raise SaveFailed(source, str(error)) from error


class _Refused(Exception):
    """The address or what lies there is not acceptable."""


def check_address(url: str, api: str) -> None:
    """Raise unless *url* may be connected to: https to a public host, or the API's own origin on this machine."""
    parts, own = urlsplit(url), urlsplit(api)
    host = parts.hostname or ""
    if own.hostname in _LOOPBACK and (parts.scheme, parts.hostname, parts.port) == (own.scheme, own.hostname, own.port):
        return
    if parts.scheme != "https":
        raise _Refused(f"its address begins with {parts.scheme!r}; only https is fetched")
    if parts.username or parts.password:
        raise _Refused("its address carries a user name")
    if parts.port not in (None, 443):
        raise _Refused(f"its address names port {parts.port}")
    if host in _LOOPBACK or host.endswith((".localhost", ".local", ".internal")) or "." not in host.strip("."):
        raise _Refused(f"its host {host!r} is not a public one")
    literal = _literal(host)
    if literal is not None and (not literal.is_global or any(literal in network for network in _NOT_PUBLIC)):
        raise _Refused(f"its host {host!r} is not a public one")


_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
#: What the standard library of some Python versions takes for global and is not: special assignments,
#: relays, multicast, and IPv6 forms that carry an IPv4 address inside.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        if re.fullmatch(r"[0-9.]+|0x[0-9a-f.x]+", host):  # 127.1, 2130706433, 0x7f000001: spellings of an address
            raise _Refused(f"its host {host!r} is an odd spelling of an address") from None
        return None


def _download(url: str, folder: Path, name: str, client: FileClient, api: str) -> Path:
    for _ in range(REDIRECTS + 1):
        check_address(url, api)
        with client.open(url) as (status, headers, chunks):
            if status in (301, 302, 303, 307, 308) and "location" in headers:
                url = urljoin(url, headers["location"])
                continue
            if status != 200:
                raise _Refused(f"the file host answered HTTP {status}")
            length = headers.get("content-length", "")
            return _streamed(chunks, int(length) if length.isascii() and length.isdigit() else None, folder, name)
    raise _Refused(f"more than {REDIRECTS} redirects")


def _streamed(chunks: Iterator[bytes], length: int | None, folder: Path, name: str) -> Path:
    if length is not None and length > LARGEST_FILE:
        raise _Refused(f"it has {length} bytes, more than {LARGEST_FILE}")
    with _Partial(folder) as partial:
        head, size = b"", 0
        for chunk in chunks:
            head = head if len(head) >= 64 else head + chunk[:64]
            size += len(chunk)
            if size > LARGEST_FILE:
                raise _Refused(f"it has more than {LARGEST_FILE} bytes")
            partial.file.write(chunk)
        if length is not None and size != length:
            raise _Refused(f"{size} bytes came, {length} were announced")
        if not size:
            raise _Refused("it is empty")
        if _MARKUP.match(head):
            raise _Refused("it is a web page, not a media file")
        return partial.keep(folder / f"{name}.{extension(head)}")


def extension(head: bytes) -> str:
    """Return the file extension for the first bytes of a file; ``bin`` for what is not known."""
    return next((name for magic, name in _MAGIC if re.match(magic, head, re.DOTALL)), "bin")


def _written(folder: Path, name: str, content: bytes) -> Path:
    with _Partial(folder) as partial:
        partial.file.write(content)
        return partial.keep(folder / name)


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
