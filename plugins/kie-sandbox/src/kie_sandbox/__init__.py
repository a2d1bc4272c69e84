"""A fake Kie.ai: a pure request-to-response core, and a small server around it.

Written from the vendor's documentation, not from the client, so that each checks the other. It does on demand what
a vendor should not do; `kie_sandbox.faults` says how that is written and has the table of all faults.
"""

from __future__ import annotations

from kie_sandbox.callbacks import Callback
from kie_sandbox.counting import Create, Sent
from kie_sandbox.faults import FAULTS, BadFault, Fault, Faults
from kie_sandbox.messages import Delivery, Request, Response
from kie_sandbox.server import serve
from kie_sandbox.world import Sandbox

__all__ = [
    "FAULTS",
    "BadFault",
    "Callback",
    "Create",
    "Delivery",
    "Fault",
    "Faults",
    "Request",
    "Response",
    "Sandbox",
    "Sent",
    "serve",
]
