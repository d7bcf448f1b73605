"""The engine's socket in the file system: only its owner reaches it, and a live engine is never displaced.

A service manager may have made it already and pass it on (``LISTEN_FDS``).
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio
from typing_extensions import Self

from actors.client_stream import ClientStream
from actors.policies.requester import Requester
from engine.host.client_socket import ClientSocket
from protocol.address import MAX_SOCKET_PATH_BYTES
from protocol.errors import InvalidRequest
from protocol.transport import TransportClosed

_BACKLOG = 128
"""Clients that may connect while the engine is busy; a short one refuses them."""
_RECEIVE_BYTES = 16_384
_FIRST_PASSED = 3
PASSED_NAME = "engine"
PASSED_HTTP_NAME = "engine-http"
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who opened the connection, as the kernel says."""

    pid: int
    uid: int
    gid: int

    @classmethod
    def of(cls, connected: socket.socket) -> Self:
        """The process at the other end of a Unix socket. Raises OSError."""
        return cls(*_CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)))

    @property
    def requester(self) -> Requester:
        """The program, whatever the number of its connections."""
        return Requester(user=f"uid:{self.uid}", client=f"pid:{self.pid}")


class UnixSocket:
    """A listening socket. Its path goes with it, unless a service manager passed it."""

    def __init__(self, path: Path, listening: socket.socket, *, owned: bool) -> None:
        self.path = path
        self._inode = path.stat().st_ino if owned else None
        self._listening = listening

    @classmethod
    def open(cls, path: Path) -> Self:
        """Listen at ``path``, mode 0600, in a directory of mode 0700 that is made if need be.

        Raises:
            InvalidRequest: the path is too long for a socket, the directory is not ours alone, another engine answers
                at ``path``, or something that is no socket lies there.
        """
        size = len(os.fsencode(path))
        if size > MAX_SOCKET_PATH_BYTES:
            raise _refusal(path, f"is too long: it has {size} bytes, and a socket's at most {MAX_SOCKET_PATH_BYTES}")
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
                return cls(path, listening, owned=True)
            except OSError as error:
                listening.close()
                temporary.unlink(missing_ok=True)
                raise _refusal(path, f"cannot listen there: {error.strerror or error}") from error

    @classmethod
    def passed(cls, environment: Mapping[str, str], name: str = PASSED_NAME) -> Self | None:
        """The listening socket that a service manager passed to this process; ``None`` where it passed none.

        Among several the one of that name counts; one alone is the engine's own unless it is named for HTTP. Its place
        and its mode are the service manager's to answer for.

        Raises:
            InvalidRequest: what was passed is no listening Unix stream socket, or cannot be told from the others.
        """
        if environment.get("LISTEN_PID") != str(os.getpid()):
            return None
        descriptor = _passed_descriptor(environment, name)
        if descriptor is None:
            return None
        try:
            listening = socket.socket(fileno=descriptor)
            suits = listening.family == socket.AF_UNIX and listening.type == socket.SOCK_STREAM
            if not (suits and listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
                listening.detach()
                raise _refused_activation(f"file descriptor {descriptor} is no listening Unix stream socket")
        except OSError as error:
            raise _refused_activation(f"file descriptor {descriptor} is no socket: {error.strerror}") from error
        listening.set_inheritable(False)
        return cls(Path(listening.getsockname()), listening, owned=False)

    def listener(self) -> trio.SocketListener:
        """The socket as trio accepts from it. Closed, it can be had again: the socket stays until :meth:`close`."""
        return trio.SocketListener(trio.socket.from_stdlib_socket(self._listening.dup()))

    def close(self) -> None:
        """Stop listening and remove the path, unless it is another's, or became so."""
        self._listening.close()
        with suppress(FileNotFoundError):
            if self._inode is not None and self.path.lstat().st_ino == self._inode:
                self.path.unlink()


class SocketTransport:
    """A client's connected socket."""

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream
        self.client_socket = ClientSocket(stream.socket.fileno())

    async def send(self, data: bytes) -> None:
        """Send everything, waiting while the peer does not read. Raises TransportClosed."""
        left = memoryview(data)
        try:
            while left:
                left = left[await self._stream.send(left) :]
        except (OSError, trio.ClosedResourceError) as error:
            raise TransportClosed from error

    def send_nowait(self, data: bytes) -> bytes:
        """Send as much as the peer takes at once; what is left."""
        return self.client_socket.send(data)

    async def receive(self) -> bytes:
        """At least one byte. Raises TransportClosed at the end."""
        try:
            data = await self._stream.receive(_RECEIVE_BYTES)
        except (OSError, trio.ClosedResourceError) as error:
            raise TransportClosed from error
        if not data:
            raise TransportClosed
        return data

    async def aclose(self) -> None:
        """Hang up. Idempotent."""
        self.client_socket.close()  # no one else writes to a descriptor that may soon be another's
        self._stream.close()


def _passed_descriptor(environment: Mapping[str, str], name: str) -> int | None:
    count = environment.get("LISTEN_FDS", "")
    if not (count.isascii() and count.isdigit()):
        raise _refused_activation(f"LISTEN_FDS is {count!r}, not a number of sockets")
    descriptors = range(_FIRST_PASSED, _FIRST_PASSED + int(count))
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    named = [descriptor for descriptor, own in zip(descriptors, names, strict=False) if own == name]
    if name == PASSED_HTTP_NAME:
        return next(iter(named), None)
    if len(descriptors) <= 1:
        return next((one for one in descriptors if PASSED_HTTP_NAME not in names), None)
    if len(named) != 1:
        raise _refused_activation(
            f"{count} sockets were passed and {len(named)} of them are named {name!r}: "
            f"put FileDescriptorName={name} into the socket unit of one"
        )
    return named[0]


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
            return  # nothing listens: left behind by an engine that was killed
        except BlockingIOError:
            pass  # a full backlog belongs to a live engine
        raise _refusal(path, "another engine answers there; stop it with engine-ctl shutdown, or name another socket")


def _refused_activation(reason: str) -> InvalidRequest:
    return InvalidRequest(f"socket activation: {reason}", field="socket", reason=reason)


def _refusal(path: Path, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: {reason}", field="socket", reason=reason)
