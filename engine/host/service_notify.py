"""Telling the service manager that started this process how it is doing: systemd's ``sd_notify`` protocol."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from typing_extensions import Self


class ServiceNotifier:
    """Datagrams to the socket that the service manager named; without one, nothing is sent and nothing is wrong."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        """Longest time between two signs of life that the manager allows; ``None``: it does not ask for any."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """From ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``."""
        address = environment.get("NOTIFY_SOCKET") or None
        microseconds = environment.get("WATCHDOG_USEC", "")
        asked_of_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        asked = address is not None and asked_of_us and microseconds.isascii() and microseconds.isdigit()
        return cls(address, int(microseconds) / 1e6 if asked and int(microseconds) else None)

    def ready(self, status: str) -> None:
        """Raises OSError: the manager did not take it."""
        self._send("READY=1", f"STATUS={status}")

    def stopping(self, status: str) -> None:
        """Raises OSError: the manager did not take it."""
        self._send("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """Raises OSError: the manager did not take it."""
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if self._address is None:
            return
        # A name that begins with @ is in the abstract namespace, where names begin with a zero byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
            datagrams.setblocking(False)
            datagrams.sendto("\n".join(one.replace("\n", " ") for one in assignments).encode(), address)
