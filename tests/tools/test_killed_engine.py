"""An engine that dies while it quantizes into the cache, and the one that comes after it."""

from __future__ import annotations

import signal

import pytest

from tests.support.gguf_factory import write_tiny_model
from tests.support.killed_engine import WHOLE, QuantizingEngine

DEATHS = {
    "open gguf part": [],
    "rename gguf part": ["part"],
    "open json part": ["gguf"],
    "rename json part": ["gguf", "part"],
    "remove json part": WHOLE,
}
"""Files that the engine leaves, by the step before which it dies."""


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> QuantizingEngine:
    folder = tmp_path_factory.mktemp("e")  # a short name: the path of a socket has at most 107 bytes
    model = write_tiny_model(folder / "tiny.gguf", n_embd=256, n_ff=512, tensor_type="F16")
    return QuantizingEngine(model, "q4_k_m", folder / "engine")


def test_whenever_an_engine_is_killed_the_next_one_answers_as_if_it_had_never_been(engine: QuantizingEngine) -> None:
    expected = engine.run().answer
    for step, left in DEATHS.items():
        engine.forget()
        with engine.start(dies_before=step) as killed:
            killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        assert engine.left() == left
        assert engine.faults() == []
        after = engine.run()
        assert after.answer == expected
        assert after.source == ("cache" if left == WHOLE else "quantized")
        assert after.notices == ()
        assert engine.left() == WHOLE
