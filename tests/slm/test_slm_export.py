"""What is exported computes what PyTorch computes: GGUF in the engine, ONNX, and AUTON's own checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import _core
from engine.text.chat import ChatSettings, render_chat
from engine.text.tokenizer import Tokenizer
from protocol.chat import ChatMessage
from slm.corpus.documents import Document, Turn
from slm.corpus.prepared_data import VOCABULARY, PreparedData
from slm.corpus.vocabulary import CHAT_TEMPLATE
from slm.errors import SlmError
from tests.slm.small_models import SMALL
from tests.support.real_models import fast_kernel_table

torch = pytest.importorskip("torch", reason="make test-slm runs it")

from torch.nn import functional  # noqa: E402  need PyTorch

from slm.engine_link import EngineLink  # noqa: E402
from slm.export.gguf_file import write_gguf  # noqa: E402
from slm.export.importance import write_importance  # noqa: E402
from slm.export.onnx_file import write_onnx  # noqa: E402
from slm.export.trained_model import TrainedModel, open_model  # noqa: E402

PROMPTS = 100
TEXTS = (
    'Once upon a time, in 1984,\n\n"Hello" — olá   wörld!\n',
    "NAME\n    irq_mask_line - mask",
    "a",
    "\t \n",
    "<|im_end|>",
)


@pytest.fixture(scope="module")
def model(trained: Path) -> TrainedModel:
    return open_model(trained)


@pytest.fixture(scope="module")
def exported(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.gguf"
    write_gguf(model, path, "f32")
    return path


@pytest.fixture
def _rounded_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch keeps keys and values as the engine does, in 16 bits: the one rounding by which they would differ."""
    exact = functional.scaled_dot_product_attention

    def rounded(queries: Any, keys: Any, values: Any, **options: Any) -> Any:
        return exact(queries, keys.half().float(), values.half().float(), **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", rounded)


def largest_difference(model: TrainedModel, path: Path) -> float:
    """Between the engine's logits and PyTorch's for many prompts, in standard deviations of these."""
    random = np.random.default_rng(0)
    prompts = [random.integers(0, model.architecture.vocab_size, random.integers(1, 60)) for _ in range(PROMPTS)]
    loaded = _core.Model.load(str(path), fast_kernel_table(), 1)
    worst = 0.0
    with torch.inference_mode():
        for prompt, found in zip(prompts, loaded.logits([list(map(int, one)) for one in prompts]), strict=True):
            expected = model.transformer(torch.from_numpy(prompt)[None])[0].numpy()
            worst = max(worst, float(np.abs(found - expected).max() / expected.std()))
    return worst


@pytest.mark.usefixtures("_rounded_cache")
def test_the_engines_logits_are_pytorchs(model: TrainedModel, exported: Path) -> None:
    assert largest_difference(model, exported) < 1e-3


def test_the_engine_cuts_text_as_the_training_did(model: TrainedModel, exported: Path) -> None:
    tokenizer = Tokenizer(_core.GgufFile(str(exported)))
    for text in TEXTS:
        assert tokenizer.encode(text, add_special=False) == model.vocabulary.encode(text)


def test_a_conversation_is_rendered_as_it_was_trained_with(model: TrainedModel, exported: Path) -> None:
    turns = (Turn("user", "What is 8086:100e?"), Turn("assistant", "The Intel 82540EM."))
    tokenizer = Tokenizer(_core.GgufFile(str(exported)))
    text = render_chat(CHAT_TEMPLATE, [ChatMessage(role="user", content=turns[0].content)], ChatSettings())
    begin, *prompt = tokenizer.encode_sequence(text)
    (trained_with,) = model.vocabulary.encode_documents([Document(turns=turns)])
    assert begin == tokenizer.bos_token_id
    assert prompt == trained_with[: len(prompt)]
    ends = {model.vocabulary.tokens[one] for one in tokenizer.eos_token_ids}
    assert ends == {"<|endoftext|>", "<|im_end|>"}


def test_a_file_that_is_there_stays(model: TrainedModel, exported: Path) -> None:
    before = exported.read_bytes()
    with pytest.raises(SlmError, match="there already"):
        write_gguf(model, exported, "fp16")
    assert exported.read_bytes() == before


def test_a_model_whose_training_broke_is_not_exported(trained: Path, tmp_path: Path) -> None:
    broken = open_model(trained)
    with torch.no_grad():
        broken.transformer.norm.weight[3] = float("nan")
    with pytest.raises(SlmError, match=r"norm\.weight holds NaN"):
        write_gguf(broken, tmp_path / "model.gguf", "f32")
    assert list(tmp_path.iterdir()) == []


def test_onnx_computes_the_same(model: TrainedModel, tmp_path: Path) -> None:
    assert write_onnx(model, tmp_path / "model.onnx") < 1e-4


def test_the_engine_quantizes_with_importance_of_the_training_text(
    trained: Path, exported: Path, data: PreparedData, tmp_path: Path, absent_socket: Path
) -> None:
    engine, importance = EngineLink(absent_socket), tmp_path / "importance.gguf"
    assert write_importance(open_model(trained).transformer, data.shards, importance) == 64 * 128
    made = [
        engine.quantize(exported, "q4_k_m", tmp_path / f"{name}.gguf", weighed)
        for name, weighed in (("plain", None), ("weighed", importance))
    ]
    assert made[0].tensor_types == made[1].tensor_types
    assert (tmp_path / "plain.gguf").read_bytes() != (tmp_path / "weighed.gguf").read_bytes()


def auton_logits(weights: dict[str, Any], tokens: Any) -> Any:
    """AUTON's model as its documentation describes it: positions turn halves of a head."""
    heads, kv_heads, size = 4, 2, 32
    positions = torch.arange(len(tokens)).float()
    angles = torch.outer(positions, 10_000.0 ** (-torch.arange(0, size, 2).float() / size)).repeat(1, 2)

    def norm(values: Any, name: str) -> Any:
        return functional.rms_norm(values, values.shape[-1:], weights[name], 1e-6)

    def turned(values: Any) -> Any:
        first, second = values.chunk(2, -1)
        return values * angles.cos() + torch.cat((-second, first), -1) * angles.sin()

    hidden = weights["embed_tokens.weight"][tokens]
    for layer in range(2):
        part = f"layers.{layer}"
        read = norm(hidden, f"{part}.attn_norm.weight")
        q, k, v = (
            (read @ weights[f"{part}.attn.{name}_proj.weight"].T).view(len(tokens), -1, size).transpose(0, 1)
            for name in "qkv"
        )
        k, v = (one.repeat_interleave(heads // kv_heads, 0) for one in (turned(k), v))
        attended = functional.scaled_dot_product_attention(turned(q), k, v, is_causal=True)
        hidden = hidden + attended.transpose(0, 1).flatten(1) @ weights[f"{part}.attn.o_proj.weight"].T
        read = norm(hidden, f"{part}.ffn_norm.weight")
        gate, up = (read @ weights[f"{part}.ffn.{name}_proj.weight"].T for name in ("gate", "up"))
        hidden = hidden + (functional.silu(gate) * up) @ weights[f"{part}.ffn.down_proj.weight"].T
    return norm(hidden, "norm.weight") @ weights["embed_tokens.weight"].T


@pytest.fixture
def auton_checkpoint(trained: Path, tmp_path: Path) -> Path:
    """One of AUTON's with these weights."""
    weights = dict(open_model(trained).transformer.state_dict())
    weights["lm_head.weight"] = weights["embed_tokens.weight"]
    config = {**SMALL["architecture"], "activation": "swiglu", "attention_dropout": 0.0, "hidden_dropout": 0.0}
    config["vocab_size"] = len(weights["embed_tokens.weight"])
    path = tmp_path / "final.pt"
    torch.save({"model": weights, "config": config, "step": 5, "meta": {"loss": 1.0}}, path)
    return path


@pytest.mark.usefixtures("_rounded_cache")
def test_autons_checkpoint_becomes_a_model_that_runs(auton_checkpoint: Path, trained: Path, tmp_path: Path) -> None:
    model = open_model(auton_checkpoint, trained / VOCABULARY)
    tokens = torch.arange(40) * 7 % 400
    weights = torch.load(auton_checkpoint, weights_only=True)["model"]
    with torch.inference_mode():
        found, expected = model.transformer(tokens[None])[0], auton_logits(weights, tokens)
    assert float((found - expected).abs().max() / expected.std()) < 1e-4
    write_gguf(model, tmp_path / "auton.gguf", "f32")
    assert largest_difference(model, tmp_path / "auton.gguf") < 1e-3


def test_autons_checkpoint_needs_a_tokenizer_of_byte_pairs(auton_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(SlmError, match="--tokenizer"):
        open_model(auton_checkpoint)
    words = tmp_path / "vocab.json"
    words.write_text('{"<pad>": 0, "<unk>": 1, "driver": 2}')
    with pytest.raises(SlmError, match=r"vocab\.json"):
        open_model(auton_checkpoint, words)
