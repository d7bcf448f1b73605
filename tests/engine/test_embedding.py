"""An embedding is refused before anything is loaded, seen, ended, and gives back what it took."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from engine.config import EngineConfig
from engine.models.registry import ModelRegistry
from engine.operations import embedding as module
from engine.operations.embedding import Embedding
from protocol.embedding import EmbeddingRequest
from protocol.errors import (
    EngineError,
    ExecutionCancelled,
    InvalidModel,
    InvalidRequest,
    NonFiniteResult,
    OutOfMemoryBudget,
    PromptTooLong,
    UnsupportedModel,
    UnsupportedQuantization,
)
from protocol.operation_answers import Embedded
from protocol.requests import Embed
from tests.engine.operation_stage import OperationStage, cancel_when_begun
from tests.support.architecture_models import CASES, write_architecture_model
from tests.support.damaged_models import ModelFile
from tests.support.gguf_factory import write_tiny_model

pytestmark = pytest.mark.slow

TEXTS = ("Once upon a time", "there was a model", "that read texts and answered none")


class Stage(OperationStage):
    def embedding(self, model: Path, **fields: object) -> Embedding:
        inputs: dict[str, object] = {} if "token_ids" in fields else {"texts": TEXTS}
        content = {"model": str(model), "backend": "reference", **inputs, **fields}
        request = Embed(request=EmbeddingRequest.model_validate(content))
        return Embedding(request, self.planner, self.backend, self.energy)

    def embedded(self, model: Path, **fields: object) -> Embedded:
        return self.embedding(model, **fields).run()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.backend.close()


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


def test_every_text_has_its_vector_and_all_of_it_is_told(stage: Stage, tiny: Path) -> None:
    made = stage.embedded(tiny)
    tokenizer = stage.planner.registry.resolve(str(tiny)).tokenizer
    assert made.dimension == 64
    assert [text.tokens for text in made.texts] == [len(tokenizer.encode(text)) for text in TEXTS]
    assert [len(text.values) for text in made.texts] == [64, 64, 64]
    assert [sum(value * value for value in text.values) for text in made.texts] == pytest.approx([1.0] * 3, abs=1e-6)
    content = b"".join(b64decode(text.vector) for text in made.texts)
    assert made.digest == "sha256:" + hashlib.sha256(content).hexdigest()
    assert (made.pooling, made.pooling_from, made.normalized) == ("mean", "default", True)
    assert made.kernel_path == made.plan.backend == "reference"
    assert made.plan.model_ref.content_hash.startswith("sha256:")
    assert made.plan.batch.context_length == max(text.tokens for text in made.texts)
    assert made.duration_s > 0
    assert (made.energy.kind, made.energy.package_j) == ("unavailable", None)
    assert "(tried rapl)" in (made.energy.reason or "")
    assert stage.in_use() == [False]


def test_texts_and_their_tokens_have_the_same_vectors(stage: Stage, tiny: Path) -> None:
    tokenizer = stage.planner.registry.resolve(str(tiny)).tokenizer
    token_ids = tuple(tuple(tokenizer.encode(text)) for text in TEXTS)
    assert stage.embedded(tiny, token_ids=token_ids).digest == stage.embedded(tiny).digest
    assert stage.embedded(tiny, token_ids=token_ids[::-1]).texts == stage.embedded(tiny).texts[::-1]


def test_a_vocabularys_rules_put_tokens_around_texts(stage: Stage, tmp_path: Path) -> None:
    spm = write_tiny_model(tmp_path / "spm.gguf", vocabulary="spm", pre="default")
    tokenizer = stage.planner.registry.resolve(str(spm)).tokenizer
    assert tokenizer.adds_bos
    with_bos = tuple(tokenizer.encode(TEXTS[0]))
    assert with_bos[0] == tokenizer.bos_token_id
    said = stage.embedded(spm, texts=TEXTS[:1]).digest
    assert said == stage.embedded(spm, token_ids=(with_bos,)).digest
    assert said != stage.embedded(spm, token_ids=(with_bos[1:],)).digest


def write_pooled(path: Path, pooling_type: Any) -> Path:
    keys = {**CASES["qwen3"].get("keys", {}), "pooling_type": pooling_type}
    return write_architecture_model(path, **{**CASES["qwen3"], "keys": keys})


@pytest.mark.parametrize(
    ("code", "pooling", "chosen_by"),
    [(0, "mean", "default"), (1, "mean", "model"), (2, "cls", "model"), (3, "last", "model")],
)
def test_a_file_may_say_how_it_is_pooled(stage: Stage, tmp_path: Path, code: int, pooling: str, chosen_by: str) -> None:
    model = write_pooled(tmp_path / "pooled.gguf", code)
    made = stage.embedded(model)
    assert (made.pooling, made.pooling_from) == (pooling, chosen_by)
    named = stage.embedded(model, pooling=pooling)
    assert (named.pooling, named.pooling_from) == (pooling, "request")
    assert named.digest == made.digest
    assert stage.embedded(model, pooling="cls" if pooling == "last" else "last").digest != made.digest


def test_a_pooling_that_is_not_there_has_to_be_named(stage: Stage, tmp_path: Path) -> None:
    ranking = write_pooled(tmp_path / "ranking.gguf", 4)
    with pytest.raises(InvalidRequest, match=r"qwen3\.pooling_type of ranking is 4") as refused:
        stage.embedded(ranking)
    assert refused.value.params["allowed"] == ["mean", "cls", "last"]
    assert stage.embedded(ranking, pooling="last").pooling == "last"
    with pytest.raises(InvalidModel, match="pooling_type is 'mean', not a whole number"):
        stage.embedded(write_pooled(tmp_path / "mistyped.gguf", "mean"))


def test_vectors_can_keep_their_length(stage: Stage, tiny: Path) -> None:
    made = stage.embedded(tiny, normalize=False)
    lengths = [sum(value * value for value in text.values) ** 0.5 for text in made.texts]
    assert not made.normalized
    assert min(lengths) > 2
    for text, length, normalized in zip(made.texts, lengths, stage.embedded(tiny).texts, strict=True):
        assert [value / length for value in text.values] == pytest.approx(normalized.values, rel=1e-5)


def test_quantization_and_cache_are_the_plans(stage: Stage, tmp_path: Path) -> None:
    wide = write_tiny_model(tmp_path / "wide.gguf", n_embd=256, n_ff=512, tensor_type="F16")
    native = stage.embedded(wide)
    for fields in ({"quantization": "q4_k_m"}, {"kv_cache": "q8_0"}):
        other = stage.embedded(wide, **fields)
        assert {name: getattr(other.plan, name) for name in fields} == fields
        assert other.digest != native.digest


@pytest.mark.parametrize(
    ("fields", "error", "told"),
    [
        ({"token_ids": ((1, 2), (1, 100_000))}, InvalidRequest, "no token 100000"),
        ({"token_ids": ((1,), (1,) * 257)}, PromptTooLong, "request.token_ids.1 has 257 tokens"),
        ({"texts": ("a", "word " * 300)}, PromptTooLong, "request.texts.1 has"),
        ({"texts": ("a", "word " * 100_000)}, PromptTooLong, "request.texts.1 has at least"),
        ({"quantization": "q3_k"}, UnsupportedQuantization, "q3_k"),
        ({"kv_cache": "f32"}, InvalidRequest, "kv_cache"),
        ({"threads": 100_000}, InvalidRequest, "threads"),
    ],
)
def test_what_cannot_be_embedded_is_refused_before_anything_is_loaded(
    stage: Stage, tiny: Path, fields: dict[str, Any], error: type[EngineError], told: str
) -> None:
    with pytest.raises(error, match=told):
        stage.embedded(tiny, **fields)
    assert stage.in_use() == []


def test_a_text_may_fill_the_context(stage: Stage, tiny: Path) -> None:
    assert stage.embedded(tiny, token_ids=((5,) * 256,)).plan.batch.context_length == 256


def test_a_text_without_tokens_is_refused(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = write_tiny_model(tmp_path / "tiny.gguf")
    tokenizer = stage.planner.registry.resolve(str(tiny)).tokenizer
    monkeypatch.setattr(type(tokenizer), "encode", lambda *_: [])
    with pytest.raises(InvalidRequest, match=r"request.texts.0 has no tokens"):
        stage.embedded(tiny)


def test_more_vectors_than_an_answer_holds_are_refused(
    stage: Stage, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FRAME_BYTES", 65_536 + 2 * (344 + 64))
    assert len(stage.embedded(tiny, texts=TEXTS[:2]).texts) == 2
    with pytest.raises(InvalidRequest, match="texts has 3 entries, and an answer holds 2 vectors of 64") as refused:
        stage.embedded(tiny)
    assert refused.value.params == {"field": "request.texts", "maximum": 2}


def test_a_vocabulary_alone_has_no_vectors(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="holds a vocabulary and no weights"):
        stage.embedded(write_tiny_model(tmp_path / "vocabulary.gguf", weights=False))


@pytest.mark.parametrize(("part_of_caches", "fits"), [(0.9, False), (1.0, True)])
def test_caches_of_texts_that_are_read_together_are_part_of_the_budget(
    tmp_path: Path, part_of_caches: float, fits: bool
) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf", n_layer=16, context_length=4096)
    facts = ModelRegistry(EngineConfig(tmp_path, tmp_path, tmp_path)).resolve(str(model)).facts()
    one_long_a_step_and_a_block_each = 2048 + 256 + 31 * 64
    caches = facts.kv_bytes_per_token["f16"] * one_long_a_step_and_a_block_each
    activations = 256 * facts.activation_row_bytes["reference"] + facts.shared_step_bytes(2, 256, 2000)
    limit = facts.weights_bytes["reference"] + activations + int(caches * part_of_caches)
    stage = Stage(tmp_path, memory_limit_bytes=limit)
    embedding = stage.embedding(model, token_ids=((3,) * 2000, *[(5,)] * 31))
    with nullcontext() if fits else pytest.raises(OutOfMemoryBudget):
        assert [text.tokens for text in embedding.run().texts] == [2000, *[1] * 31]
    assert stage.in_use() in ([], [False])
    stage.backend.close()


def test_a_limit_of_memory_is_refused_before_anything_is_loaded(stage: Stage, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf", n_layer=16, context_length=4096)
    with pytest.raises(OutOfMemoryBudget, match="the limit is 8"):
        stage.embedded(model, token_ids=((3,) * 2000, *[(5,)] * 31), memory_mb=8)
    assert stage.in_use() == []


def test_it_is_seen_and_ended_from_another_thread(stage: Stage, tmp_path: Path) -> None:
    slow = write_tiny_model(tmp_path / "slow.gguf", n_layer=16, context_length=4096)
    progress = cancel_when_begun(stage.embedding(slow, token_ids=((5,) * 2000,) * 20), "tokens")
    assert (progress.stage, progress.total) == ("embedding", 40_000)
    assert stage.in_use() == [False]


def test_cancelled_before_it_began_it_loads_nothing(stage: Stage, tiny: Path) -> None:
    for inputs in ({"texts": TEXTS}, {"token_ids": ((1, 2),)}):
        cancelled = stage.embedding(tiny, **inputs)
        cancelled.cancel()
        with pytest.raises(ExecutionCancelled, match="the embedding was cancelled"):
            cancelled.run()
    assert stage.in_use() == []


def test_weights_that_give_no_numbers_give_no_vectors(stage: Stage, tmp_path: Path) -> None:
    whole = ModelFile(write_tiny_model(tmp_path / "whole.gguf"))
    path = whole.scaled(tmp_path / "broken.gguf", "blk.1.attn_v.weight", 1e12)
    with pytest.raises(NonFiniteResult, match=r"broken: .* the attention of layer 1 gave values") as failure:
        stage.embedded(path)
    assert failure.value.params == {"model": "broken", "part": "attention", "layer": 1, "position": 0}
    assert stage.in_use() == [False]
