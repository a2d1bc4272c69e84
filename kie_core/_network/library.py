"""The HTTP library: the only line that names it. Whoever needs it takes it from here."""

import httpx as httpx  # noqa: PLC0414
