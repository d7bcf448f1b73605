"""Machines, models and requests of which plans are made, and the plans."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from engine.artifact.model_facts import ModelFacts
from engine.config import EngineConfig
from engine.host.machine import Machine
from engine.planning.prompt import PreparedPrompt
from engine.planning.resolve import decide_without_model, resolve_plan
from protocol.errors import (
    RequestRefused,
)
from protocol.model_ref import ModelRef
from protocol.plan import ExecutionPlan, RunRequest

MB = 10**6
MACHINE = Machine(
    "Test CPU",
    4,
    8 << 30,
    {"cpu_avx512": "no AVX-512", "cpu_amx": "no AMX", "cpu_avx_vnni": "no AVX-VNNI", "cpu_avx2": "", "reference": ""},
)
OLD_MACHINE = Machine(
    "Old CPU",
    2,
    8 << 30,
    {
        "cpu_avx512": "no AVX-512",
        "cpu_amx": "no AMX",
        "cpu_avx_vnni": "no AVX-VNNI",
        "cpu_avx2": "no AVX2",
        "reference": "",
    },
)
METER = {"rapl": "", "none": ""}
NO_METER = {"rapl": "no permission; write a udev rule", "none": ""}
MODEL_ALONE = {**NO_METER, "model": ""}
CONFIG = EngineConfig(Path("/models"), Path("/cache"), Path("/data"), memory_mb=1000)
MODEL = ModelFacts(
    ref=ModelRef(name="tiny", path="/models/tiny.gguf", content_hash="sha256:0", architecture="llama", stored_types=()),
    context_length=2048,
    weights_bytes={"cpu_avx2": 100 * MB, "reference": 90 * MB},
    decode_weights_bytes={"cpu_avx2": 30 * MB, "reference": 20 * MB},
    kv_bytes_per_token={"f16": 1024, "q8_0": 544},
    head_dim=64,
    activation_row_bytes={"cpu_avx2": 512, "reference": 512},
    logits_row_bytes=2048,
    macs_per_prompt_token=3000,
    macs_of_head=700,
    vocab_size=512,
    eos_token_ids=(2, 7),
)
RECURRENT = dataclasses.replace(MODEL, recurrent_bytes=5000)


def make_request(**execution: Any) -> RunRequest:
    return RunRequest.model_validate_json(json.dumps({"model": "tiny", "prompt": "x", "execution": execution}))


def make_plan(
    request: RunRequest | None = None,
    prompt_tokens: int = 10,
    model: ModelFacts = MODEL,
    machine: Machine = MACHINE,
    energy: dict[str, str] = NO_METER,
    config: EngineConfig = CONFIG,
) -> ExecutionPlan:
    prompt = PreparedPrompt(tuple(range(prompt_tokens)), "raw")
    checked = decide_without_model(request or make_request(), machine, energy, config)
    return resolve_plan(checked, model, prompt, config).plan


def refusal(kind: type[RequestRefused], machine: Machine = MACHINE, **execution: Any) -> RequestRefused:
    with pytest.raises(kind) as raised:
        decide_without_model(make_request(**execution), machine, NO_METER, CONFIG)
    return raised.value
