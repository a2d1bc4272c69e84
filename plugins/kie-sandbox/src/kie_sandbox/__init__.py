"""A fake Kie.ai: a pure request-to-response core, and a small server around it.

Written from the vendor's documentation, not from the client, so that each checks the other.
"""

from __future__ import annotations

from kie_sandbox.server import serve
from kie_sandbox.world import Request, Response, Sandbox

__all__ = ["Request", "Response", "Sandbox", "serve"]
