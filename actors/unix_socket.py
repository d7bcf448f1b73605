"""The engine's socket in the file system: nobody but its owner reaches it, and a live engine is never displaced."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import trio

from protocol.errors import InvalidRequest
from protocol.transport import TransportClosed

_BACKLOG = 128
"""Clients that may connect while the engine is busy; a short one refuses them."""
_RECEIVE_BYTES = 65_536
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who opened the connection, as the kernel says."""

    pid: int
    uid: int
    gid: int


class UnixSocket:
    """A listening socket under its path, which goes with it."""

    def __init__(self, path: Path, listening: socket.socket) -> None:
        self._path = path
        self._inode = path.stat().st_ino
        self._listening = listening

    @classmethod
    def open(cls, path: Path) -> Self:
        """Listen at ``path``, mode 0600, in a directory of mode 0700 that is made if need be.

        Raises:
            InvalidRequest: the directory is not ours alone, another engine answers at ``path``, or something that is
                no socket lies there.
        """
        _own_directory(path.parent)
        temporary = path.with_name(f".{os.getpid()}")
        with _locked(path.parent):
            _check_replaceable(path)
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                temporary.unlink(missing_ok=True)
                listening.bind(str(temporary))
                temporary.chmod(0o600)
                listening.listen(_BACKLOG)
                temporary.rename(path)
                return cls(path, listening)
            except OSError as error:
                listening.close()
                temporary.unlink(missing_ok=True)
                raise _refusal(path, f"cannot listen there: {error.strerror or error}") from error

    def listener(self) -> trio.SocketListener:
        return trio.SocketListener(trio.socket.from_stdlib_socket(self._listening))

    def close(self) -> None:
        """Stop listening and remove the path, unless it is another's by now."""
        self._listening.close()
        with suppress(FileNotFoundError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()


class SocketTransport:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    @property
    def peer(self) -> Peer:
        raw = self._stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return Peer(*_CREDENTIALS.unpack(raw))

    async def send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise TransportClosed from error

    def send_nowait(self, data: bytes) -> int:
        try:
            return os.write(self._stream.socket.fileno(), data)  # the descriptor is trio's, and does not block
        except OSError:
            return 0

    async def receive(self) -> bytes:
        try:
            data = await self._stream.receive_some(_RECEIVE_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise TransportClosed from error
        if not data:
            raise TransportClosed
        return bytes(data)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _own_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise _refusal(directory, f"cannot be made a directory: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise _refusal(directory, "is not a directory of its own")
    if found.st_uid != os.geteuid():
        raise _refusal(directory, f"belongs to user {found.st_uid}; the socket needs a directory of yours")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise _refusal(directory, f"is open to others; run: chmod 700 {directory}")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Two engines that start at once must not both find the path free."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_replaceable(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _refusal(path, "is not a socket; it is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return  # nobody listens: left behind by an engine that was killed
        except BlockingIOError:
            pass  # a full backlog belongs to a live engine
        raise _refusal(path, "another engine answers there; stop it with engine-ctl shutdown, or name another socket")


def _refusal(path: Path, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: {reason}", field="socket", reason=reason)
