"""Time that a person waits besides computation: start-up, loading, the way to the first token."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from benchmarks.support.report import Figure
from benchmarks.support.served import CLI, served_engine
from benchmarks.support.setting import Setting
from engine import _core
from protocol.answers import Finished, Tokens
from protocol.blocking import BlockingClient
from protocol.plan import ExecutionRequest, Limits, RunRequest

# 20 tokens with SmolLM2's vocabulary.
PROMPT = (
    "The history of computing began long before the modern computer, with people who counted and wrote down what they"
)
TOKENS = 8
ROUNDS = 9


def measure(setting: Setting) -> list[Figure]:
    model = setting.model
    with served_engine() as socket:
        with BlockingClient.connect(socket) as client:
            list(client.run(_request(model)))  # the engine has the weights from here on
            overheads = [_socket_overhead_ms(client, model) for _ in range(ROUNDS)]
        command = [_command_overhead_ms(socket, model) for _ in range(ROUNDS)]
    loads = [_load_ms(setting) for _ in range(ROUNDS)]
    return [
        Figure("Run frame sent to first token received, less compute", "ms", overheads, at_most=20),
        Figure("exec of engine-ctl run to first token, less compute", "ms", command, at_most=350),
        Figure("engine-ctl --help", "ms", [_help_ms() for _ in range(ROUNDS)], at_most=250),
        Figure("load, warm page cache", "ms", loads, at_most=_load_bound_ms(setting)),
    ]


def _load_bound_ms(setting: Setting) -> float:
    """0.8 s for a file of 1.117 GB and so for each of its bytes; nothing is asked to be faster than 150 ms."""
    return max(150.0, 800.0 * setting.path.stat().st_size / 1.117e9)


def _request(model: str) -> RunRequest:
    return RunRequest(model=model, prompt=PROMPT, execution=ExecutionRequest(limits=Limits(max_tokens=TOKENS)))


def _socket_overhead_ms(client: BlockingClient, model: str) -> float:
    began = time.monotonic_ns()
    first = None
    for message in client.run(_request(model)):
        if isinstance(message, Tokens) and first is None:
            first = time.monotonic_ns()
        if isinstance(message, Finished) and first is not None:
            return (first - began) / 1e6 - _compute_ms(message)
    raise RuntimeError("the run gave no token")


def _compute_ms(finished: Finished) -> float:
    """Milliseconds from the start of the first prefill step to the first token."""
    prefill_ms = finished.record.metrics.prefill_ms
    if prefill_ms is None:
        raise RuntimeError("the run gave no token")
    return prefill_ms


def _command_overhead_ms(socket: Path, model: str) -> float:
    """Milliseconds until the first byte of the answer is on stdout, less the computing of the same prompt."""
    began = time.monotonic_ns()
    command = [CLI, "run", "--socket", str(socket), "--model", model, "--max-tokens", str(TOKENS), "--prompt", PROMPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        if run.stdout is None or not run.stdout.read(1):
            raise RuntimeError("engine-ctl run printed nothing")
        first = time.monotonic_ns()
    with BlockingClient.connect(socket) as client:
        compute = [_compute_ms(m) for m in client.run(_request(model)) if isinstance(m, Finished)]
    return (first - began) / 1e6 - compute[0]


def _help_ms() -> float:
    began = time.monotonic_ns()
    subprocess.run([CLI, "--help"], check=True, stdout=subprocess.DEVNULL)
    return (time.monotonic_ns() - began) / 1e6


def _load_ms(setting: Setting) -> float:
    path = str(setting.path)
    began = time.monotonic_ns()
    _core.Model.load(path, setting.backends[0], setting.threads)
    return (time.monotonic_ns() - began) / 1e6
