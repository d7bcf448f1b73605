"""The broker: a process outside the walls that opens the files a request names, and does what needs the network.

It is forked before the serving process gives anything up, and ends with it. It opens regular files alone, of the
engine's own user or readable by everybody, and none of those in which the kernel shows its state; of these only what an
engine reads, models and importance matrices, so that nobody who got into the engine has it read a user's keys. It
writes only files that were not there before. Beyond files it runs :data:`Task` functions that it was given at its
start, each in a process of its own that ends with its work.

Over a socket of packets come requests, one at a time: a letter and a path. ``r``: a file to read; ``w``: a new file;
``n``, and a name behind a zero byte: that new file gets the name, which nothing has; ``d``: it goes. A number is
answered, 0 or the system's for an error, and with it the file. Over a second one come names of tasks, each with a
socket over which the task is to talk. New files that have got no name go when the engine ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import selectors
import signal
import socket
import stat
import struct
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from engine import _core
from engine.host.kernel_trees import kernel_devices, leads_through_kernel

Task = Callable[[socket.socket], None]
_ANSWER: Final = struct.Struct("=i")
_LONGEST: Final = 1 + 2 * 4096
"""A letter, and two of the longest paths that the system takes."""
_STDERR: Final = 2
_FIRST_DESCRIPTOR: Final = 100
_NEW_FILE_MODE: Final = 0o666
"""Less the process's mask."""
_GGUF: Final = b"GGUF"
_NEW_MODEL: Final = re.compile(r"\.gguf\.\d+\.part\Z", re.IGNORECASE)
"""What the core calls a file that is to become a model."""
_BEGINNING_BYTES: Final = 512
_COUNTS: Final = struct.Struct("<ii")
_MOST_ENTRIES: Final = 1 << 20
_OF_WEIGHTS: Final = b".weight"


@dataclass(frozen=True, slots=True)
class Broker:
    """The serving process's end."""

    pid: int
    files: socket.socket
    tasks: socket.socket

    def run_task(self, name: str) -> socket.socket:
        """The socket over which the task of that name talks from now on. Raises OSError: the broker has ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self.tasks, [name.encode()], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours


def start_broker(tasks: Mapping[str, Task]) -> Broker:
    """Fork it. Call it while this process has a single thread, and holds nothing that another should not have.

    Raises:
        OSError: no process can be started.
    """
    files, their_files = _packet_sockets()
    talks, their_talks = _packet_sockets()
    pid = os.fork()
    if pid == 0:
        # Sockets of the service manager's among them: whoever connects is to meet the engine or nobody.
        _close_all_but(their_files.fileno(), their_talks.fileno())
        _exit_after(partial(_serve, their_files, their_talks, tasks))
    their_files.close()
    their_talks.close()
    return Broker(pid, files, talks)


def _packet_sockets() -> tuple[socket.socket, socket.socket]:
    """Two ends, with numbers above those that a service manager passes descriptors under."""
    ends = []
    for low in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
        with low:
            ends.append(socket.socket(fileno=fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)))
    return ends[0], ends[1]


def _close_all_but(*kept: int) -> None:
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > _STDERR and descriptor not in kept:
            with suppress(OSError):  # that of the list itself is closed already
                os.close(descriptor)


def _serve(files: socket.socket, tasks: socket.socket, known: Mapping[str, Task]) -> None:
    # The terminal's Ctrl-C is for the engine, which still finishes its work.
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the tasks' processes
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    selector = selectors.DefaultSelector()
    selector.register(files, selectors.EVENT_READ)
    selector.register(tasks, selectors.EVENT_READ)
    made: set[Path] = set()
    here = True
    while here:
        for key, _ in selector.select():
            here = here and (_answer_file(files, made) if key.fileobj is files else _begin_task(tasks, known))
    for path in made:
        with suppress(OSError):
            path.unlink()


def _answer_file(files: socket.socket, made: set[Path]) -> bool:
    """Whether the engine is still there. ``made``: new files that have not got their names yet."""
    request = files.recv(_LONGEST)
    if not request:
        return False
    try:
        paths = tuple(Path(os.fsdecode(path)) for path in request[1:].split(b"\0"))
        descriptor = _carry_out(request[:1], paths, made)
    except OSError as refusal:
        answer, descriptor = _ANSWER.pack(refusal.errno or errno.EIO), None
    else:
        answer = _ANSWER.pack(0)
    with suppress(OSError):
        socket.send_fds(files, [answer], [] if descriptor is None else [descriptor])
    if descriptor is not None:
        os.close(descriptor)
    return True


def _carry_out(letter: bytes, paths: tuple[Path, ...], made: set[Path]) -> int | None:
    match letter, paths:
        case b"r", (path,):
            return open_to_read(path)
        case b"w", (path,) if _NEW_MODEL.search(path.name):
            if leads_through_kernel(path):
                raise OSError(errno.EACCES, "among the kernel's own files")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _NEW_FILE_MODE)
            made.add(path)
            return descriptor
        case b"n", (path, name) if path in made and path.parent == name.parent and _is_model(path, name):
            _core.name_new(os.fsencode(path), os.fsencode(name))
            made.discard(path)
            return None
        case b"d", (path,) if path in made:
            path.unlink()
            made.discard(path)
            return None
        case b"w" | b"n", _:
            raise OSError(errno.ENOEXEC, "not a model")
    raise OSError(errno.EACCES, "not a file that was made here")


def _is_model(path: Path, name: Path) -> bool:
    """Whether it holds a model and will be called one: a new file of another kind may be run by whoever finds it."""
    with path.open("rb") as file:
        return name.suffix.lower() == ".gguf" and file.read(len(_GGUF)) == _GGUF


def open_to_read(path: Path) -> int:
    """A model or a matrix that this user owns, or that everybody may read. Raises OSError: ENOEXEC for other files."""
    # Some devices do things when they are opened: what it is, is seen before, and what is opened is what was seen.
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _require_users_file(os.fstat(place))
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(place)
    beginning = os.pread(descriptor, _BEGINNING_BYTES, 0)
    if beginning.startswith(_GGUF) or _is_old_matrix(beginning):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.ENOEXEC, "not of the engine's kind")


def _require_users_file(status: os.stat_result) -> None:
    shared = status.st_uid == os.geteuid() or status.st_mode & stat.S_IROTH
    if not stat.S_ISREG(status.st_mode) or not shared or status.st_dev in kernel_devices():
        raise OSError(errno.EACCES, "neither a user's regular file nor one that everybody may read")


def _is_old_matrix(beginning: bytes) -> bool:
    """Whether it begins as an importance matrix of the older form: a count, a length, and the name of a tensor."""
    if len(beginning) < _COUNTS.size:
        return False
    entries, length = _COUNTS.unpack_from(beginning)
    name = beginning[_COUNTS.size : _COUNTS.size + length]
    return 0 < entries <= _MOST_ENTRIES and len(name) == length > 0 and name.isascii() and name.endswith(_OF_WEIGHTS)


def _begin_task(tasks: socket.socket, known: Mapping[str, Task]) -> bool:
    """Whether the engine is still there."""
    name, descriptors, _, _ = socket.recv_fds(tasks, 64, 1)
    if not name:
        return False
    talks = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    task = known.get(name.decode("ascii", "replace"))
    if task is not None and talks and os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _exit_after(partial(task, talks[0]))
    for talk in talks:
        talk.close()
    return True


def _exit_after(work: Callable[[], None]) -> NoReturn:
    """End this process without what its parent meant to do at its own end."""
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
