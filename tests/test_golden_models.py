"""Models run by hand (``make test-models``): Qwen2.5-Coder-1.5B and Gemma 3 270M in Q4_K_M, stories15M in F32."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest

from engine import _core
from engine.artifact.content_hash import file_sha256
from engine.text.tokenizer import Tokenizer
from protocol.chat import ChatMessage
from tests.engine.chat_reference import rendering
from tests.golden.engine_run import compare_engine, greedy_answers
from tests.golden.golden_data import Comparison, mean_distances, read_golden
from tests.golden.prompts import QWEN2_CHAT
from tests.support.real_models import allowed_cpus, fast_kernel_table, hand_fetched

pytestmark = pytest.mark.models

NAMES = ("qwen2", "gemma3", "stories")


@dataclass(frozen=True)
class Run:
    comparisons: list[Comparison]
    answers: list[list[int]]
    """The run loop's, all prompts side by side."""


@cache
def run(name: str) -> Run:
    golden = read_golden(name)
    path, threads = hand_fetched(golden.model), allowed_cpus()
    assert file_sha256(path) == golden.model_sha256, "another file than the golden data was made with"
    model = _core.Model.load(str(path), fast_kernel_table(), threads)
    answers = greedy_answers(path, model, [prompt.token_ids for prompt in golden.prompts], 64, threads)
    return Run(compare_engine(golden, model, threads), answers)


@pytest.mark.parametrize("name", NAMES)
def test_answers_equal_llama_cpps_within_rounding(name: str) -> None:
    # Parting from llama.cpp for the exact choice needs no excuse.
    unexcused = {
        comparison.prompt.name: [parting for parting in comparison.partings if not (parting.excused or parting.exact)]
        for comparison in run(name).comparisons
    }
    assert unexcused == {comparison.prompt.name: [] for comparison in run(name).comparisons}
    for comparison, answer in zip(run(name).comparisons, run(name).answers, strict=True):
        equal = comparison.equal_tokens
        assert answer[:equal] == comparison.prompt.greedy_token_ids[:equal], comparison.prompt.name


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_no_further_from_exact_than_llama_cpps(name: str) -> None:
    ours, peers = mean_distances(run(name).comparisons)
    assert ours <= peers
    further = {c.prompt.name: c.distance for c in run(name).comparisons if c.distance > 1.5 * c.peer_distance}
    assert further == {}


@pytest.mark.parametrize("name", NAMES)
def test_best_tokens_are_the_exact_ones_as_often_as_llama_cpps(name: str) -> None:
    """The allowance is for ties that rounding decides: a per cent of the steps."""
    ours = sum(comparison.best_kept for comparison in run(name).comparisons)
    peers = sum(comparison.peer_best_kept for comparison in run(name).comparisons)
    steps = sum(len(comparison.prompt.greedy_token_ids) for comparison in run(name).comparisons)
    assert ours >= peers - steps // 100


@pytest.mark.parametrize("name", NAMES)
def test_tokenizer_reads_every_prompt_as_llama_cpp_does(name: str) -> None:
    golden = read_golden(name)
    tokenizer = Tokenizer(_core.GgufFile(str(hand_fetched(golden.model))))
    for prompt in golden.prompts:
        if prompt.text:  # without one the prompt is the BOS token, which no text spells
            assert tokenizer.encode(prompt.text, parse_special=True) == prompt.token_ids, prompt.name


def test_chat_prompt_is_what_the_models_own_template_renders() -> None:
    golden = read_golden("qwen2")
    template = _core.GgufFile(str(hand_fetched(golden.model))).get("tokenizer.chat_template")
    messages = [ChatMessage.model_validate({"role": role, "content": content}) for role, content in QWEN2_CHAT]
    texts = {prompt.name: prompt.text for prompt in golden.prompts}
    assert rendering(template, messages) == texts["chat"]
