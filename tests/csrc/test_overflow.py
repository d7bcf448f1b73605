"""Finite weights that give NaN or infinities: an error that says where, and never an answer."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine import _core
from tests.csrc.loop_bench import LoopBench, place_of
from tests.support.architecture_models import CASES, write_architecture_model
from tests.support.damaged_models import ModelFile
from tests.support.kernel_tables import ALL_TABLES
from tests.support.tiny_models import tiny_model, tiny_path, tiny_prompt, tiny_vocabulary

Place = tuple[str, int | None, int]
PROMPT = [5, 6, 7, 8, 9]
_directory = tempfile.TemporaryDirectory(prefix="overflowing-models-")

# A tensor, how many times as large it is, and which part of the model the overflow is then seen in.
LLAMA: dict[str, tuple[float, str, int | None]] = {
    "token_embd.weight": (1e21, "embedding", None),
    "blk.1.attn_norm.weight": (1e38, "attention", 1),
    "blk.0.attn_q.weight": (1e39, "attention", 0),
    "blk.1.attn_k.weight": (1e12, "attention", 1),
    "blk.0.attn_v.weight": (1e12, "attention", 0),
    "blk.1.attn_output.weight": (1e39, "attention", 1),
    "blk.0.ffn_norm.weight": (1e38, "feed_forward", 0),
    "blk.1.ffn_gate.weight": (1e39, "feed_forward", 1),
    "blk.0.ffn_up.weight": (1e39, "feed_forward", 0),
    "blk.1.ffn_down.weight": (1e39, "feed_forward", 1),
    "output_norm.weight": (1e39, "output", None),
    "output.weight": (1e39, "output", None),
}
# The same of what only some architectures have.
OTHERS: dict[tuple[str, str], tuple[float, str, int | None]] = {
    ("gemma2", "blk.1.attn_k.weight"): (1e39, "attention", 1),  # behind a soft cap of scores
    ("gemma2", "token_embd.weight"): (1e21, "embedding", None),
    ("gemma2", "output_norm.weight"): (1e39, "output", None),  # behind a soft cap of logits
    ("gemma2", "blk.2.post_attention_norm.weight"): (1e39, "attention", 2),
    ("gemma3", "blk.3.post_ffw_norm.weight"): (1e39, "feed_forward", 3),
    ("qwen3", "blk.2.attn_q_norm.weight"): (1e39, "attention", 2),
    ("olmo2", "blk.1.attn_v.weight"): (1e39, "attention", 1),
    ("olmo2", "blk.2.ffn_up.weight"): (1e39, "feed_forward", 2),
    ("phi3", "blk.1.attn_qkv.weight"): (1e39, "attention", 1),
    ("qwen2", "blk.3.attn_q.bias"): (1e39, "attention", 3),
    ("qwen3moe", "blk.1.ffn_gate_inp.weight"): (1e39, "feed_forward", 1),
    ("qwen3moe", "blk.2.ffn_down_exps.weight"): (1e39, "feed_forward", 2),
    ("qwen2moe", "blk.0.ffn_gate_inp_shexp.weight"): (1e39, "feed_forward", 0),
    ("olmoe", "blk.3.ffn_up_exps.weight"): (1e39, "feed_forward", 3),
    ("arcee", "blk.1.ffn_up.weight"): (1e39, "feed_forward", 1),
    ("glm4moe", "blk.2.ffn_gate_inp.weight"): (1e39, "feed_forward", 2),  # one score of a sigmoid is enough
    ("command-r", "blk.1.attn_output.weight"): (1e39, "attention", 1),  # which the feed-forward beside it does not read
    ("command-r", "blk.1.ffn_up.weight"): (1e39, "feed_forward", 1),
    ("gpt2", "position_embd.weight"): (1e21, "embedding", None),
    ("gpt2", "blk.2.attn_norm.bias"): (1e39, "attention", 2),
    ("gpt-oss", "blk.1.ffn_down_exps.bias"): (1e39, "feed_forward", 1),
    ("gpt-oss", "blk.2.ffn_gate_inp.weight"): (1e39, "feed_forward", 2),
    ("deepseek2", "blk.1.attn_k_b.weight"): (1e39, "attention", 1),
    ("deepseek2", "blk.2.attn_v_b.weight"): (1e39, "attention", 2),
}  # fmt: skip


@functools.cache
def whole_file(case: str) -> ModelFile:
    if case == "tiny":
        return ModelFile(tiny_path(tensor_type="F32", tied=False))
    return ModelFile(write_architecture_model(Path(_directory.name) / f"{case}.gguf", **CASES[case]))


@functools.cache
def overflowing_model(case: str, tensor: str, factor: float, row: int | None, table: str) -> _core.Model:
    path = Path(_directory.name) / f"{case}-{tensor}-{factor}-{row}.gguf"
    whole_file(case).scaled(path, tensor, factor, row)
    return _core.Model.load(str(path), table, 1)


def run(model: _core.Model, prompt: list[int] = PROMPT, **options: object) -> Place | None:
    """Place at which the run says that it failed; a failed run must have given nothing."""
    with LoopBench(tiny_vocabulary()) as bench:
        story = bench.run(model, prompt, **options)
    assert story.stop_reasons == ["error"]
    assert story.token_ids == []
    assert "not finite" in story.error
    return story.non_finite


def evaluate(model: _core.Model, prompt: list[int] = PROMPT) -> Place:
    evaluation = _core.TextEvaluation(model, None, [*prompt, *prompt], window=2 * len(prompt), threads=1, bos=None)
    with pytest.raises(_core.NonFiniteResultError, match="window 0 of the text: ") as failure:
        evaluation.run()
    return place_of(failure.value.place)


def embed(model: _core.Model, prompt: list[int] = PROMPT) -> Place:
    embedding = _core.TextEmbedding(model, [prompt], pooling="mean", normalize=True, threads=1)
    with pytest.raises(_core.NonFiniteResultError, match="text 0: ") as failure:
        embedding.run()
    return place_of(failure.value.place)


def logits(model: _core.Model, prompt: list[int] = PROMPT) -> Place:
    with pytest.raises(_core.NonFiniteResultError, match="not finite") as failure:
        model.logits([prompt])
    return place_of(failure.value.place)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("tensor", LLAMA)
def test_an_overflow_is_said_to_be_where_it_is(tensor: str, table: str) -> None:
    factor, part, layer = LLAMA[tensor]
    model = overflowing_model("tiny", tensor, factor, None, table)
    at_end = (part, layer) in (("feed_forward", 1), ("output", None))  # which is read of positions with logits alone
    assert run(model) == (part, layer, len(PROMPT) - 1 if at_end else 0)
    assert evaluate(model) == (part, layer, len(PROMPT) if at_end else 0)
    assert logits(model) == (part, layer, 0)
    if tensor != "output.weight":  # which vectors do without
        assert embed(model) == (part, layer, 0)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize(("case", "tensor"), OTHERS)
def test_other_architectures_hide_none(case: str, tensor: str, table: str) -> None:
    factor, part, layer = OTHERS[case, tensor]
    assert logits(overflowing_model(case, tensor, factor, None, table)) == (part, layer, 0)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("kv_cache", ["f16", "q8_0"])
@pytest.mark.parametrize("tensor", ["blk.1.attn_k.weight", "blk.1.attn_v.weight"])
def test_a_key_or_value_too_large_for_the_cache(tensor: str, kv_cache: str, table: str) -> None:
    case = "llama" if kv_cache == "f16" else "gemma2"  # whose heads have a multiple of 32 channels
    assert run(overflowing_model(case, tensor, 1e9, None, table), kv_cache=kv_cache) == ("attention", 1, 0)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("chunk", [1, 3, 4, 256])
@pytest.mark.parametrize("operation", [run, evaluate, embed, logits])
def test_the_first_position_is_named_however_the_prompt_is_cut(
    operation: Callable[[_core.Model, list[int]], Place], chunk: int, table: str
) -> None:
    """Token 9 alone is too large."""
    model = overflowing_model("tiny", "token_embd.weight", 1e21, 9, table)
    prompt = [5, 6, 7, 8, 9, 5, 9, 6]
    options = {"prefill_chunk": chunk} if operation is run else {}
    assert operation(model, prompt, **options) == ("embedding", None, 4)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_a_single_logit_of_minus_infinity_is_no_answer(tmp_path: Path, table: str) -> None:
    """It would never be the largest."""
    path = tiny_path(tensor_type="F32", tied=False)
    embedding = _core.TextEmbedding(
        _core.Model.load(str(path), table, 1), [PROMPT], pooling="last", normalize=False, threads=1
    )
    embedding.run()
    file = whole_file("tiny")
    head = file.tensors["output.weight"]
    row = (-3.4e38 * np.sign(embedding.vectors[0])).astype(np.float32)
    damaged = file.having(tmp_path / "damaged.gguf", {head.begin + 40 * head.row_bytes: row.tobytes()})
    assert run(_core.Model.load(str(damaged), table, 1)) == ("output", None, len(PROMPT) - 1)


MIROSTAT = {"temperature": 0.8, "mirostat_tau": 2.0}
ALL_OTHERS = {"temperature": 0.8, "top_p": 0.9, "typical_p": 0.9, "min_p": 0.1, "top_k": 40, "repeat_penalty": 1.3,
              "dry_multiplier": 0.8, "xtc_probability": 1.0}  # fmt: skip


@pytest.mark.parametrize("sampling", [{}, MIROSTAT, ALL_OTHERS], ids=["greedy", "mirostat", "all others"])
@pytest.mark.parametrize("options", [{}, {"choices": 3}, {"logprobs": 3}, {"op_times": True}], ids=str)
def test_no_sampler_draws_from_it(sampling: dict[str, float], options: dict[str, object]) -> None:
    model = overflowing_model("tiny", "output.weight", 1e39, None, "reference")
    with LoopBench(tiny_vocabulary()) as bench:
        bench.submit(1, model, PROMPT, **options, **sampling)  # type: ignore[arg-type]
        stories = bench.finish_choices(1)
    assert len(stories) == options.get("choices", 1)
    for story in stories:
        assert (story.stop_reasons, story.token_ids) == (["error"], [])
        assert story.non_finite == ("output", None, len(PROMPT) - 1)


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("threads", [1, 2])
def test_neighbours_in_the_batch_are_what_they_are_alone(table: str, threads: int) -> None:
    """One of a batch meets a token that is too large in its prompt's second chunk, the others go on."""
    model = overflowing_model("tiny", "token_embd.weight", 1e21, 9, table)
    prompts = {1: [t for t in tiny_prompt(40, seed=1) if t != 9], 2: [*[5] * 20, 9], 3: [6, 7, 8]}
    options = {"threads": threads, "prefill_chunk": 16, "max_tokens": 12, "temperature": 0.7, "seed": 3}
    with LoopBench(tiny_vocabulary()) as bench:
        alone = {number: bench.run(model, prompts[number], **options).result for number in (1, 3)}
    with LoopBench(tiny_vocabulary()) as bench:
        for number, prompt in prompts.items():
            bench.submit(number, model, prompt, **options)  # type: ignore[arg-type]
        bench.finish(*prompts)
        assert {number: bench.stories[number].result for number in (1, 3)} == alone
        assert bench.stories[2].non_finite == ("embedding", None, 20)
        assert bench.occupancy() == {"sequences": 0, "kv_cache_bytes": 0}


def test_nothing_of_it_stays_for_later_sequences() -> None:
    """The first blocks of the prompt are finite; they are not kept, and not found."""
    model = overflowing_model("tiny", "token_embd.weight", 1e21, 9, "reference")
    prompt = [5] * 150
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 24) as bench:
        failed = bench.run(model, [*prompt, 9], prefix_cache=True)
        assert failed.non_finite == ("embedding", None, 150)
        later = bench.run(model, prompt, prefix_cache=True)
        assert later.cached_prompt_tokens == 0
        assert later.stop_reasons == ["max_tokens"]


def test_while_decoding_it_ends_behind_what_was_given(tmp_path: Path) -> None:
    """The token that is drawn first, alone, is too large: what came before it was an answer."""
    first, *_ = _drawn(tiny_model(tensor_type="F32", tied=False))
    model = overflowing_model("tiny", "token_embd.weight", 1e21, first, "reference")
    with LoopBench(tiny_vocabulary()) as bench:
        story = bench.run(model, PROMPT, max_tokens=5)
    assert story.token_ids == [first]
    assert story.stop_reasons == ["error"]
    assert story.non_finite == ("embedding", None, len(PROMPT))


def _drawn(model: _core.Model) -> list[int]:
    with LoopBench(tiny_vocabulary()) as bench:
        return bench.run(model, PROMPT, max_tokens=5).token_ids
