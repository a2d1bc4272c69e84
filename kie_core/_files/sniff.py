"""What a file is, by its first bytes: names and headers are somebody's claim."""

from __future__ import annotations

import re
from typing import Final

#: So many first bytes tell what a file is.
HEAD: Final = 256
#: First bytes of a file -> extension.
_MAGIC: Final = (
    (rb"\x89PNG\r\n\x1a\n", "png"), (rb"\xff\xd8\xff", "jpg"), (rb"GIF8", "gif"),
    (rb"RIFF....WEBP", "webp"), (rb"RIFF....WAVE", "wav"),
    (rb"....ftypM4A", "m4a"), (rb"....ftypqt", "mov"), (rb"....ftypavif", "avif"), (rb"....ftyphei[cfx]", "heic"),
    (rb"....ftyp", "mp4"), (rb"\x1aE\xdf\xa3", "webm"),
    (rb"ID3|\xff[\xfb\xf3\xf2\xfa]", "mp3"), (rb"fLaC", "flac"), (rb"OggS", "ogg"), (rb"MThd", "mid"),
)  # fmt: skip
#: Extension -> the Content-Types that say the same.
_TYPES: Final = {
    "png": {"image/png"}, "jpg": {"image/jpeg", "image/jpg"}, "gif": {"image/gif"}, "webp": {"image/webp"},
    "avif": {"image/avif"}, "heic": {"image/heic", "image/heif"},
    "wav": {"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"}, "flac": {"audio/flac", "audio/x-flac"},
    "mp3": {"audio/mpeg", "audio/mp3"}, "m4a": {"audio/mp4", "audio/m4a", "audio/x-m4a", "video/mp4"},
    "ogg": {"audio/ogg", "video/ogg", "application/ogg"}, "mid": {"audio/midi", "audio/mid", "audio/x-midi"},
    "mp4": {"video/mp4", "audio/mp4"}, "mov": {"video/quicktime", "video/mp4"},
    "webm": {"video/webm", "audio/webm", "video/x-matroska"},
}  # fmt: skip
_KNOWN_TYPES: Final = frozenset[str]().union(*_TYPES.values())
#: What hosts send that say nothing.
_NO_TYPES: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_PAGE: Final = re.compile(rb"\W*<(!doctype|!--|html|head|body|script|svg|\?xml)", re.IGNORECASE)
#: How an object or a list begins; a subtitle begins with a bracket, too.
_JSON: Final = re.compile(rb"\s*(\{\s*[\"}]|\[\s*[\[{\"\]])")
_PAGE_TYPES: Final = ("text/html", "application/xhtml+xml", "image/svg+xml")


def extension(head: bytes) -> str:
    """Return the file extension for the first bytes of a file; ``bin`` for what is not known."""
    return next((name for magic, name in _MAGIC if re.match(magic, head, re.DOTALL)), "bin")


def is_page(head: bytes, declared: str | None) -> bool:
    """Tell whether a file of no known kind is a page, or a drawing that can run scripts.

    Args:
        head: Its first bytes.
        declared: Its Content-Type.
    """
    return _bare(declared) in _PAGE_TYPES or bool(_PAGE.match(head.replace(b"\0", b"")))


def is_text(head: bytes) -> bool:
    """Tell whether a file of no known kind is a text: where a picture was promised, a message."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.end < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8-sig")
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)


def text_extension(head: bytes, declared: str | None) -> str:
    """Return the file extension of a text."""
    return "json" if _bare(declared) == "application/json" or _JSON.match(head) else "txt"


def contradicts(kind: str, declared: str | None) -> bool:
    """Tell whether the Content-Type *declared* names something else than the *kind* that was found."""
    said = _bare(declared)
    if kind in _TYPES:
        return said not in _TYPES[kind] and said not in _NO_TYPES
    return said in _KNOWN_TYPES


def _bare(declared: str | None) -> str:
    return (declared or "").partition(";")[0].strip().lower()
