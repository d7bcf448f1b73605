"""The user at the other end of a loopback TCP connection, as the kernel's table of sockets says."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
Address = tuple[str, int]
"""A literal address and a port."""


def peer_uid(peer: Address, own: Address) -> int | None:
    """The user id that owns the client's end of a connection; ``None`` where the kernel lists no such connection."""
    for table in _TABLES:
        try:
            text = table.read_text(encoding="ascii")
        except OSError:
            continue
        uid = uid_in(text, peer, own)
        if uid is not None:
            return uid
    return None


def uid_in(table: str, peer: Address, own: Address) -> int | None:
    """The same from the text of ``/proc/net/tcp`` or ``tcp6``. A connection that has ended belongs to nobody."""
    wanted = (_normal(*peer), _normal(*own))
    # The port is compared first: addresses take longer to read, and a machine may have thousands of sockets.
    port = f":{peer[1]:04X}"
    for columns in _rows(table):
        if not columns[1].endswith(port) or columns[3] != _ESTABLISHED:
            continue
        if (_address(columns[1]), _address(columns[2])) == wanted:
            return int(columns[7])
    return None


def _rows(table: str) -> Iterator[list[str]]:
    for line in table.splitlines()[1:]:
        columns = line.split()
        if len(columns) > 7:
            yield columns


def _normal(host: str, port: int) -> tuple[str, int]:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), port


def _address(column: str) -> tuple[str, int]:
    """An address as the kernel prints it: 32-bit words in the machine's byte order, in hexadecimal."""
    host, _, port = column.partition(":")
    words = [bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8)]
    return _normal(str(ipaddress.ip_address(b"".join(words))), int(port, 16))
