"""Which system calls are refused, to every thread and to what the process starts."""

from __future__ import annotations

import platform

import pytest

from engine.host.system_calls import REFUSED, filter_program
from tests.engine.walled_program import told_by

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the table of calls is of x86-64")

_SERVING = """
    import threading
    from engine.host import landlock, system_calls
    started, told_now = threading.Event(), threading.Event()

    def of_a_thread_before():
        started.set()
        told_now.wait()
        tell("thread-connect", connect)

    def connect():
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(b"\\0nobody-listens")

    before = threading.Thread(target=of_a_thread_before)
    before.start()
    started.wait()
    landlock.forbid_new_privileges()
    system_calls.refuse(network={network})
    told_now.set()
    before.join()
    tell("inet", lambda: socket.socket(socket.AF_INET).close())
    tell("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close())
    tell("pair", lambda: socket.socketpair())
    tell("child", lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {{}}), 0))
    """


def test_a_serving_process_reaches_out_to_nobody() -> None:
    assert told_by(_SERVING.format(network=False)) == {
        "thread-connect": "EPERM",
        "inet": "EPERM",
        "netlink": "EPERM",
        "pair": "done",
        "child": "done",
    }


def test_a_process_that_fetches_keeps_its_network() -> None:
    assert told_by(_SERVING.format(network=True)) == {
        "thread-connect": "ECONNREFUSED",
        "inet": "done",
        "netlink": "done",
        "pair": "done",
        "child": "done",
    }


def test_every_call_of_the_table_is_refused() -> None:
    told = told_by(
        """
        import ctypes
        from engine.host import landlock, system_calls
        libc = ctypes.CDLL(None, use_errno=True)

        def call(number, first=-1):
            if libc.syscall(number, first, 0, 0, 0, 0) < 0:
                raise OSError(ctypes.get_errno(), "")

        landlock.forbid_new_privileges()
        system_calls.refuse(network=False)
        for name, number in system_calls.REFUSED.items():
            tell(name, lambda: call(number))
        tell("clone3", lambda: call(435))
        tell("unheard-of", lambda: call(10_000))
        tell("new-user-space", lambda: call(56, 0x10000000))
        """
    )

    expected = dict.fromkeys(REFUSED, "EPERM")
    assert told == expected | {"clone3": "ENOSYS", "unheard-of": "ENOSYS", "new-user-space": "EPERM"}


def test_the_filter_is_short_enough_for_the_kernel() -> None:
    assert len(filter_program(network=False)) // 8 <= 4096
