"""llama-server's completions, settings, timings, properties and figures."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.answer_checks import RunMessage
from protocol.answers import ModelDescription, Planned, StatusReport
from protocol.dialects.llama_server.completion import (
    LlamaCompletionRequest,
    resolved,
    texts_in,
    to_run_requests,
)
from protocol.dialects.llama_server.completion_answer import LlamaCompletionStream, from_outcomes
from protocol.dialects.llama_server.figures import llama_families
from protocol.dialects.llama_server.properties import properties, slots
from protocol.dialects.llama_server.settings import generation_settings
from protocol.dialects.llama_server.timings import timings
from protocol.dialects.outcome import Outcome
from protocol.dialects.prompt_parts import UntokenizedText
from protocol.dialects.shape import read
from protocol.errors import InvalidRequest
from protocol.metric_family import HistogramSample, MetricFamily, Sample
from protocol.plan import ExecutionRequest, RunRequest
from protocol.prediction import Prediction
from protocol.record import ExecutionRecord
from protocol.summaries import ExecutionStatus, PlanEstimate, PrefixCacheReport
from tests.actors.fake_plans import make_plan
from tests.protocol.dialects.messages_factory import accepted, drawn, finished, metrics, outcome, record, tokens
from tests.protocol.dialects.sse_reader import read_events


def begins(text: str) -> UntokenizedText:
    return UntokenizedText(text, True)


def within(text: str) -> UntokenizedText:
    return UntokenizedText(text, False)


class Characters(dict[UntokenizedText, tuple[int, ...]]):
    """A vocabulary of characters, with 1 before what begins a prompt."""

    def __missing__(self, text: UntokenizedText) -> tuple[int, ...]:
        return (1,) * text.begins + tuple(map(ord, text.text))


def asked(**fields: Any) -> LlamaCompletionRequest:
    return read(LlamaCompletionRequest, resolved({"prompt": "a", **fields}, Characters(), ends=(2, 3)))


def requested(**fields: Any) -> ExecutionRequest:
    (run,) = to_run_requests(asked(**fields), "tiny")
    return run.execution


@pytest.mark.parametrize(
    ("prompt", "token_ids"),
    [
        ("ab", [(1, 97, 98)]),
        ([7, 8], [(7, 8)]),
        ([7, "a", 8, "a"], [(7, 97, 8, 97)]),
        (["a", 7], [(1, 97, 7)]),
        (["a", "b"], [(1, 97), (1, 98)]),
        ([[7, "a"], "b", {"prompt_string": "c"}], [(7, 97), (1, 98), (1, 99)]),
        ({"prompt_string": "a"}, [(1, 97)]),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, [(1, 97, 98)]),
    ],
)
def test_prompts_are_texts_token_ids_and_both_mixed(prompt: object, token_ids: list[tuple[int, ...]]) -> None:
    runs = to_run_requests(asked(prompt=prompt), "tiny")
    assert [run.prompt_token_ids for run in runs] == token_ids


@pytest.mark.parametrize(
    "prompt",
    [None, [], [[]], 7, True, [True], {}, {"prompt_string": "a", "multimodal_data": ["b"]}, {"content": "a"}],
)
def test_a_prompt_of_anything_else_is_refused(prompt: object) -> None:
    with pytest.raises(InvalidRequest):
        texts_in({"prompt": prompt})


def test_each_text_is_asked_for_once() -> None:
    content = {"prompt": ["a", ["b", "a", 7, "a"]], "logit_bias": [["a", 1], ["c", 2], [9, 3], ["10", 4]]}
    assert texts_in(content) == (begins("a"), begins("b"), within("a"), within("c"))


def test_a_prompt_without_tokens_is_left_to_the_engine_to_begin() -> None:
    (run,) = to_run_requests(read(LlamaCompletionRequest, {"prompt": [()]}), "tiny")
    assert (run.prompt, run.prompt_token_ids) == ("", None)


def test_the_defaults_are_the_dialects() -> None:
    execution = requested()
    sampling = execution.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p) == (0.8, 40, 0.95, 0.05)
    assert (execution.limits.max_tokens, execution.prefix_cache, execution.logprobs) == (2048, "on", None)
    assert requested(n_predict=-1).limits.max_tokens == 2048
    assert requested(n_predict=5, max_tokens=6, cache_prompt=False).prefix_cache == "off"
    assert requested(n_predict=5, max_tokens=6).limits.max_tokens == 5
    assert requested(max_tokens=6).limits.max_tokens == 6


@pytest.mark.parametrize(
    ("given", "biases"),
    [
        ([[7, 1.5], ["b", False]], {7: 1.5, 98: -10_000.0}),
        ({"7": 1, "ab": -2}, {7: 1.0, 97: -2.0, 98: -2.0}),
        (None, {}),
    ],
)
def test_biases_are_for_tokens_and_for_texts(given: object, biases: dict[int, float]) -> None:
    told = requested(logit_bias=given).sampling.logit_bias
    assert {one.token_id: one.bias for one in told} == biases


@pytest.mark.parametrize("given", ["a", [7], [[7]], [[7, "b"]], [[7, True]], [[None, 1]]])
def test_a_bias_of_anything_else_is_refused(given: object) -> None:
    with pytest.raises(InvalidRequest):
        asked(logit_bias=given)


def test_end_tokens_that_are_ignored_are_never_drawn() -> None:
    execution = requested(ignore_eos=True)
    assert {one.token_id: one.bias for one in execution.sampling.logit_bias} == {2: -10_000.0, 3: -10_000.0}
    assert not execution.stop.eos


def test_samplers_go_by_their_own_names() -> None:
    sampling = requested(
        samplers=["penalties", "top_k", "typ_p", "infill", "temperature"],
        dry_multiplier=0.5,
        dry_penalty_last_n=64,
        dry_sequence_breakers=["x"],
        mirostat=2,
        mirostat_eta=0.2,
    ).sampling
    penalties = ("repeat_penalty", "presence_penalty", "frequency_penalty")
    assert sampling.order == ("logit_bias", *penalties, "top_k", "typical_p", "temperature")
    assert (sampling.dry_multiplier, sampling.dry_last_n, sampling.dry_breakers) == (0.5, 64, ("x",))
    assert (sampling.mirostat_tau, sampling.mirostat_eta) == (5.0, 0.2)


@pytest.mark.parametrize("fields", [{"n_probs": 1, "post_sampling_probs": True}, {"mirostat": 1}, {"n_predict": 0}])
def test_what_the_engine_lacks_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        requested(**fields)


def test_probabilities_are_those_before_any_sampler() -> None:
    assert requested(n_probs=3).logprobs == 3


def answer(outcomes: list[Outcome], **fields: Any) -> Any:
    return from_outcomes(asked(**fields), outcomes, ["<s>Once"] * len(outcomes))


def test_the_answer_says_how_it_was_made() -> None:
    told = answer([outcome("Hel\nlo", stop="stop_string")])
    assert (told["content"], told["prompt"], told["has_new_line"]) == ("Hel\nlo", "<s>Once", True)
    assert (told["tokens"], told["tokens_predicted"], told["tokens_evaluated"]) == ((), 2, 3)
    assert (told["stop"], told["stop_type"], told["truncated"]) == (True, "word", False)
    assert told["generation_settings"]["n_predict"] == 512
    assert answer([outcome("Hello")], return_tokens=True)["tokens"] == (7, 8)


@pytest.mark.parametrize(
    ("stop", "kind", "truncated"),
    [("eos", "eos", False), ("max_tokens", "limit", False), ("context_full", "limit", True)],
)
def test_the_answer_says_how_it_ended(stop: Any, kind: str, truncated: bool) -> None:
    told = answer([outcome("Hello", stop=stop)])
    assert (told["stop_type"], told["truncated"], told["stopping_word"]) == (kind, truncated, "")


def test_of_several_answers_there_is_a_list() -> None:
    told = answer([outcome("a", "b"), outcome("c", "d")])
    assert [(one["index"], one["content"]) for one in told] == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]


def test_fields_are_told_as_far_as_they_are_asked_for() -> None:
    told = answer([outcome("Hello")], response_fields=["content", "generation_settings/n_predict", "x/y", "stop/z"])
    assert told == {"content": "Hello", "generation_settings/n_predict": 512}


def test_probabilities_have_the_text_of_each_token() -> None:
    made = Outcome(
        accepted(logprobs=1), (tokens("Hi", logprobs=(drawn(7, -0.5, t8=-1.0),)),), record("Hi"), {7: "Hi", 8: "né"}
    )
    (one,) = answer([made], n_probs=1)["completion_probabilities"]
    assert (one["id"], one["token"], one["logprob"]) == (7, "Hi", -0.5)
    assert one["top_logprobs"] == [{"id": 8, "token": "né", "bytes": (0x6E, 0xC3, 0xA9), "logprob": -1.0}]


def streamed(*messages: RunMessage, **fields: Any) -> list[Any]:
    stream = LlamaCompletionStream(asked(stream=True, **fields), ["Once"])
    return read_events(b"".join(stream.feed(0, one, {}) for one in messages) + stream.end())


def test_a_stream_ends_with_all_that_is_told() -> None:
    first, second, last = streamed(accepted(), tokens("He"), tokens("llo"), finished("Hello", stop="max_tokens"))
    assert [(one["content"], one["tokens"], one["stop"]) for one in (first, second)] == [
        ("He", [7], False),
        ("llo", [7], False),
    ]
    assert second["tokens_predicted"] == 2
    assert (last["content"], last["stop"], last["stop_type"], last["prompt"]) == ("", True, "limit", "Once")
    assert last["generation_settings"]["stream"] is True


def test_a_stream_with_probabilities_has_an_event_for_each_token() -> None:
    both = (drawn(7, -0.5, t8=-1.0), drawn(8, -0.25, t7=-2.0))
    stream = LlamaCompletionStream(asked(stream=True, n_probs=1), ["Once"])
    first, second = read_events(stream.feed(0, tokens("Hi", logprobs=both), {7: "H", 8: "i"}))
    assert [(one["content"], one["tokens"]) for one in (first, second)] == [("", [7]), ("Hi", [8])]
    assert [[p["id"] for p in one["completion_probabilities"]] for one in (first, second)] == [[7], [8]]


def timed(n: int, **changed: Any) -> ExecutionRecord:
    return record("Hello", metrics=metrics(tokens_total=n, prompt_tokens=10, **changed))


def test_rates_are_of_what_was_computed() -> None:
    told = timings(timed(5, cached_prompt_tokens=2, prefill_ms=4.0, decode_ms=8.0))
    assert (told["cache_n"], told["prompt_n"], told["predicted_n"]) == (2, 8, 5)
    assert (told["prompt_per_token_ms"], told["prompt_per_second"]) == (0.5, 2000.0)
    assert (told["predicted_per_token_ms"], told["predicted_per_second"]) == (2.0, 500.0)


def test_drafted_tokens_are_told_where_any_could_be() -> None:
    told = timings(timed(5, drafted_tokens=7, accepted_tokens=3))
    assert (told["draft_n"], told["draft_n_accepted"]) == (7, 3)
    assert "draft_n" not in timings(timed(5))


def test_one_token_takes_no_decode_and_what_is_not_known_is_null() -> None:
    told = timings(timed(1, prefill_ms=4.0, decode_ms=0.0))
    assert (told["predicted_per_token_ms"], told["predicted_per_second"]) == (0.0, 0.0)
    unknown = timings(timed(1, prefill_ms=None))
    assert (unknown["prompt_ms"], unknown["prompt_per_second"], unknown["predicted_per_second"]) == (None, None, None)


def test_settings_are_those_of_the_plan() -> None:
    (run,) = to_run_requests(asked(seed=7, n_predict=5, logit_bias=[[9, False], [8, 1]]), "tiny")
    told = generation_settings(make_plan(run), stream=False)
    assert (told["seed"], told["n_predict"], told["temperature"], told["ignore_eos"]) == (7, 5, 0.8, False)
    assert told["logit_bias"] == [{"token": 9, "bias": None}, {"token": 8, "bias": 1.0}]
    assert told["samplers"][0] == "penalties"
    assert told["samplers"][-1] == "temperature"


def planned(max_sequences: int) -> Planned:
    plan = make_plan(RunRequest(model="tiny", prompt="a", execution=ExecutionRequest(max_sequences=max_sequences)))
    names = list(PlanEstimate.model_fields)
    estimate = PlanEstimate(**dict.fromkeys(names, 1))
    prediction = Prediction(executions=0, reason="nothing is known")
    return Planned(request_id=0, plan=plan, plan_fingerprint=plan.fingerprint, estimate=estimate, prediction=prediction)


def status(*executions: ExecutionStatus) -> StatusReport:
    return StatusReport(
        request_id=0,
        engine_version="0.1.0",
        pid=1,
        uptime_s=2.0,
        executions=executions,
        models_loaded=(),
        memory_bytes={},
        prefix_cache=PrefixCacheReport(blocks=0, size_bytes=0, limit_bytes=0),
        energy={"source": "none"},
        finished_total=0,
    )


def execution(name: str, state: Any, model: str = "tiny") -> ExecutionStatus:
    return ExecutionStatus(execution_id=name, model=model, state=state, prompt_tokens=3, tokens_total=4)


def test_slots_are_the_sequences_that_a_model_may_run() -> None:
    told = slots(
        planned(3), status(execution("a", "running"), execution("b", "queued"), execution("c", "running", "x"))
    )
    assert [(one["id"], one["n_ctx"], one["is_processing"]) for one in told] == [
        (0, 4096, True),
        (1, 4096, False),
        (2, 4096, False),
    ]
    assert (told[0]["execution_id"], told[0]["n_prompt_tokens"], told[0]["n_decoded"]) == ("a", 3, 4)


def test_properties_name_the_file_and_not_its_folder() -> None:
    model = ModelDescription(
        request_id=0,
        name="tiny",
        path="/home/somebody/models/tiny.gguf",
        size_bytes=1,
        gguf_version=3,
        architecture="llama",
        metadata={"tokenizer.chat_template": "{{ messages }}"},
        tensors=(),
        parameters_total=1,
        recipes=(),
        memory=None,
    )
    told = properties(planned(3), model, status())
    assert (told["model_path"], told["chat_template"], told["total_slots"]) == ("tiny.gguf", "{{ messages }}", 3)
    assert told["default_generation_settings"]["n_ctx"] == 4096


def family(name: str, **values: float) -> MetricFamily:
    samples = tuple(Sample(labels={"state": label, "kind": label}, value=value) for label, value in values.items())
    return MetricFamily(name=name, kind="counter", help="", samples=samples)


def seconds(name: str, total: float) -> MetricFamily:
    sample = HistogramSample(labels={}, bounds=(1.0,), counts=(1, 0), sum=total)
    return MetricFamily(name=name, kind="histogram", help="", histograms=(sample,))


def test_figures_have_llama_servers_names_too() -> None:
    families = (
        family("engine_prompt_tokens_total", a=30, b=20),
        family("engine_cached_prompt_tokens_total", a=10),
        seconds("engine_prefill_seconds", 4.0),
        family("engine_steps_total", a=8),
        family("engine_step_rows_total", prefill=40, decode=16),
        family("engine_executions_in_progress", running=2, loading=1, queued=5),
        family("engine_drafted_tokens_total", a=20, b=1),
    )
    told = {one.name: [sample.value for sample in one.samples] for one in llama_families(families)}
    assert told["llamacpp:prompt_tokens_total"] == [40]
    assert told["llamacpp:prompt_tokens_seconds"] == [10.0]
    assert told["llamacpp:n_busy_slots_per_decode"] == [2.0]
    assert told["llamacpp:requests_processing"] == [3]
    assert told["llamacpp:requests_deferred"] == [5]
    assert told["llamacpp:spec_decode_num_draft_tokens_total"] == [21]
    assert told["llamacpp:spec_decode_num_accepted_tokens_total"] == []
    assert told["llamacpp:tokens_predicted_total"] == []
    assert told["llamacpp:predicted_tokens_seconds"] == []
