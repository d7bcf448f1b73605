"""What it would cost to render chat templates in a process of their own, with an address space of its own.

    .venv/bin/python -m benchmarks.template_process [--turns 20]

Beside rendering in the engine's process, as it is done: a process that is started once, reads a conversation as msgpack
from a socket and answers with its text. Told are its start, its memory, and the time of a request here and there.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack

from engine.text.chat import ChatSettings, render_chat
from protocol.chat import ChatMessage
from tests.support.gguf_factory import CHATML

_REQUESTS = 500


def _messages(turns: int) -> list[ChatMessage]:
    said = "The engine executes decisions about models. A request becomes a plan: explicit, immutable, hashed. " * 2
    return [ChatMessage(role=("user", "assistant")[turn % 2], content=said) for turn in range(turns)]


def serve(descriptor: int) -> None:
    """Answer conversations until the socket ends."""
    with socket.socket(fileno=descriptor) as stream:
        unpacker = msgpack.Unpacker()
        while received := stream.recv(1 << 20):
            unpacker.feed(received)
            for template, said in unpacker:
                messages = [ChatMessage.model_validate(one) for one in said]
                stream.sendall(msgpack.packb(render_chat(template, messages, ChatSettings())))


def _rendered_there(stream: socket.socket, messages: list[ChatMessage]) -> str:
    said = [message.model_dump(exclude_none=True) for message in messages]
    stream.sendall(msgpack.packb((CHATML, said)))
    unpacker = msgpack.Unpacker()
    while True:
        unpacker.feed(stream.recv(1 << 20))
        for text in unpacker:
            return str(text)


def _median_us(render: Callable[[], Any]) -> float:
    times = []
    for _ in range(_REQUESTS):
        began = time.perf_counter_ns()
        render()
        times.append((time.perf_counter_ns() - began) / 1e3)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=20)
    messages = _messages(parser.parse_args().turns)
    here, there = socket.socketpair()
    program = f"from benchmarks.template_process import serve; serve({there.fileno()})"
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", program], pass_fds=(there.fileno(),)) as child:
        there.close()
        text = _rendered_there(here, messages)
        start_ms = 1e3 * (time.perf_counter() - began)
        status = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
        private = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))
        apart_us = _median_us(lambda: _rendered_there(here, messages))
        here.close()
    if text != render_chat(CHATML, messages, ChatSettings()):
        raise SystemExit("the process rendered another text")
    within_us = _median_us(lambda: render_chat(CHATML, messages, ChatSettings()))
    print(f"{len(text)} characters, {os.cpu_count()} CPUs")
    print(f"in the engine's process: {within_us:.0f} us a request")
    print(f"in one of its own: {apart_us:.0f} us a request, {start_ms:.0f} ms to start, {int(private) / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
