"""`engine-ctl embed`, from texts to vectors, on a model that is read in milliseconds; and on SmolLM2."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl, serving

TEXTS = ("Once upon a time", "there was a model", "that answered none")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    return write_tiny_model(tmp_path / "tiny.gguf")


def embed(
    model: Path | str, *arguments: str, socket: Path | None = None, stdin: str | None = None, exit_code: int = 0
) -> dict[str, Any]:
    where = () if socket is None else ("--socket", str(socket))
    result = engine_ctl("embed", str(model), *arguments, *where, "--json", stdin=stdin)
    assert result.exit_code == exit_code, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def cosine(a: list[float], b: list[float]) -> float:
    """Cosine of normalized vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_vectors_are_told_exactly(tiny: Path) -> None:
    shown = embed(tiny, *TEXTS)
    content = b"".join(struct.pack(f"<{shown['dimension']}f", *text["vector"]) for text in shown["texts"])
    assert shown["digest"] == "sha256:" + hashlib.sha256(content).hexdigest()
    assert (shown["pooling"], shown["pooling_from"], shown["normalized"]) == ("mean", "default", True)
    assert [cosine(text["vector"], text["vector"]) for text in shown["texts"]] == pytest.approx([1.0] * 3, abs=1e-6)
    assert min(text["tokens"] for text in shown["texts"]) > 1
    assert (shown["energy"]["package_j"] is None) == (shown["energy"]["kind"] == "unavailable")


def test_texts_come_from_a_file_or_standard_input_a_line_each(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("\n".join(TEXTS[1:]) + "\n")
    expected = embed(tiny, *TEXTS)["texts"]
    assert embed(tiny, TEXTS[0], "--file", str(tmp_path / "texts"))["texts"] == expected
    assert embed(tiny, "--file", "-", stdin="\n".join(TEXTS))["texts"] == expected


def test_flags_reach_the_plan(tiny: Path) -> None:
    flags = ("--pooling", "last", "--no-normalize", "--threads", "1", "--backend", "reference")
    shown = embed(tiny, TEXTS[0], *flags)
    assert (shown["pooling"], shown["pooling_from"], shown["normalized"]) == ("last", "request", False)
    assert (shown["plan"]["threads"], shown["plan"]["backend"], shown["kernel_path"]) == (1, "reference", "reference")
    same = embed(tiny, TEXTS[0], "--pooling", "last", "--no-normalize")  # threads and backend change no bit
    assert same["digest"] == shown["digest"]
    quantized = embed(tiny, TEXTS[0], "--quant", "q8_0")
    assert quantized["plan"]["quantization"] == "q8_0"
    assert quantized["digest"] != shown["digest"]


def test_the_vectors_are_the_same_with_and_without_an_engine_on_the_socket(tiny: Path, socket_path: Path) -> None:
    alone = embed(tiny, *TEXTS, socket=socket_path)
    with serving(socket_path):
        served = embed(tiny, *TEXTS, socket=socket_path)
        one_by_one = [embed(tiny, text, socket=socket_path)["texts"][0] for text in TEXTS]
    assert served["texts"] == alone["texts"] == one_by_one
    assert served["plan"] == alone["plan"]


def test_a_person_sees_how_alike_texts_are(tiny: Path) -> None:
    vectors = [text["vector"] for text in embed(tiny, *TEXTS)["texts"]]
    lines = engine_ctl("embed", str(tiny), *TEXTS).stdout.splitlines()
    assert lines[0].startswith("tiny · native · ")
    assert "mean pooling (the default), normalized · 3 texts" in lines[0]
    assert lines[1].startswith("64 dimensions, digest sha256:")
    assert lines[2].split()[:2] == ["1", f"{vectors[0][0]:.5f}"]
    assert lines[2].endswith(TEXTS[0])
    assert lines[5].split() == ["cosine", "1", "2", "3"]
    assert lines[6].split() == ["1", "1.0000", *(f"{cosine(vectors[0], other):.4f}" for other in vectors[1:])]
    assert len(lines) == 9


def test_one_text_and_many_have_no_table(tiny: Path) -> None:
    alone = engine_ctl("embed", str(tiny), "a long text " * 20, "--no-normalize").stdout.splitlines()
    assert "1 text, " in alone[0]
    assert "normalized" not in alone[0]
    assert alone[2].endswith("…")
    assert len(alone) == 3
    assert len(engine_ctl("embed", str(tiny), *"abcdefghijk").stdout.splitlines()) == 2 + 11


def test_what_cannot_be_embedded_is_refused(tiny: Path) -> None:
    assert embed(tiny, "", exit_code=3)["error"]["code"] == "invalid_request"
    assert embed(tiny, "a", "--pooling", "rank", exit_code=3)["error"]["params"]["field"] == "request.pooling"
    assert embed(tiny, "--file", "-", stdin="a\n\nb", exit_code=3)["error"]["params"]["field"] == "request.texts.1"
    assert embed(tiny, "word " * 300, exit_code=3)["error"]["code"] == "prompt_too_long"
    assert embed(tiny, "a", "--quant", "q3_k", exit_code=3)["error"]["code"] == "unsupported_quantization"
    assert embed(tiny.parent / "none.gguf", "a", exit_code=4)["error"]["code"] == "unknown_model"
    assert engine_ctl("embed", str(tiny)).exit_code == 2
    assert engine_ctl("embed", str(tiny), "--file", "-", stdin="").exit_code == 2


def test_smollm2_finds_texts_of_one_subject_alike(smollm2_path: Path) -> None:
    animals = ("The cat sleeps on the sofa.", "A dog barks at the door.")
    money = ("The central bank raised its interest rates.", "Inflation fell in the last quarter.")
    vectors = [text["vector"] for text in embed(smollm2_path, *animals, *money)["texts"]]
    within = (cosine(vectors[0], vectors[1]), cosine(vectors[2], vectors[3]))
    between = [cosine(a, b) for a in vectors[:2] for b in vectors[2:]]
    assert min(within) > max(between)
