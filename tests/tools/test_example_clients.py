"""The clients of docs/wire.md, which speak the wire with nothing but their language: Node's and C's."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from protocol.answers import EngineMessage, Failed, Finished, ModelDescription, Tokens
from protocol.blocking import BlockingClient
from protocol.plan import RunRequest
from protocol.requests import ClientMessage, Run
from tests.engine.record_factory import record_with
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import serving
from tests.tools.conftest import StartEngine
from tests.tools.fake_engine import FakeEngine

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
Command = tuple[str, ...]


@pytest.fixture(params=["node", "c"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Command:
    """The command of a client, to which socket, model and prompt are added."""
    if request.param == "node":
        if shutil.which("node") is None:
            pytest.skip("node is not here")
        return ("node", str(EXAMPLES / "client.mjs"))
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no compiler for C is here")
    program = tmp_path / "client"
    command = (compiler, "-std=gnu11", "-Wall", "-Werror", "-o", str(program), str(EXAMPLES / "client.c"))
    subprocess.run(command, check=True)  # noqa: S603  the compiler that was found
    return (str(program),)


def run(client: Command, socket: Path, model: str, prompt: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own examples
        [*client, str(socket), model, prompt], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_answer_is_that_of_any_other_client(
    client: Command, tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    model = str(write_tiny_model(tmp_path / "tiny.gguf", context_length=4096))
    prompt = "né " * 300
    with serving(socket_path):
        with BlockingClient.connect(socket_path, timeout=30) as python:
            messages = list(python.run(RunRequest(model=model, prompt=prompt)))
        told = run(client, socket_path, model, prompt)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "".join(message.text for message in messages if isinstance(message, Tokens)) + "\n"


def test_every_form_of_msgpack_is_read(client: Command, start_engine: StartEngine) -> None:
    """Lengths of one, two and four bytes, numbers of every width: in fields that the clients skip, and around them."""
    numbers = (0, 127, 128, 2**8, 2**16, 2**32, 2**63 - 1, -1, -32, -33, -(2**8), -(2**16), -(2**32), -(2**63))
    metadata: dict[str, Any] = {
        "floats": (1.5, -2.25),
        "flags": (True, False, None),
        "numbers": numbers,
        "many": tuple(range(70_000)),
    }
    metadata |= {f"key {n}": {"text": "t" * n} for n in (0, 1, 31, 32, 255, 256, 65_535, 65_536)}
    texts = ("a", "é" * 20, "b" * 300, "c" * 70_000)

    def answer(message: ClientMessage) -> Sequence[EngineMessage]:
        assert isinstance(message, Run)
        description = ModelDescription(
            request_id=message.request_id,
            name="tiny",
            path="/tiny.gguf",
            size_bytes=1,
            gguf_version=3,
            architecture="llama",
            metadata=metadata,
            tensors=(),
            parameters_total=6,
            recipes=(),
            memory=None,
        )
        tokens = [Tokens(request_id=message.request_id, execution_id="e", token_ids=(1,), text=text) for text in texts]
        return [description, *tokens, Finished(request_id=message.request_id, record=record_with())]

    engine: FakeEngine = start_engine(answer)
    told = run(client, engine.path, "tiny", "x")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == "".join(texts) + "\n"
    (asked,) = engine.requests(Run)
    assert (asked.request.model, asked.request.prompt) == ("tiny", "x")


def test_a_refusal_is_told_in_the_engines_words(client: Command, start_engine: StartEngine) -> None:
    def answer(message: ClientMessage) -> Sequence[EngineMessage]:
        return [Failed(request_id=1, code="unknown_model", message="there is no model 'none'")]

    told = run(client, start_engine(answer).path, "none", "x")
    assert told.returncode == 1
    assert "there is no model 'none'" in told.stderr
    assert told.stdout == ""


def test_they_are_as_short_as_the_page_says() -> None:
    def lines_of(name: str) -> int:
        code = re.sub(r"^\s*(//|/\*\*).*$", "", (EXAMPLES / name).read_text(), flags=re.MULTILINE)
        return sum(1 for line in code.splitlines() if line.strip())

    page = (EXAMPLES.parent / "wire.md").read_text()
    assert f"They take {lines_of('client.mjs')} lines, and {lines_of('client.c')} in C." in page
