"""The exception that ends a request with a fault."""

from __future__ import annotations

from protocol.dialects.fault import HttpFault


class HttpError(Exception):
    """Answers the request with ``fault``, where none of the engine's errors says it."""

    def __init__(self, fault: HttpFault) -> None:
        super().__init__(fault.message)
        self.fault = fault
