"""The engine on processors that this machine is not: with features masked, and emulated."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import _core
from tests.support.processor_outcome import Outcome, outcome_on_processor, run_here

NEEDS = {
    "cpu_avx512": {"avx2", "avx512_vnni"},
    "cpu_amx": {"avx2", "avx512_vnni", "amx_int8"},
    "cpu_avx_vnni": {"avx2", "avx_vnni"},
    "cpu_avx2": {"avx2"},
    "reference": set[str](),
}
"""Every backend, the best first."""
PRESENT = {name for name, reason in _core.cpu_features().items() if not reason} | set(_core.masked_cpu_features())


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a name short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="engine-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def here() -> Outcome:
    with tempfile.TemporaryDirectory(prefix="engine-") as made:
        return outcome_on_processor(Path(made))


def assert_same_answer(one: Outcome, other: Outcome) -> None:
    for field in ("result", "token_ids", "prompt_token_ids", "logits_digest", "stop_reason"):
        assert one.record[field] == other.record[field]


@pytest.mark.parametrize("mask", ["none", "avx2", "avx2,avx_vnni", " avx512_vnni , avx2 ", "avx_vnni,avx512_vnni"])
def test_only_features_that_the_mask_names_are_used(mask: str, here: Outcome, folder: Path) -> None:
    kept = {name.strip() for name in mask.split(",")} - {"none"}
    outcome = outcome_on_processor(folder, features=mask)

    usable = kept & PRESENT if "avx2" in kept else set()
    assert {name for name, reason in outcome.features.items() if not reason} == usable
    backends = [name for name, needed in NEEDS.items() if needed <= usable]
    assert outcome.backend == outcome.record["hardware"]["kernel_path"] == backends[0]
    assert [name for name, reason in outcome.kernel_tables.items() if not reason] == backends
    masked = PRESENT - usable
    hardware = outcome.record["hardware"]
    assert (set(hardware["cpu_features"]), set(hardware["masked_cpu_features"])) == (usable, masked)
    assert outcome.backends["status"] == ("warning" if masked or backends == ["reference"] else "ok")
    assert ("unset ENGINE_CPU_FEATURES" in outcome.backends["remedy"]) == bool(masked)
    assert ("ENGINE_CPU_FEATURES leaves out" in outcome.backends["found"]) == bool(masked)
    assert outcome.record["build"] == here.record["build"]
    assert_same_answer(outcome, here)


def test_a_feature_that_kernels_stand_on_is_named_where_the_mask_leaves_it_out(folder: Path) -> None:
    program = "import json; from engine import _core; print(json.dumps(_core.cpu_features()))"
    reasons = json.loads(run_here(folder, [sys.executable, "-c", program], "avx_vnni, amx_int8").stdout)
    for name in PRESENT:
        left_out = {"avx512_vnni": "avx512_vnni"}.get(name, "avx2")
        assert reasons[name] == f"ENGINE_CPU_FEATURES leaves out {left_out}"


@pytest.mark.parametrize(("mask", "name"), [("avx2,", ""), ("avx2,none", "none"), ("AVX2", "AVX2"), (",", "")])
def test_a_mask_is_none_or_features_names(mask: str, name: str, folder: Path) -> None:
    result = run_here(folder, [sys.executable, "-c", "from engine import _core; _core.kernel_tables()"], mask)
    named = f"UnknownCpuFeatureError: ENGINE_CPU_FEATURES names '{name}'; give none, or some of avx2, avx_vnni,"
    assert named in result.stderr


def test_a_mask_of_an_unknown_feature_is_refused_at_first_use(folder: Path) -> None:
    engine_ctl = (sys.executable, "-c", "from engine_ctl.main import main; main(prog_name='engine-ctl')")
    refused = run_here(folder, [*engine_ctl, "run", "--model", "tiny", "--prompt", "a", "--json"], "avx3")
    assert refused.returncode == 3
    error = json.loads(refused.stdout)["error"]
    assert (error["code"], error["params"]) == ("invalid_request", {"field": "ENGINE_CPU_FEATURES", "value": "avx3"})

    examined = run_here(folder, [*engine_ctl, "doctor", "--json"], "avx3")
    assert examined.returncode == 1
    checks = {check["name"]: check for check in json.loads(examined.stdout)["checks"]}
    assert (checks["backends"]["status"], checks["backends"]["found"]) == ("problem", error["message"])

    assert run_here(folder, [*engine_ctl, "--help"], "avx3").returncode == 0


@pytest.fixture(scope="module")
def emulator() -> str:
    found = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if found is None:
        reason = "no qemu-x86_64 (Debian's qemu-user): other processors are not tried"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    return found


@pytest.mark.parametrize(
    ("processor", "backend"),
    [
        ("Nehalem", "reference"),
        ("Haswell", "cpu_avx2"),
        ("EPYC", "cpu_avx2"),
        ("Skylake-Server", "cpu_avx2"),  # the emulator has no AVX-512, nor this processor VNNI
    ],
)
def test_another_processor_runs_what_it_can_with_the_same_bits(
    processor: str, backend: str, emulator: str, here: Outcome, folder: Path
) -> None:
    # numpy's OpenBLAS takes an emulated Nehalem for a Haswell.
    command = (emulator, "-cpu", processor, "-E", "OPENBLAS_CORETYPE=Nehalem")
    outcome = outcome_on_processor(folder, emulator=command)
    assert outcome.backend == outcome.record["hardware"]["kernel_path"] == backend
    assert outcome.record["hardware"]["masked_cpu_features"] == []
    assert outcome.record["hardware"]["cpu_model"] != here.record["hardware"]["cpu_model"]
    assert_same_answer(outcome, here)
    is_slow = backend == "reference"
    # VCVTPH2PS reads subnormal halves even with subnormals flushed, and the emulator does not: the self-test,
    # whose scales are any numbers, finds that out.
    for field in ("id", "arithmetic") if is_slow else ("id",):
        assert outcome.record["build"][field] == here.record["build"][field]
    assert outcome.backends["status"] == ("warning" if is_slow else "ok")
    assert ("nothing but the slow reference can run here" in outcome.notes) == is_slow
