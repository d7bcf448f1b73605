"""What a check-up makes of the facts, one spoilt at a time."""

from __future__ import annotations

import pytest

from engine.doctor.doctor import GIB, Check, examine
from engine.energy.source_state import SourceState
from tests.engine.facts_factory import BUILD, make_facts, make_folder, make_socket


def check_of(name: str, **changes: object) -> Check:
    (check,) = [check for check in examine(make_facts(**changes)) if check.name == name]
    return check


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    checks = examine(make_facts())
    assert [(check.status, check.remedy) for check in checks] == [("ok", "")] * len(checks)
    assert all(check.found for check in checks)
    assert len({check.name for check in checks}) == len(checks)


ABSENT_RAPL = SourceState("rapl", reason="no RAPL here")
FORBIDDEN_RAPL = SourceState("rapl", reason="no permission", remedy="install the udev rule")
NO_MODEL = SourceState("model", reason="its power is unknown", remedy="declare ENGINE_TDP_WATTS")
RAPL = SourceState("rapl", "measured", ("package-0",))
MODEL = SourceState(
    "model", "modelled", ("cpus",), notes=("a formula, for plans that name it; its joules rank nothing",)
)
OTHER_BUILD = BUILD.model_copy(update={"id": "2" * 32})
REFUSED = {
    "kind": "socket",
    "engine_version": None,
    "engine_walls": None,
    "failure": "no engine answers: Connection refused",
}
ABSENT = {
    "kind": "absent",
    "mode": None,
    "owner": None,
    "engine_version": None,
    "engine_walls": None,
    "failure": "No such file",
}


@pytest.mark.parametrize(
    ("name", "spoilt", "status", "found", "remedy"),
    [
        ("versions", {"extension_failure": "no module"}, "problem", "no module", "pip install"),
        ("versions", {"extension_version": "1.2.2"}, "problem", "of 1.2.2", "pip install"),
        ("versions", {"python_version": "3.9.18"}, "problem", "Python 3.9.18", "Python 3.10 or newer"),
        (
            "versions",
            {"stale_sources": "/src/csrc"},
            "warning",
            "other sources than those in /src/csrc",
            "make develop",
        ),
        ("backends", {"kernel_tables": {}}, "problem", "no backend", "pip install"),
        (
            "backends",
            {"kernel_tables": {"cpu_avx2": "the CPU has no AVX2", "reference": ""}},
            "warning",
            "the CPU has no AVX2",
            "AVX2",
        ),
        ("backends", {"masked_cpu_features": ("avx512_vnni",)}, "warning", "cpu_avx2", "unset ENGINE_CPU_FEATURES"),
        ("backends", {"cpu_features_failure": "no feature 'mmx'"}, "problem", "'mmx'", "correct ENGINE_CPU_FEATURES"),
        ("cpus", {"cpu_quota": 1.5}, "warning", "a quota of 1.5", "--cpus"),
        ("frequency governor", {"governors": ("powersave",)}, "warning", "powersave", "cpupower"),
        ("frequency governor", {"governors": ("performance", "powersave")}, "warning", "not the same", "cpupower"),
        ("memory", {"available_bytes": GIB}, "warning", "1.0 GiB available", "--memory"),
        ("huge pages", {"huge_pages": "never"}, "warning", "never", "echo madvise"),
        ("energy: rapl", {"energy": (ABSENT_RAPL,)}, "warning", "no RAPL here", "hardware"),
        ("energy: rapl", {"energy": (FORBIDDEN_RAPL,)}, "warning", "no permission", "udev rule"),
        ("energy: model", {"energy": (NO_MODEL,)}, "warning", "unknown", "ENGINE_TDP_WATTS"),
        ("energy: model", {"energy": (RAPL, NO_MODEL)}, "ok", "unknown", ""),
        ("energy: model", {"energy": (MODEL,)}, "ok", "a formula", ""),
        ("socket", {"socket": make_socket(mode=0o666)}, "problem", "mode 666", "chmod 600"),
        ("socket", {"socket": make_socket(owner=0)}, "problem", "user 0", "a socket of yours"),
        ("socket", {"socket": make_socket(kind="other")}, "problem", "is no socket", "remove what lies there"),
        ("socket", {"socket": make_socket(directory_kind="other")}, "problem", "no directory", "remove"),
        ("socket", {"socket": make_socket(directory_mode=0o755)}, "problem", "mode 755", "chmod 700 /run/user"),
        ("socket", {"socket": make_socket(directory_owner=7)}, "problem", "user 7", "directory of yours"),
        ("engine", {"socket": make_socket(engine_version="1.2.2")}, "warning", "1.2.2 answers", "engine-ctl shutdown"),
        ("engine", {"socket": make_socket(engine_build=OTHER_BUILD)}, "warning", "build 222", "engine-ctl shutdown"),
        ("engine", {"socket": make_socket(engine_build=None)}, "warning", "unknown build", "engine-ctl shutdown"),
        (
            "engine",
            {"socket": make_socket(engine_version=None, engine_walls=None, failure="timed out")},
            "problem",
            "timed out",
            "journal",
        ),
        ("sandbox", {"socket": make_socket(engine_walls=())}, "warning", "gave up: nothing", "--no-sandbox"),
        (
            "sandbox",
            {"socket": make_socket(engine_walls=("files", "network", "system_calls")), "landlock_version": 4},
            "warning",
            "still open: processes (the kernel's Landlock 4",
            "6.12",
        ),
        ("sandbox", {"socket": make_socket(**ABSENT), "landlock_version": 0}, "warning", "no Landlock", "lsm="),
        (
            "sandbox",
            {"socket": make_socket(**ABSENT), "system_call_filters": False},
            "warning",
            "no filters",
            "seccomp",
        ),
        ("models", {"models": make_folder(is_directory=False)}, "problem", "no directory", "ENGINE_MODELS_DIR"),
        ("models", {"models": make_folder(usable=False)}, "problem", "may not write", "ENGINE_MODELS_DIR"),
        ("weights cache", {"cache": make_folder(free_bytes=GIB)}, "warning", "1.0 GiB", "cache rm"),
        ("records", {"data": make_folder(usable=False)}, "problem", "may not write", "ENGINE_DATA_DIR"),
        ("records", {"data": make_folder(free_bytes=0)}, "problem", "0.0 GiB", "free the disk"),
        (
            "configuration",
            {"models": None, "config_failure": "ENGINE_MEMORY_MB is 'much'"},
            "problem",
            "ENGINE_MEMORY_MB is 'much'",
            "variable",
        ),
    ],
)
def test_what_is_not_well_is_found_and_can_be_mended(
    name: str, spoilt: dict[str, object], status: str, found: str, remedy: str
) -> None:
    check = check_of(name, **spoilt)
    assert check.status == status
    assert found in check.found
    assert remedy in check.remedy
    others = [other for other in examine(make_facts(**spoilt)) if other.name != name]
    assert {other.status for other in others} == {"ok"}


@pytest.mark.parametrize(
    ("name", "changes", "found"),
    [
        ("frequency governor", {"governors": ()}, "does not tell"),
        ("huge pages", {"huge_pages": None}, "does not tell"),
        ("memory", {"available_bytes": None}, "unknown"),
        ("memory", {"memory_limit_bytes": 4 * GIB}, "4.0 GiB allowed"),
        ("cpus", {"online_cpus": None, "cpu_quota": 8.0}, "unknown number"),
        ("socket", {"socket": make_socket(**ABSENT)}, "not there yet"),
        ("socket", {"socket": make_socket(directory_kind="absent", directory_mode=None, **ABSENT)}, "not there yet"),
        ("engine", {"socket": make_socket(**ABSENT)}, "none runs"),
        ("engine", {"socket": make_socket(**REFUSED)}, "left behind"),
        ("sandbox", {"socket": make_socket(**ABSENT)}, "Landlock 6"),
        ("models", {"models": make_folder(exists=False, is_directory=False, nearest="/home")}, "not there yet"),
        ("models", {"models": make_folder(free_bytes=None)}, "unknown"),
        ("weights cache", {"cache": make_folder(used_bytes=20 * GIB, free_bytes=GIB)}, "20.0 GiB of 20.0 GiB"),
    ],
)
def test_what_is_unknown_or_not_there_yet_is_no_fault(name: str, changes: dict[str, object], found: str) -> None:
    check = check_of(name, **changes)
    assert (check.status, check.remedy) == ("ok", "")
    assert found in check.found


def test_a_source_that_works_tells_what_it_counts_and_what_it_leaves_out() -> None:
    works = SourceState("rapl", "measured", ("package-0", "package-1"), notes=("package-0/dram is left out",))
    check = check_of("energy: rapl", energy=(works,))
    assert (check.status, check.found) == ("ok", "measured: package-0, package-1; package-0/dram is left out")


def test_beside_one_that_measures_no_other_source_is_missed() -> None:
    works = SourceState("perf", "measured", ("package-0",))
    check = check_of("energy: rapl", energy=(works, FORBIDDEN_RAPL))
    assert (check.status, check.found, check.remedy) == ("ok", "no permission", "")


def test_a_model_measures_nothing() -> None:
    check = check_of("energy: rapl", energy=(FORBIDDEN_RAPL, SourceState("model", "modelled", ("machine",))))
    assert check.status == "warning"
