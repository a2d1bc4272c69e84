"""What may be uploaded: kinds of files, known by their first bytes, and how vendors call them."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

import attrs

from kie_core._files.sniff import extension, is_page, is_text
from kie_core._models.file_limits import FileLimits

#: Bytes of a megabyte where a vendor limits a file. UNVERIFIED: it may mean 1,000,000.
MEGABYTE: Final = 1024 * 1024
#: Bytes of one file at the most. Ours: Kie names no limit for streams, and advises them for more than 10 MB.
#: Source: docs.kie.ai/file-upload-api/upload-file-stream, read 2026-10-01.
LARGEST: Final = 4 * 1024**3


@attrs.frozen
class Kind:
    """One kind of file.

    Attributes:
        type: What it is called on the wire.
        endings: How its names end, the usual one first.
        others: Further media types that mean it.
    """

    type: str
    endings: tuple[str, ...]
    others: tuple[str, ...] = ()


KINDS: Final = {
    "png": Kind("image/png", ("png",)),
    "jpg": Kind("image/jpeg", ("jpg", "jpeg"), ("image/jpg",)),
    "gif": Kind("image/gif", ("gif",)),
    "webp": Kind("image/webp", ("webp",)),
    "avif": Kind("image/avif", ("avif",)),
    "heic": Kind("image/heic", ("heic", "heif"), ("image/heif",)),
    "bmp": Kind("image/bmp", ("bmp",), ("image/x-ms-bmp",)),
    "tiff": Kind("image/tiff", ("tiff", "tif")),
    "wav": Kind("audio/wav", ("wav",), ("audio/x-wav", "audio/wave", "audio/vnd.wave")),
    "mp3": Kind("audio/mpeg", ("mp3",), ("audio/mp3",)),
    "m4a": Kind("audio/mp4", ("m4a",), ("audio/m4a", "audio/x-m4a")),
    "flac": Kind("audio/flac", ("flac",), ("audio/x-flac",)),
    "ogg": Kind("audio/ogg", ("ogg", "oga", "opus"), ("video/ogg", "application/ogg")),
    "aac": Kind("audio/aac", ("aac",), ("audio/aacp", "audio/x-aac")),
    "wma": Kind("audio/x-ms-wma", ("wma",)),
    "mid": Kind("audio/midi", ("mid", "midi"), ("audio/mid", "audio/x-midi")),
    "mp4": Kind("video/mp4", ("mp4", "m4v"), ("audio/mp4", "audio/m4a", "audio/x-m4a")),
    "mov": Kind("video/quicktime", ("mov",)),
    "webm": Kind("video/webm", ("webm", "mkv"), ("audio/webm", "video/x-matroska")),
    "avi": Kind("video/x-msvideo", ("avi",), ("video/avi",)),
    "pdf": Kind("application/pdf", ("pdf",)),
    "txt": Kind("text/plain", ("txt",)),
    "md": Kind("text/markdown", ("md",)),
    "csv": Kind("text/csv", ("csv",)),
    "srt": Kind("application/x-subrip", ("srt",)),
    "vtt": Kind("text/vtt", ("vtt",)),
    "json": Kind("application/json", ("json",)),
    "docx": Kind("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ("docx",)),
    "pptx": Kind("application/vnd.openxmlformats-officedocument.presentationml.presentation", ("pptx",)),
    "xlsx": Kind("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ("xlsx",)),
}
#: First bytes -> kind, for what no result of Kie's is.
_MAGIC: Final = (
    (rb"....ftyp(mif1|msf1|hei)", "heic"), (rb"BM.{4}\0\0\0\0", "bmp"), (rb"II\*\0|MM\0\*", "tiff"),
    (rb"\xff[\xf1\xf9]", "aac"), (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "wma"), (rb"RIFF....AVI ", "avi"),
    (rb"%PDF-", "pdf"),
)  # fmt: skip
#: Texts and packed documents do not say what they are: of these their names are believed, and nothing else passes.
_TEXTS: Final = ("txt", "md", "csv", "srt", "vtt", "json")
_PACKED: Final = ("docx", "pptx", "xlsx")


def kind_of(head: bytes, name: str) -> str | None:
    """Return what a file with these first bytes is; None: nothing that is uploaded, such as a program or a web page."""
    found = next((kind for magic, kind in _MAGIC if re.match(magic, head, re.DOTALL)), None) or extension(head)
    if found in KINDS:
        return found
    ending = PurePath(name).suffix[1:].lower()
    if ending in _PACKED and head.startswith(b"PK\x03\x04"):
        return ending
    return ending if ending in _TEXTS and is_text(head) and not is_page(head, None) else None


def too_large(size: int, limits: FileLimits | None) -> str | None:
    """Say why a file of *size* bytes is not taken; None: it is."""
    allowed = None if limits is None else limits.megabytes
    most = LARGEST if allowed is None else min(int(allowed * MEGABYTE), LARGEST)
    if size <= most:
        return None
    return f"has {size} bytes; expected up to {most}" + ("" if allowed is None else f" ({allowed:g} MB)")


def unwanted(kind: str, limits: FileLimits | None) -> str | None:
    """Say why a file of that kind is not taken; None: it is."""
    if limits is None or not (limits.types or limits.extensions):
        return None
    known = KINDS[kind]
    types = {known.type, *known.others}.intersection(one.lower() for one in limits.types)
    endings = set(known.endings).intersection(one.lower() for one in limits.extensions)
    if types or endings:
        return None
    return f"is {kind} by its first bytes; expected {', '.join((*limits.types, *limits.extensions))}"
