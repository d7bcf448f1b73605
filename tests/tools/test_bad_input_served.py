"""A served engine, the real one, and everything that can be thrown at it: each gets its answer, and it serves on."""

from __future__ import annotations

import json
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest

from protocol.answers import Accepted, Finished, Tokens
from protocol.blocking import BlockingClient
from protocol.errors import EngineUnreachable, InvalidModel
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.requests import Status
from protocol.unpacking import unpack
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl, serving

HELLO = {"type": "Hello", "protocol_version": 1}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    return write_tiny_model(tmp_path / "tiny.gguf")


@pytest.fixture
def engine(tiny: Path, socket_path: Path) -> Iterator[Path]:
    """The socket of an engine that must still answer at the end as it did at the beginning."""
    with serving(socket_path):
        before = answer(socket_path, tiny)
        yield socket_path
        assert answer(socket_path, tiny) == before
        with BlockingClient.connect(socket_path) as client:
            assert client.ask(Status()).executions == ()


def answer(path: Path, model: Path) -> tuple[int, ...]:
    with BlockingClient.connect(path, timeout=30) as client:
        finished = [m for m in client.run(request(model, max_tokens=8)) if isinstance(m, Finished)]
    return finished[0].record.token_ids


def request(model: Path, max_tokens: int) -> RunRequest:
    execution = ExecutionRequest(limits=Limits(max_tokens=max_tokens), stop=Stop(eos=False))
    return RunRequest(model=str(model), prompt="Once upon a time", execution=execution)


def write_huge_counts(path: Path) -> Path:
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63) + bytes(64))
    return path


@pytest.mark.parametrize(
    ("flags", "exit_code", "code"),
    [
        (("--model", "no-such-model"), 4, "unknown_model"),
        (("--backend", "cuda"), 3, "unsupported_backend"),
        (("--quant", "q3"), 3, "unsupported_quantization"),
        (("--max-tokens", "-1"), 3, "invalid_request"),
        (("--max-watts", "25"), 7, "energy_unavailable"),
        (("--max-joules", "25"), 7, "energy_unavailable"),
        (("--on-max-watts", "throttle"), 3, "invalid_plan"),
        (("--on-max-watts", "explode"), 3, "invalid_request"),
        (("--deadline-ms", "0"), 3, "invalid_request"),
        (("--context-length", "4", "--prompt", "a prompt that is longer than the context"), 3, "prompt_too_long"),
    ],
)
def test_a_refusal_has_its_error_and_exit_code(
    flags: tuple[str, ...], exit_code: int, code: str, engine: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--model", str(tiny), "--prompt", "Once", "--json", *flags)
    result = engine_ctl("run", "--socket", str(engine), *arguments)
    assert json.loads(result.stdout)["error"]["code"] == code
    assert result.exit_code == exit_code


def test_a_gguf_of_huge_counts_is_refused(engine: Path, tmp_path: Path) -> None:
    model = write_huge_counts(tmp_path / "huge.gguf")
    result = engine_ctl("run", "--socket", str(engine), "--model", str(model), "--prompt", "Once", "--json")
    assert json.loads(result.stdout)["error"]["code"] == "invalid_model"
    assert result.exit_code == 4


def test_a_gguf_cut_anywhere_is_refused(engine: Path, tiny: Path, tmp_path: Path) -> None:
    whole = tiny.read_bytes()
    torn = tmp_path / "torn.gguf"
    with BlockingClient.connect(engine, timeout=30) as client:
        for size in random.Random(7).sample(range(len(whole) - 32), 50):
            torn.write_bytes(whole[:size])
            with pytest.raises(InvalidModel):
                list(client.run(request(torn, max_tokens=1)))


def frame(message: object) -> bytes:
    payload: bytes = msgpack.packb(message)
    return struct.pack(">I", len(payload)) + payload


def run_message(**changes: object) -> dict[str, object]:
    return {"type": "Run", "request_id": 1, "request": {"model": "m", "prompt": "p", **changes}}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(HELLO) + frame(run_message(temperature=1)), "invalid_request"),
        (frame(HELLO) + frame(run_message(prompt=7)), "invalid_request"),
        (frame(HELLO) + frame(run_message(execution={"limits": {"max_tokens": -5}})), "invalid_request"),
        (frame(HELLO) + frame(run_message(execution={"limits": {"max_watts": "25"}})), "invalid_request"),
        (frame(HELLO) + frame({"type": "Explode", "request_id": 1}), "unknown_message"),
        (frame(HELLO) + struct.pack(">I", 2**31) + b"x", "frame_too_large"),
        (frame(HELLO) + struct.pack(">I", 4) + b"\xc1\xc1\xc1\xc1", "bad_frame"),
        (random.Random(1).randbytes(4096), "frame_too_large"),
    ],
)
def test_bytes_that_are_no_request_are_answered(data: bytes, code: str, engine: Path) -> None:
    with raw_connection(engine) as stream:
        stream.sendall(data)
        assert last_failure(stream) == code


def raw_connection(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(30)
    stream.connect(str(path))
    return stream


def last_failure(stream: socket.socket) -> str:
    """The code of the first ``Failed``, past what was answered before it."""
    while True:
        (size,) = struct.unpack(">I", read_exactly(stream, 4))
        message = unpack(read_exactly(stream, size))
        if message["type"] == "Failed":
            return str(message["code"])


def read_exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise EngineUnreachable("hung up")
        data += part
    return data


def test_half_a_frame_holds_nobody_up(engine: Path, tiny: Path) -> None:
    with raw_connection(engine) as stream:
        stream.sendall(struct.pack(">I", 100) + b"half")
        assert answer(engine, tiny)


def test_a_client_that_vanishes_mid_stream_leaves_nothing(engine: Path, tiny: Path) -> None:
    client = BlockingClient.connect(engine, timeout=30)
    stream = client.run(request(tiny, max_tokens=400))
    assert isinstance(next(stream), Accepted)
    assert isinstance(next(stream), Tokens)
    client.close()
    with BlockingClient.connect(engine, timeout=30) as observer:
        wait_until(lambda: not observer.ask(Status()).executions)
        assert observer.ask(Status()).memory_bytes["kv_cache"] == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_hundred_come_and_go(engine: Path) -> None:
    for number in range(100):
        with raw_connection(engine) as stream:
            if number % 2:
                stream.sendall(frame(HELLO))


def test_noise_on_many_connections(engine: Path) -> None:
    noise = random.Random(3)
    for _ in range(50):
        with raw_connection(engine) as stream:
            stream.sendall(frame(HELLO) + noise.randbytes(noise.randrange(1, 200)))
            stream.shutdown(socket.SHUT_WR)
            while stream.recv(65536):
                pass
