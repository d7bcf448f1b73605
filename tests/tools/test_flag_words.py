"""Errors in the words of the flags that a person wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine_ctl.flag_words import in_flags
from engine_ctl.request_options import _EXECUTION, _LIMITS  # the table itself is what is to be whole
from engine_ctl.sampling_options import _SAMPLING
from tests.tools.command_line import engine_ctl


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            "request.execution.limits.max_tokens: Input should be greater than or equal to 1 (got -5)",
            "--max-tokens must be greater than or equal to 1 (got -5)",
        ),
        (
            "mirostat has nothing to draw from at a sampling.temperature of 0",
            "mirostat has nothing to draw from at a --temperature of 0",
        ),
        ("request.execution.sampling.logit_bias.0.token_id: no token", "--logit-bias: no token"),
        (
            "lower execution.context_length, or raise execution.limits.memory_mb",
            "lower --context-length, or raise --memory-mb",
        ),
        ("request.nonsense: Extra inputs are not permitted", "request.nonsense: there is no such field"),
        ("/home/execution.n is no file, nor is tools.json", "/home/execution.n is no file, nor is tools.json"),
    ],
)
def test_fields_become_flags_and_all_else_stays(message: str, told: str) -> None:
    assert in_flags(message) == told


def test_every_field_that_a_flag_sets_has_its_words() -> None:
    flags = {f"execution.{field}": flag for flag, field in _EXECUTION.items()}
    flags |= {f"execution.limits.{name}": name for name in _LIMITS}
    flags |= {f"execution.sampling.{name}": name for name in _SAMPLING}
    spelled = {field: "-n" if flag == "n" else f"--{flag.replace('_', '-')}" for field, flag in flags.items()}
    without_words = {field for field in spelled if in_flags(f"{field}: no") != f"{spelled[field]}: no"}
    assert without_words <= {"execution.op_times", "execution.token_times"}  # switches: no value of theirs is wrong


def test_a_value_out_of_range_is_told_by_its_flag(socket_path: Path) -> None:
    result = engine_ctl("run", "--socket", str(socket_path), "tiny", "--prompt", "a", "--top-p", "7")
    assert result.exit_code == 3
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error[")]
    assert line == "error[invalid_request]: --top-p must be less than or equal to 1 (got 7.0)"


def test_a_request_in_a_file_is_told_by_its_fields(socket_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"model": "tiny", "prompt": "a", "execution": {"sampling": {"top_p": 7}}}))
    result = engine_ctl("run", "--socket", str(socket_path), "--request", str(file))
    assert "request.execution.sampling.top_p" in result.stderr
