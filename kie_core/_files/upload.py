"""A file that lies at Kie for a while."""

from __future__ import annotations

from datetime import datetime

import attrs


@attrs.frozen
class Upload:
    """A file that was uploaded.

    Attributes:
        url: Where it lies; give it to any input that takes a URL.
        size: Bytes.
        sha256: The hash of its content, in hexadecimal.
        expires_at: Until then it is there, as far as is known.
        kind: What it is, by its first bytes: ``png``, ``mp4`` ...
    """

    url: str
    size: int
    sha256: str
    expires_at: datetime
    kind: str
