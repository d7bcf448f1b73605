"""What two records are worth to each other, by the builds that made them."""

from __future__ import annotations

import json

from engine.records.comparison import compare_repeat, compare_variant
from engine_ctl.execution_lines import repeat_lines, variant_lines
from protocol.build import Build
from protocol.record import ExecutionRecord
from tests.engine.compared_records import first, refused, second
from tests.engine.record_factory import plan_with

BUILD = Build(id="0" * 32, arithmetic="1" * 32, compiler="GNU 12.2.0", flags="-O3")
REBUILT = BUILD.model_copy(update={"id": "2" * 32, "compiler": "GNU 13.1.0"})
OTHERWISE = BUILD.model_copy(update={"id": "3" * 32, "arithmetic": "4" * 32})


def test_one_build_needs_no_word() -> None:
    verdict = compare_repeat(first(build=BUILD), second(build=BUILD))
    assert (verdict.build.same, verdict.build.arithmetic, verdict.build.reason) == (True, True, None)
    assert not any("build" in line for line in repeat_lines(verdict))


def test_another_build_of_the_same_arithmetic_may_repeat_and_is_named() -> None:
    verdict = compare_repeat(first(build=BUILD), second(build=REBUILT))
    assert (verdict.build.same, verdict.build.arithmetic, verdict.repeated) == (False, True, True)
    reason = f"id {'0' * 32} and {'2' * 32}; compiler GNU 12.2.0 and GNU 13.1.0"
    assert verdict.build.reason == reason
    assert f"other builds, of the same arithmetic: {reason}" in repeat_lines(verdict)


def test_builds_that_compute_otherwise_are_not_compared() -> None:
    assert refused(first(build=BUILD), second(build=OTHERWISE)) == {"build.arithmetic": ("1" * 32, "4" * 32)}
    b = second(plan_with(quantization="q8_0"), build=OTHERWISE)
    assert set(refused(first(build=BUILD), b, "quantization")) == {"build.arithmetic"}


def test_records_from_before_builds_were_told_apart_say_so() -> None:
    verdict = compare_repeat(first(), second(build=BUILD))
    assert (verdict.build.same, verdict.build.arithmetic) == (None, None)
    assert verdict.build.reason == "not known of a, recorded before builds were told apart"
    result = compare_variant(first(), second(plan_with(quantization="q8_0")), ("quantization",))
    told = "whether of one build: not known of a and b, recorded before builds were told apart"
    assert told in variant_lines(result)


def test_a_self_test_that_could_not_run_is_no_agreement() -> None:
    untested = BUILD.model_copy(update={"arithmetic": None, "reason": "the self-test could not run: no memory"})
    verdict = compare_repeat(first(build=untested), second(build=untested))
    assert (verdict.build.same, verdict.build.arithmetic, verdict.build.reason) == (True, None, untested.reason)
    assert f"one build, whether of one arithmetic: {untested.reason}" in repeat_lines(verdict)
    verdict = compare_repeat(first(build=BUILD), second(build=untested))
    assert (verdict.build.arithmetic, verdict.repeated) == (None, True)


def test_such_records_are_read() -> None:
    content = json.loads(first(build=BUILD).model_dump_json())
    del content["build"], content["hardware"]["cpu_features"], content["hardware"]["masked_cpu_features"]
    record = ExecutionRecord.model_validate_json(json.dumps(content))
    assert (record.build, record.hardware.cpu_features, record.hardware.masked_cpu_features) == (None, None, None)
