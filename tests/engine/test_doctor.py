"""What a check-up makes of the facts, one spoilt at a time."""

from __future__ import annotations

import pytest

from engine.doctor import GIB, Check, examine
from engine.energy.model import REMEDY as MODEL_REMEDY
from engine.energy.powercap import REMEDY
from tests.engine.facts_factory import make_facts, make_folder, make_socket


def check_of(name: str, **changes: object) -> Check:
    (check,) = [check for check in examine(make_facts(**changes)) if check.name == name]
    return check


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    checks = examine(make_facts())
    assert [(check.status, check.remedy) for check in checks] == [("ok", "")] * len(checks)
    assert all(check.found for check in checks)
    assert len({check.name for check in checks}) == len(checks)


NO_MODEL = f"its power is unknown: {MODEL_REMEDY}"
REFUSED = {"kind": "socket", "engine_version": None, "failure": "no engine answers: Connection refused"}
ABSENT = {"kind": "absent", "mode": None, "owner": None, "engine_version": None, "failure": "No such file"}


@pytest.mark.parametrize(
    ("name", "spoilt", "status", "found", "remedy"),
    [
        ("versions", {"extension_failure": "no module"}, "problem", "no module", "pip install"),
        ("versions", {"extension_version": "1.2.2"}, "problem", "of 1.2.2", "pip install"),
        ("versions", {"python_version": "3.9.18"}, "problem", "Python 3.9.18", "Python 3.11 or newer"),
        ("backends", {"kernel_tables": {}}, "problem", "no backend", "pip install"),
        (
            "backends",
            {"kernel_tables": {"cpu_avx2": "the CPU has no AVX2", "reference": ""}},
            "warning",
            "the CPU has no AVX2",
            "AVX2",
        ),
        ("cpus", {"cpu_quota": 1.5}, "warning", "a quota of 1.5", "--cpus"),
        ("frequency governor", {"governors": ("powersave",)}, "warning", "powersave", "cpupower"),
        ("frequency governor", {"governors": ("performance", "powersave")}, "warning", "not the same", "cpupower"),
        ("memory", {"available_bytes": GIB}, "warning", "1.0 GiB available", "--memory"),
        ("huge pages", {"huge_pages": "never"}, "warning", "never", "echo madvise"),
        ("energy: rapl", {"energy": {"rapl": "no RAPL here"}}, "warning", "no RAPL here", "hardware"),
        ("energy: model", {"energy": {"model": NO_MODEL}}, "warning", "unknown", "ENGINE_TDP_WATTS"),
        ("energy: model", {"energy": {"rapl": "", "model": NO_MODEL}}, "ok", "unknown", ""),
        ("energy: model", {"energy": {"model": ""}}, "ok", "a formula", ""),
        ("energy: rapl", {"energy": {"rapl": f"no permission; {REMEDY}"}}, "warning", "no permission", "udev"),
        ("socket", {"socket": make_socket(mode=0o666)}, "problem", "mode 666", "chmod 600"),
        ("socket", {"socket": make_socket(owner=0)}, "problem", "user 0", "a socket of yours"),
        ("socket", {"socket": make_socket(kind="other")}, "problem", "is no socket", "remove what lies there"),
        ("socket", {"socket": make_socket(directory_kind="other")}, "problem", "no directory", "remove"),
        ("socket", {"socket": make_socket(directory_mode=0o755)}, "problem", "mode 755", "chmod 700 /run/user"),
        ("socket", {"socket": make_socket(directory_owner=7)}, "problem", "user 7", "directory of yours"),
        ("engine", {"socket": make_socket(engine_version="1.2.2")}, "warning", "1.2.2 answers", "engine-ctl shutdown"),
        (
            "engine",
            {"socket": make_socket(engine_version=None, failure="timed out")},
            "problem",
            "timed out",
            "journal",
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
        ("models", {"models": make_folder(exists=False, is_directory=False, nearest="/home")}, "not there yet"),
        ("models", {"models": make_folder(free_bytes=None)}, "unknown"),
        ("weights cache", {"cache": make_folder(used_bytes=20 * GIB, free_bytes=GIB)}, "20.0 GiB of 20.0 GiB"),
    ],
)
def test_what_is_unknown_or_not_there_yet_is_no_fault(name: str, changes: dict[str, object], found: str) -> None:
    check = check_of(name, **changes)
    assert (check.status, check.remedy) == ("ok", "")
    assert found in check.found


def test_the_reason_and_the_remedy_of_a_source_are_told_apart() -> None:
    check = check_of("energy: rapl", energy={"rapl": f"no permission to read /sys/x; {REMEDY}"})
    assert (check.found, check.remedy) == ("no permission to read /sys/x", REMEDY)
