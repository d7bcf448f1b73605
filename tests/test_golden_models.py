"""Models run by hand (``make test-models``): Qwen2.5-Coder-1.5B Q4_K_M and stories15M in F32."""

from __future__ import annotations

import pytest

from engine import _core
from tests.golden.engine_run import compare_engine, greedy_answers
from tests.golden.golden_data import mean_distances, read_golden
from tests.real_models import allowed_cpus, fast_kernel_table, file_sha256, hand_fetched

pytestmark = pytest.mark.models


@pytest.mark.parametrize("name", ["qwen2", "stories"])
def test_answers_equal_llama_cpps_within_rounding(name: str) -> None:
    golden = read_golden(name)
    path, threads = hand_fetched(golden.model), allowed_cpus()
    assert file_sha256(path) == golden.model_sha256, "another file than the golden data was made with"
    model = _core.Model.load(str(path), fast_kernel_table(), threads)

    comparisons = compare_engine(golden, model, threads)
    answers = greedy_answers(path, model, [prompt.token_ids for prompt in golden.prompts], 64, threads)

    # Where llama.cpp's own choice is not the exact one, parting from it for the exact one needs no excuse.
    unexcused = {c.prompt.name: [p for p in c.partings if not (p.excused or p.exact)] for c in comparisons}
    assert unexcused == {prompt.name: [] for prompt in golden.prompts}
    for comparison, answer in zip(comparisons, answers, strict=True):
        equal = comparison.equal_tokens
        assert answer[:equal] == comparison.prompt.greedy_token_ids[:equal], comparison.prompt.name
    ours, peers = mean_distances(comparisons)
    assert ours <= peers
