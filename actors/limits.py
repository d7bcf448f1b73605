"""How much of everything one engine takes on at a time, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.framing import MAX_FRAME_BYTES, MAX_REQUEST_BYTES


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Bounds of what the engine takes from its clients and holds for them."""

    max_frame_bytes: int = MAX_FRAME_BYTES
    """An answer's; a longer one is refused."""
    max_request_bytes: int = MAX_REQUEST_BYTES
    max_waiting_bytes: int = 64 * 2**20
    """Frames of requests that are not answered. Text and tokens made of them take a few times that, outside the budget
    of memory."""
    max_connections: int = 128
    """Twice the 64 concurrent streaming clients the engine is built for. Beyond it the one that has been idle for
    longest is closed."""
    operator_connections: int = 2
    """Beyond these, where every connection is busy: for status, cancelling and shutting down."""
    greeting_s: float = 10.0
    """A connection without a Hello is closed after it."""
    decoders: int = 1
    """Threads that decode large frames; more would only take the interpreter from each other."""
    max_in_flight: int = 64
    """Requests of one connection without their last reply."""
    max_queued: int = 256
    """Executions waiting to be admitted; a longer queue only hides that the machine is full."""
    max_executions: int = 1024
    """Executions that exist at all, from their Run frame to their record."""
    outbox_bytes: int = 2**20
    """Unread replies of one connection: minutes of one stream, seconds of 64."""
    partial_frame_s: float = 30.0
    """A frame once begun must be whole by then. Four MiB take milliseconds on a local socket."""
    flush_s: float = 1.0
    """A connection that is closed by the engine has this long to take its last replies."""
    stop_s: float = 10.0
    """Executions that are told to stop have this long before the engine stops without them."""
    workers: int = 2
    """Threads that resolve models and tokenize; more would take CPU from the kernels."""
    downloads: int = 1
    """Threads that fetch models, apart: a download takes minutes, and planning must not wait for it."""
