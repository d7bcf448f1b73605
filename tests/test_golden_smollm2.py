"""SmolLM2 answers as llama.cpp does, and no further from exact arithmetic (docs/accuracy.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import _core
from engine.artifact.content_hash import file_sha256
from engine.text.tokenizer import Tokenizer
from tests.golden.engine_run import compare_engine, greedy_answers
from tests.golden.golden_data import Comparison, Golden, mean_distances, read_golden
from tests.support.real_models import allowed_cpus, fast_kernel_table

NAMES = [prompt.name for prompt in read_golden("smollm2").prompts]


@pytest.fixture(scope="module")
def golden(smollm2_path: Path) -> Golden:
    golden = read_golden("smollm2")
    assert file_sha256(smollm2_path) == golden.model_sha256, "another file than the golden data was made with"
    return golden


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> _core.Model:
    return _core.Model.load(str(smollm2_path), fast_kernel_table(), allowed_cpus())


@pytest.fixture(scope="module")
def comparisons(golden: Golden, model: _core.Model) -> dict[str, Comparison]:
    return {comparison.prompt.name: comparison for comparison in compare_engine(golden, model, allowed_cpus())}


def test_tokenizer_reads_every_prompt_as_llama_cpp_does(golden: Golden, smollm2_path: Path) -> None:
    tokenizer = Tokenizer(_core.GgufFile(str(smollm2_path)))
    for prompt in golden.prompts:
        if prompt.text:  # without one the prompt is the BOS token, which no text spells
            assert tokenizer.encode(prompt.text, parse_special=True) == prompt.token_ids, prompt.name


@pytest.mark.parametrize("name", NAMES)
def test_greedy_tokens_part_only_within_rounding(name: str, comparisons: dict[str, Comparison]) -> None:
    """Checked at all 64 steps of llama.cpp's path, those after a first parting too."""
    assert [parting for parting in comparisons[name].partings if not parting.excused] == []


def test_logits_are_no_further_from_exact_than_llama_cpps(comparisons: dict[str, Comparison]) -> None:
    ours, peers = mean_distances(list(comparisons.values()))
    assert ours <= peers


@pytest.mark.parametrize("name", NAMES)
def test_no_prompt_is_much_further_from_exact(name: str, comparisons: dict[str, Comparison]) -> None:
    """One prompt's figure is luck to a degree; a bug that shows in one kind of prompt alone is not."""
    assert comparisons[name].distance <= 1.5 * comparisons[name].peer_distance


def test_best_tokens_are_the_exact_ones_as_often_as_llama_cpps(comparisons: dict[str, Comparison]) -> None:
    """One per cent of the 1,088 steps is allowed for ties that rounding decides."""
    ours = sum(comparison.best_kept for comparison in comparisons.values())
    peers = sum(comparison.peer_best_kept for comparison in comparisons.values())
    steps = sum(len(comparison.prompt.greedy_token_ids) for comparison in comparisons.values())
    assert ours >= peers - steps // 100


def test_run_loop_answers_are_those_of_its_logits(
    golden: Golden, model: _core.Model, smollm2_path: Path, comparisons: dict[str, Comparison]
) -> None:
    """All prompts decoded side by side equal llama.cpp's answers up to where the logits themselves part."""
    prompts = [prompt.token_ids for prompt in golden.prompts]
    answers = greedy_answers(smollm2_path, model, prompts, 64, allowed_cpus())
    for prompt, answer in zip(golden.prompts, answers, strict=True):
        comparison = comparisons[prompt.name]
        equal = comparison.equal_tokens
        assert len(answer) == 64, prompt.name
        assert answer[:equal] == prompt.greedy_token_ids[:equal], prompt.name
        if comparison.partings:
            assert answer[equal] == comparison.partings[0].token_id, prompt.name
