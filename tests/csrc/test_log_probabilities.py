"""Log probabilities of the tokens a run loop draws, against the model's own logits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.csrc.loop_bench import LoopBench
from tests.support.tiny_models import tiny_model, tiny_prompt


@pytest.mark.parametrize("table", ["reference", "cpu_avx2"])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.5, "top_k": 3, "repeat_penalty": 1.4}])
def test_they_are_those_of_the_models_own_logits(bench: LoopBench, table: str, sampling: dict[str, float]) -> None:
    model, prompt = tiny_model(table=table), tiny_prompt(20)
    story = bench.run(model, prompt, max_tokens=8, logprobs=5, seed=3, **sampling)
    logits = model.logits([prompt + story.token_ids], threads=1)[0][len(prompt) - 1 : -1].astype(np.float64)
    assert len(story.logprobs) == len(story.token_ids) == 8
    for row, token, (logprob, likeliest) in zip(logits, story.token_ids, story.logprobs, strict=True):
        expected = row - row.max() - math.log(np.exp(row - row.max()).sum())
        assert logprob == pytest.approx(expected[token], abs=1e-6)
        assert [each for each, _ in likeliest] == np.argsort(-row, kind="stable")[:5].tolist()
        assert [value for _, value in likeliest] == pytest.approx([expected[each] for each, _ in likeliest], abs=1e-6)
        assert dict(likeliest).get(token, logprob) == logprob


def test_they_come_only_when_asked_for(bench: LoopBench) -> None:
    assert bench.run(tiny_model(), tiny_prompt(5), max_tokens=3).logprobs == []
    alone = bench.run(tiny_model(), tiny_prompt(5), max_tokens=3, logprobs=0).logprobs
    assert [likeliest for _, likeliest in alone] == [[], [], []]


def test_a_small_vocabulary_has_no_more_than_it_has(bench: LoopBench) -> None:
    (_, likeliest), *_ = bench.run(tiny_model(), tiny_prompt(5), max_tokens=1, logprobs=100_000).logprobs
    assert len(likeliest) == tiny_model().vocab_size
    assert math.fsum(math.exp(value) for _, value in likeliest) == pytest.approx(1.0)
    assert [value for _, value in likeliest] == sorted((value for _, value in likeliest), reverse=True)


def test_asking_changes_no_token(bench: LoopBench) -> None:
    results = [
        bench.run(tiny_model(), tiny_prompt(9), max_tokens=20, temperature=1.0, seed=4, logprobs=logprobs).result
        for logprobs in (None, 0, 20)
    ]
    assert results[0] == results[1] == results[2]
