"""Experiments, from their declaration to what is told of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from protocol.blocking import BlockingClient
from protocol.errors import InvalidRequest, RequestRefused, UnknownEntry
from protocol.experiment import ExperimentRecord
from protocol.experiment_messages import (
    Experiment,
    ExperimentDeclared,
    Experimented,
    ExperimentProgress,
    Experiments,
    GetExperiment,
    PairMeasured,
)
from protocol.record_entry import FinishedEntry
from protocol.requests import GetExecution, ListExecutions, StopExperiment, VerifyRecords
from tests.requirements.execution import run
from tests.requirements.llama import NAME

PROMPTS = ("Olá mundo", "Explique inferência eficiente", "Bom dia")


def make_experiment(*candidates: dict[str, Any], **fields: Any) -> Experiment:
    """An experiment with open plans; ``fields``: of the message. Each candidate says in what it differs."""
    plan = {"model": NAME, "limits": {"max_tokens": 6}, "stop": {"eos": False}, **fields.pop("plan", {})}
    content = {
        "request_id": 0,
        "baseline": plan,
        "candidates": [{**plan, **candidate} for candidate in candidates or ({"threads": 1},)],
        "workload": [{"prompt": prompt} for prompt in PROMPTS],
        "pairs": 4,
        **fields,
    }
    return Experiment.model_validate_json(json.dumps(content))


def test_an_experiment_runs_what_it_declared_in_interleaved_pairs(client: BlockingClient) -> None:
    messages = list(client.follow(make_experiment(note="threads", agent="tester")))
    declared, done = messages[0], messages[-1]
    assert isinstance(declared, ExperimentDeclared)
    assert isinstance(done, Experimented)
    record = done.experiment
    assert (record.ended, record.agent, record.note) == ("complete", "tester", "threads")
    assert [one.arm for one in record.executions] == [0, 1, 0, 1, 1, 0, 0, 1, 1, 0]
    assert [one.pair for one in record.executions] == [None, None, 0, 0, 1, 1, 2, 2, 3, 3]
    assert [(one.arm, one.input, one.pair) for one in record.executions] == [
        (one.arm, one.input, one.pair) for one in declared.declaration.schedule
    ]
    assert [pair.baseline_first for pair in record.pairs] == [True, False, True, False]
    assert list(record.pairs) == [one.pair for one in messages if isinstance(one, PairMeasured)]
    assert max(one.done for one in messages if isinstance(one, ExperimentProgress)) == 10


def test_each_execution_of_an_experiment_has_a_record_that_says_where_it_belongs(client: BlockingClient) -> None:
    record = client.ask(make_experiment(pairs=1)).experiment
    for one in record.executions:
        entry = client.ask(GetExecution(execution_id=one.execution_id)).entry
        assert isinstance(entry, FinishedEntry)
        place = entry.record.experiment
        assert place is not None
        assert (place.experiment_id, place.arm, place.input, place.pair) == (
            record.experiment_id, one.arm, one.input, one.pair,
        )  # fmt: skip
        assert entry.record.plan_fingerprint == record.plan_fingerprints[one.arm]
        assert entry.record.logits_digest == one.logits_digest
    assert run(client).experiment is None


def test_one_plan_answers_every_input(client: BlockingClient) -> None:
    record = client.ask(make_experiment({"kv_cache": "q8_0"}, pairs=3)).experiment
    assert len(set(record.plan_fingerprints)) == len(record.plans) == 2
    (result,) = record.arms
    assert [difference.field for difference in result.differences] == ["kv_cache"]
    assert result.same_output is False


def test_plans_that_change_no_bit_have_the_same_output(client: BlockingClient) -> None:
    (result,) = client.ask(make_experiment({"prefill_chunk": 16})).experiment.arms
    assert (result.same_output, result.pairs) == (True, 4)


def test_figures_are_those_of_the_records(client: BlockingClient) -> None:
    record = client.ask(make_experiment(pairs=6, metrics=["tokens_per_sec", "joules_total"])).experiment
    for pair in record.pairs:
        rates = []
        for name in (pair.baseline_execution, pair.candidate_execution):
            entry = client.ask(GetExecution(execution_id=name)).entry
            assert isinstance(entry, FinishedEntry)
            assert entry.record.metrics.tokens_per_sec is not None
            rates.append(entry.record.metrics.tokens_per_sec)
        assert pair.log_ratios["tokens_per_sec"] == pytest.approx(math.log(rates[1] / rates[0]))
    speed, joules = record.arms[0].figures
    assert speed.median_log_ratio is None or speed.median_ratio == pytest.approx(math.exp(speed.median_log_ratio))
    # Energy is a formula's here.
    assert (joules.median_ratio, joules.interval, joules.pairs) == (None, None, 0)
    assert joules.reason


def test_what_a_client_is_told_is_in_the_chain(client: BlockingClient) -> None:
    done = client.ask(make_experiment(pairs=1))
    shown = client.ask(GetExperiment(experiment_id=done.experiment.experiment_id))
    assert (shown.experiment, shown.hash) == (done.experiment, done.hash)
    assert shown.declaration.workload[1].prompt == PROMPTS[1]
    (newest, *_) = client.ask(Experiments()).experiments
    assert (newest.experiment_id, newest.ended, newest.pairs) == (done.experiment.experiment_id, "complete", 1)
    assert client.ask(VerifyRecords()).report.fault is None
    # A list of executions is of executions alone.
    assert {one.stop_reason for one in client.ask(ListExecutions(limit=4)).executions} == {"max_tokens"}


def test_an_agent_stops_an_experiment_and_keeps_its_whole_pairs(client: BlockingClient, engine: Path) -> None:
    replies = client.follow(make_experiment(pairs=500))
    with BlockingClient.connect(engine, timeout=60) as agent:
        for reply in replies:
            if isinstance(reply, PairMeasured):
                stop = StopExperiment(experiment_id=reply.experiment_id, agent="tester", reason="enough is known")
                agent.ask(stop)
                break
        done = list(replies)[-1]
        assert isinstance(done, Experimented)
        record = done.experiment
        assert (record.ended, record.reason) == ("stopped", "tester stopped it: enough is known")
        assert 1 <= len(record.pairs) < 500
        assert all(pair.pair is not None for pair in record.pairs)
        assert record.arms[0].pairs == len(record.pairs)
        with pytest.raises(UnknownEntry):
            agent.ask(StopExperiment(experiment_id=record.experiment_id))


def test_an_experiment_ends_with_its_client(client: BlockingClient, engine: Path) -> None:
    with BlockingClient.connect(engine, timeout=60) as gone:
        declared = next(gone.follow(make_experiment(pairs=500)))
        assert isinstance(declared, ExperimentDeclared)
    # The next waits until the first is over.
    client.ask(make_experiment(pairs=1))
    shown = client.ask(GetExperiment(experiment_id=declared.declaration.experiment_id))
    assert shown.experiment is not None
    assert (shown.experiment.ended, bool(shown.experiment.reason)) == ("stopped", True)


def test_whole_plans_are_run_as_they_are(client: BlockingClient) -> None:
    first = client.ask(make_experiment(pairs=1))
    plans = [json.loads(plan.model_dump_json()) for plan in first.experiment.plans]
    again = client.ask(make_experiment(pairs=1, baseline=plans[1], candidates=[plans[0]]))
    assert again.experiment.plan_fingerprints == first.experiment.plan_fingerprints[::-1]


def test_an_experiment_whose_plan_cannot_be_carried_out_is_not_declared(client: BlockingClient) -> None:
    before = client.ask(Experiments()).experiments
    with pytest.raises(RequestRefused) as refused:
        client.ask(make_experiment({"threads": 4096}))
    assert (refused.value.params["arm"], refused.value.params["input"]) == (1, 0)
    assert refused.value.message.startswith("candidate 1, input 0: ")
    assert client.ask(Experiments()).experiments == before


def test_an_evaluation_is_made_once_for_each_arithmetic(client: BlockingClient) -> None:
    text = {"text": "Era uma vez um modelo. " * 30, "window": 16, "max_windows": 4}
    first = client.ask(make_experiment({"quantization": "q4_k_m"}, {"threads": 1}, pairs=1, evaluation=text)).experiment
    base, four_bits, threads = first.evaluations
    assert (base.cached, four_bits.cached, threads.cached) == (False, False, True)
    assert (base.quantization, four_bits.quantization, four_bits.against) == ("native", "q4_k_m", "native")
    assert four_bits.quality.against_base is not None
    assert base.quality == threads.quality
    assert (four_bits.against_kv_cache, threads.against, base.quality.against_base) == ("f16", None, None)
    again = client.ask(make_experiment({"quantization": "q4_k_m"}, pairs=1, evaluation=text)).experiment
    assert [each.cached for each in again.evaluations] == [True, True]
    assert again.evaluations[1].quality == four_bits.quality


def test_the_type_of_the_kv_cache_alone_is_another_arithmetic(client: BlockingClient) -> None:
    text = {"text": "Era uma vez um modelo pequeno. " * 30, "window": 16, "max_windows": 4}
    candidates = ({"kv_cache": "q8_0"}, {"kv_cache": "q8_0", "quantization": "q4_k_m"})
    base, cache, both = client.ask(make_experiment(*candidates, pairs=1, evaluation=text)).experiment.evaluations
    assert base.quality.against_base is None
    assert (cache.kv_cache, cache.against, cache.against_kv_cache) == ("q8_0", "native", "f16")
    for one in (cache, both):
        assert one.quality.against_base is not None
        assert one.quality.against_base.base_perplexity == base.quality.perplexity
        assert one.quality.against_base.divergence_mean > 0


def test_an_experiment_has_one_model(client: BlockingClient, home: Path) -> None:
    from tests.support.gguf_factory import write_tiny_model  # noqa: PLC0415

    write_tiny_model(home / "models" / "other.gguf")
    with pytest.raises(InvalidRequest, match="one model"):
        client.ask(make_experiment({"model": "other"}))


def test_an_experiment_says_which_features_of_the_processor_it_used(client: BlockingClient) -> None:
    done = client.ask(make_experiment(pairs=1)).experiment
    shown = client.ask(GetExperiment(experiment_id=done.experiment_id))
    entry = client.ask(GetExecution(execution_id=done.executions[0].execution_id)).entry
    assert isinstance(entry, FinishedEntry)
    assert done.cpu_features == shown.declaration.cpu_features == entry.record.hardware.cpu_features
    assert done.cpu_features
    earlier = json.loads(done.model_dump_json(exclude={"cpu_features"}))
    assert ExperimentRecord.model_validate_json(json.dumps(earlier)).cpu_features is None


def test_a_text_shorter_than_a_window_is_refused_before_anything_is_declared(client: BlockingClient) -> None:
    before = client.ask(Experiments()).experiments
    with pytest.raises(InvalidRequest, match="give a longer text or a smaller window") as refused:
        client.ask(make_experiment(evaluation={"text": "Era uma vez.", "window": 64}))
    assert refused.value.params["field"] == "evaluation.text"
    assert client.ask(Experiments()).experiments == before


def test_no_more_pairs_than_an_answer_holds() -> None:
    with pytest.raises(ValueError, match="2000 at most"):
        make_experiment({"threads": 1}, {"threads": 2}, pairs=1001)
