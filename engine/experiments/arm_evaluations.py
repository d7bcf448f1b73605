"""How well an arm's arithmetic predicts a text: asked for once, and known again by all that it depends on. Pure."""

from __future__ import annotations

import hashlib
import json

from protocol.build import Build
from protocol.evaluation import EvaluationRequest
from protocol.experiment import ArmEvaluation, ExperimentText
from protocol.operation_answers import Evaluated
from protocol.plan import ExecutionPlan, KvCacheType
from protocol.quantization import Quantization
from protocol.requests import Evaluate


def evaluation_request(plan: ExecutionPlan, baseline: ExecutionPlan, text: ExperimentText) -> Evaluate:
    """What measures the plan's quantization and KV cache, beside the baseline's where one of the two is another."""
    quantization, kv_cache = _against(plan, baseline)
    return Evaluate(
        request=EvaluationRequest(
            model=plan.model_ref.path,
            quantization=plan.quantization,
            kv_cache=plan.kv_cache,
            backend=plan.backend,
            threads=plan.threads,
            text=text.text,
            window=text.window,
            max_windows=text.max_windows,
            against=quantization,
            against_kv_cache=kv_cache,
        )
    )


def evaluation_key(plan: ExecutionPlan, baseline: ExecutionPlan, text: ExperimentText, build: Build) -> str | None:
    """``sha256:`` and 64 hexadecimal digits of everything that the figures depend on; ``None`` where the build does not
    know what it computes."""
    if build.arithmetic is None:
        return None
    arithmetic = (build.arithmetic, plan.quantization, plan.kv_cache, *_against(plan, baseline))
    read = (text_digest(text), text.window, text.max_windows)
    content = json.dumps([plan.model_ref.content_hash, *arithmetic, *read], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()


def arm_evaluation(evaluated: Evaluated, text: ExperimentText) -> ArmEvaluation:
    """What an experiment keeps of it."""
    return ArmEvaluation(
        quantization=evaluated.plan.quantization,
        kv_cache=evaluated.plan.kv_cache,
        against=None if evaluated.against is None else evaluated.against.quantization,
        against_kv_cache=None if evaluated.against is None else evaluated.against.kv_cache,
        text_digest=text_digest(text),
        window=evaluated.window,
        windows=evaluated.windows,
        cached=False,
        quality=evaluated.quality,
    )


def text_digest(text: ExperimentText) -> str:
    """``sha256:`` and 64 hexadecimal digits of the text's UTF-8."""
    return "sha256:" + hashlib.sha256(text.text.encode("utf-8", "surrogateescape")).hexdigest()


def _against(plan: ExecutionPlan, baseline: ExecutionPlan) -> tuple[Quantization, KvCacheType] | tuple[None, None]:
    theirs = (baseline.quantization, baseline.kv_cache)
    return (None, None) if (plan.quantization, plan.kv_cache) == theirs else theirs
