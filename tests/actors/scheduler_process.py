"""A scheduler in a process of its own: its messages come and go as frames, over the socket that is its input.

python -m tests.actors.scheduler_process
"""

from __future__ import annotations

import socket

import trio

from actors.base import Inbox
from actors.messages import ControlEvent, Enqueue, ExecutorRequest, SchedulerRequest, SlotFreed, Withdraw
from actors.scheduler import Scheduler
from tests.actors.frame_link import CODEC, FrameLink


async def main() -> None:
    above = Inbox[SchedulerRequest]("scheduler, from above", 64, "as in an engine", CODEC)
    below = Inbox[SlotFreed]("scheduler, from below", 64, "as in an engine", CODEC)
    control_plane = Inbox[ControlEvent]("control plane, from below", 64, "as in an engine", CODEC)
    executor = Inbox[ExecutorRequest]("executor, from above", 64, "as in an engine", CODEC)
    link = FrameLink(trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=0))))
    async with trio.open_nursery() as nursery:
        await nursery.start(Scheduler(above, below, control_plane, executor, max_queued=2).run)
        nursery.start_soon(link.send_all_of, control_plane)
        nursery.start_soon(link.send_all_of, executor)
        async for message in link:
            if isinstance(message, SlotFreed):
                await below.put(message)
            elif isinstance(message, Enqueue | Withdraw):
                await above.put(message)
            else:
                raise TypeError(f"no message for a scheduler: {message}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
