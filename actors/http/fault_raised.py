"""A fault on its way to the client whose request it answers."""

from __future__ import annotations

from protocol.dialects.fault import HttpFault


class FaultRaised(Exception):  # noqa: N818  named as what it carries
    """A fault to answer with, where none of the engine's errors says it."""

    def __init__(self, fault: HttpFault) -> None:
        super().__init__(fault.message)
        self.fault = fault
