"""What the processor can do, as the core asks it and as the system tells it."""

from __future__ import annotations

from pathlib import Path

from engine import _core, _core_tests

# In the system's own list: AMX there means that tiles can be saved.
NEEDED = {
    "avx2": {"avx2", "fma", "f16c"},
    "avx_vnni": {"avx2", "fma", "f16c", "avx_vnni"},
    "avx512_vnni": {"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"},
    "amx_int8": {"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}
    | {"amx_tile", "amx_int8"},
}


def system_flags() -> set[str]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    return set(next(line for line in lines if line.startswith("flags")).partition(":")[2].split())


def test_features_are_those_the_system_lists() -> None:
    flags = system_flags()
    masked = _core.masked_cpu_features()
    found = {name: not reason or name in masked for name, reason in _core.cpu_features().items()}
    assert found == {name: needed <= flags for name, needed in NEEDED.items()}


def test_a_table_is_available_where_its_features_are() -> None:
    features = _core.cpu_features()
    assert _core.kernel_tables() == {
        "cpu_avx512": features["avx512_vnni"],
        "cpu_amx": features["amx_int8"],
        "cpu_avx_vnni": features["avx_vnni"],
        "cpu_avx2": features["avx2"],
        "reference": "",
    }


def test_an_instruction_that_the_processor_refuses_ends_a_trial_and_nothing_else() -> None:
    assert [_core_tests.processor_runs(refused) for refused in (True, False, True)] == [False, True, False]
