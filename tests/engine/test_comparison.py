"""Two records side by side: repeats are held to tolerances, and what tells plans apart is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records.comparison import compare_output, compare_repeat, compare_variant
from protocol.comparison import RepeatVerdict, VariantComparison
from protocol.errors import InvalidRequest
from tests.engine.compared_records import HARDWARE, first, power, ratio_of, refused, second, speed, verdict_on
from tests.engine.record_factory import measured, plan_with


def test_the_same_output_at_the_same_speed_is_a_repeat() -> None:
    verdict = compare_repeat(first(), second())
    assert verdict.repeated is True
    assert (verdict.execution_a, verdict.execution_b) == ("a", "b")
    assert verdict.output.same
    assert verdict.output.logits_digest is True
    assert [metric.metric for metric in verdict.metrics] == ["tokens_per_sec", "watts_avg"]


@pytest.mark.parametrize(
    ("tokens_per_sec", "within"), [(100.0, True), (103.0, True), (97.0, True), (103.1, False), (96.9, False)]
)
def test_speed_is_held_to_three_percent(tokens_per_sec: float, within: bool) -> None:
    verdict = compare_repeat(first(), second(metrics=speed(tokens_per_sec)))
    judged = verdict_on("tokens_per_sec", verdict)
    assert (judged.within, judged.tolerance) == (within, 0.03)
    assert judged.relative_difference == pytest.approx(tokens_per_sec / 100 - 1)
    assert (verdict.within_tolerances, verdict.repeated) == (within, within)


@pytest.mark.parametrize(("watts", "within"), [(20.0, True), (21.0, True), (19.0, True), (21.1, False), (18.9, False)])
def test_power_is_held_to_five_percent(watts: float, within: bool) -> None:
    verdict = compare_repeat(
        first(metrics=power(20.0, measured())),
        second(metrics=power(watts, measured())),
    )
    assert verdict_on("watts_avg", verdict).within is within
    assert verdict.repeated is within


def test_what_is_unknown_is_not_judged_and_says_why() -> None:
    verdict = compare_repeat(first(), second(metrics=speed(None)))
    judged = verdict_on("tokens_per_sec", verdict)
    assert (judged.within, judged.reason) == (None, "B: tokens_per_sec is not known")
    assert "its energy is unavailable, not measured (this machine has no powercap zones)" in str(
        verdict_on("watts_avg", verdict).reason
    )
    assert (verdict.within_tolerances, verdict.repeated) == (None, None)


def test_a_shared_machine_leaves_a_repeat_undecided() -> None:
    shared = power(20.0, measured(contended=True))
    verdict = compare_repeat(first(), second(metrics=shared))
    assert [metric.within for metric in verdict.metrics] == [None, None]
    assert verdict_on("tokens_per_sec", verdict).reason == "B: other processes used the CPU at the same time"
    assert verdict.repeated is None


def test_a_prompt_found_in_the_prefix_cache_by_one_alone_leaves_a_repeat_undecided() -> None:
    plan = plan_with(prefix_cache="on")
    hit = speed(200.0).model_copy(update={"cached_prompt_tokens": 1})
    miss = speed(100.0).model_copy(update={"cached_prompt_tokens": 0})
    verdict = compare_repeat(first(plan=plan, metrics=miss), second(plan, metrics=hit))
    reason = "A found 0 tokens of its prompt in the prefix cache and B 1"
    assert verdict_on("tokens_per_sec", verdict).reason == reason
    assert (verdict.output.same, verdict.repeated) == (True, None)
    ratios = compare_variant(first(plan=plan, metrics=miss), second(plan, metrics=hit), ()).ratios
    assert next(ratio for ratio in ratios if ratio.metric == "tokens_per_sec").reason == reason
    tried = compare_variant(first(metrics=miss), second(plan, metrics=hit), ("prefix_cache",)).ratios
    assert next(ratio for ratio in tried if ratio.metric == "tokens_per_sec").better == "b"


def test_no_number_is_unknown() -> None:
    hostile = speed(100.0).model_copy(update={"tokens_per_sec": float("nan")})
    verdict = compare_repeat(first(metrics=hostile), second())
    judged = verdict_on("tokens_per_sec", verdict)
    assert (judged.a, judged.within, judged.reason) == (None, None, "A: tokens_per_sec is not known")


def test_nothing_is_divided_by_zero() -> None:
    judged = verdict_on("tokens_per_sec", compare_repeat(first(metrics=speed(0.0)), second()))
    assert (judged.relative_difference, judged.within, judged.reason) == (None, None, "A: tokens_per_sec is 0")


def test_a_ratio_beyond_all_numbers_is_not_given() -> None:
    ratio = ratio_of("tokens_per_sec", compare_variant(first(metrics=speed(1e-300)), second(metrics=speed(1e300)), ()))
    assert (ratio.ratio, ratio.better, ratio.reason) == (None, None, "the ratio is too large for a number")


def test_a_different_output_is_no_repeat_and_says_where_it_parts() -> None:
    verdict = compare_repeat(first(), second(token_ids=(7, 8, 5), result="Olá mundo!", logits_digest="f" * 32))
    assert verdict.repeated is False
    assert verdict.within_tolerances is True
    output = verdict.output
    assert (output.token_ids, output.result, output.logits_digest) == (False, False, False)
    assert (output.first_different_token, output.first_different_character) == (2, 9)


def test_equal_tokens_from_other_logits_are_no_repeat() -> None:
    verdict = compare_repeat(first(), second(logits_digest="f" * 32))
    assert (verdict.output.token_ids, verdict.output.logits_digest, verdict.repeated) == (True, False, False)


@pytest.mark.parametrize("stop_reason", ["cancelled", "client_gone", "shutdown", "max_watts", "max_joules", "deadline"])
def test_one_ended_early_is_held_to_what_it_has(stop_reason: str) -> None:
    early = second(
        token_ids=(7, 8),
        result="Olá m",
        stop_reason=stop_reason,
        logits_digest="f" * 32,
        metrics=speed(50, tokens_total=2),
    )
    for verdict in (compare_repeat(first(), early), compare_repeat(early, first())):
        assert verdict.output.same
        assert verdict.output.logits_digest is None
        assert verdict.output.reason == f"b was ended ({stop_reason}) after 2 tokens: compared as far"
        lengths = {"a": "A generated 3 tokens and B 2", "b": "A generated 2 tokens and B 3"}
        assert verdict_on("tokens_per_sec", verdict).reason == lengths[verdict.execution_a]
        assert verdict.repeated is None


def test_one_ended_early_on_another_way_is_no_repeat() -> None:
    early = second(token_ids=(7, 5), result="Olá?", stop_reason="cancelled", logits_digest="f" * 32)
    output = compare_output(first(), early)
    assert (output.same, output.first_different_token, output.first_different_character) == (False, 1, 3)


def test_one_that_ended_by_itself_is_held_to_all_of_it() -> None:
    output = compare_output(first(), second(token_ids=(7, 8), result="Olá mundo", stop_reason="eos"))
    assert (output.token_ids, output.first_different_token, output.result) == (False, 2, False)
    assert (output.logits_digest, output.reason) == (None, "the digests cover different numbers of tokens")


def test_executions_that_sampled_nothing_have_no_digest_to_compare() -> None:
    nothing: dict[str, Any] = {"token_ids": (), "result": "", "logits_digest": "", "stop_reason": "cancelled"}
    output = compare_output(first(**nothing), second(**nothing))
    assert (output.same, output.logits_digest) == (True, None)
    assert output.reason == "there is no digest of an execution that sampled nothing"


def test_where_the_model_was_found_is_no_difference() -> None:
    moved = plan_with(model_ref__path="/elsewhere.gguf", model_ref__name="other")
    assert compare_repeat(first(), second(moved)).repeated is True


def test_every_difference_is_named_with_both_values() -> None:
    b = second(
        plan_with(quantization="q8_0", limits__max_tokens=5, model_ref__content_hash="sha256:11"),
        hardware=HARDWARE.model_copy(update={"cpu_model": "another"}),
        engine_version="9.9",
        prompt_token_ids=(1, 5, 6),
    )
    assert refused(first(), b) == {
        "model_ref.content_hash": ("sha256:00", "sha256:11"),
        "quantization": ("native", "q8_0"),
        "limits.max_tokens": (512, 5),
        "prompt_token_ids": ("2 tokens, the same up to index 1", "3 tokens, the same up to index 1"),
        "hardware.cpu_model": ("test", "another"),
        "engine_version": ("0.0", "9.9"),
    }


def test_a_variant_refuses_what_was_not_named() -> None:
    b = second(plan_with(quantization="q8_0", limits__max_tokens=5))
    assert refused(first(), b, "quantization") == {"limits.max_tokens": (512, 5)}
    assert refused(first(), b, "limits.max_tokens") == {"quantization": ("native", "q8_0")}
    assert refused(first(), b, "limits.max_watts", "quantization") == {"limits.max_tokens": (512, 5)}


@pytest.mark.parametrize(
    "field", ["quantisation", "limits.max_parsecs", "hardware.cpu_model", "", "limits.", "prompt_token_ids"]
)
def test_a_variant_names_fields_of_the_plan(field: str) -> None:
    with pytest.raises(InvalidRequest, match="no field") as error:
        compare_variant(first(), second(), (field,))
    assert "limits.max_tokens" in error.value.params["allowed"]
    assert "model_ref.name" not in error.value.params["allowed"]


@pytest.mark.parametrize("field", ["model_ref", "model_ref.content_hash", "schema_version"])
def test_a_variant_has_one_model_and_one_kind_of_plan(field: str) -> None:
    with pytest.raises(InvalidRequest, match="a variant has the same"):
        compare_variant(first(), second(), (field,))


def test_an_execution_is_not_compared_with_itself() -> None:
    for compare in (lambda: compare_repeat(first(), first()), lambda: compare_variant(first(), first(), ())):
        with pytest.raises(InvalidRequest, match="given twice"):
            compare()


FIGURES = st.none() | st.floats(0, 1e300) | st.sampled_from([float("nan"), float("inf")])


@given(a=FIGURES, b=FIGURES, watts_a=FIGURES, watts_b=FIGURES)
def test_every_figure_is_judged_or_says_why_not(
    a: float | None, b: float | None, watts_a: float | None, watts_b: float | None
) -> None:
    base = power(1.0, measured())
    left = first(metrics=base.model_copy(update={"tokens_per_sec": a, "watts_avg": watts_a}))
    right = second(metrics=base.model_copy(update={"tokens_per_sec": b, "watts_avg": watts_b}))
    for judged in compare_repeat(left, right).metrics:
        assert (judged.within is None) == (judged.reason is not None)
    for ratio in compare_variant(left, right, ()).ratios:
        assert (ratio.better is None) == (ratio.reason is not None)


def test_results_survive_json() -> None:
    b = second(plan_with(quantization="q8_0"), metrics=speed(150.0))
    result = compare_variant(first(), b, ("quantization",))
    assert VariantComparison.model_validate_json(result.model_dump_json()) == result
    verdict = compare_repeat(first(), second())
    assert RepeatVerdict.model_validate_json(verdict.model_dump_json()) == verdict
