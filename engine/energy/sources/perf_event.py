"""One event of the kernel's performance counters, opened for a whole CPU."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Protocol

_SYSCALL = 298
"""perf_event_open on x86-64."""
_ANY_PROCESS = -1
_NO_GROUP = -1
_CLOSE_ON_EXEC = 8
_COUNT_BYTES = 8


class _Attributes(ctypes.Structure):
    """perf_event_attr in its first version: all that counting needs. Everything else is 0."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("breakpoint_type", ctypes.c_uint32),
        ("breakpoint_address", ctypes.c_uint64),
    )


class OpenEvent(Protocol):
    """Opens a counter on one CPU."""

    def __call__(self, kind: int, config: int, cpu: int) -> EventCounter:
        """Begin to count. Raises OSError."""


class EventCounter(Protocol):
    """An open counter."""

    def read(self) -> int:
        """What was counted since it was opened: 64 bits, which the kernel keeps from wrapping. Raises OSError."""


class PerfEvent:
    """Counts from its construction until it is garbage."""

    def __init__(self, kind: int, config: int, cpu: int) -> None:
        """``kind``: the number of the unit that counts, ``config``: of what it counts. Raises OSError."""
        attributes = _Attributes(type=kind, size=ctypes.sizeof(_Attributes), config=config)
        libc = ctypes.CDLL(None, use_errno=True)
        arguments = (_ANY_PROCESS, cpu, _NO_GROUP, _CLOSE_ON_EXEC)
        descriptor = libc.syscall(
            ctypes.c_long(_SYSCALL), ctypes.byref(attributes), *(ctypes.c_long(argument) for argument in arguments)
        )
        if descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._descriptor = int(descriptor)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self) -> int:
        """See :class:`EventCounter`."""
        content = os.read(self._descriptor, _COUNT_BYTES)
        if len(content) != _COUNT_BYTES:
            raise OSError("the event has ended: its CPU went offline")
        return int.from_bytes(content, "little")
