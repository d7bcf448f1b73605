from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import default_config
from engine.host.cgroup import cpu_quota, memory_limit
from engine.host.machine import allowed_cpus, memory_bytes, peak_resident_bytes, probe_machine
from protocol.errors import InvalidRequest


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_this_machine_can_run_something() -> None:
    machine = probe_machine()
    assert machine.allowed_cpus >= 1
    assert machine.memory_bytes > 1 << 28
    assert machine.kernel_tables["reference"] == ""
    assert machine.cpu_model


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"), [(8, None, 8), (8, 2.0, 2), (8, 2.9, 2), (8, 0.5, 1), (2, 16.0, 2)]
)
def test_threads_fit_the_quota(affinity: int, quota: float | None, expected: int) -> None:
    assert allowed_cpus(affinity, quota) == expected


def test_version_2_takes_the_tightest_enclosing_group(tmp_path: Path) -> None:
    membership = write(tmp_path / "cgroup", "0::/user/session\n")
    write(tmp_path / "fs/user/cpu.max", "150000 100000\n")
    write(tmp_path / "fs/user/memory.max", "1000000\n")
    write(tmp_path / "fs/user/session/cpu.max", "max 100000\n")
    write(tmp_path / "fs/user/session/memory.max", "max\n")
    assert cpu_quota(membership, tmp_path / "fs") == 1.5
    assert memory_limit(membership, tmp_path / "fs") == 1000000
    write(tmp_path / "fs/user/session/memory.high", "900000\n")
    assert memory_limit(membership, tmp_path / "fs") == 900000


def test_version_1_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    membership = write(tmp_path / "cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n1:name=systemd:/x\n")
    write(tmp_path / "fs/cpu/job/cpu.cfs_quota_us", "200000\n")
    write(tmp_path / "fs/cpu/job/cpu.cfs_period_us", "100000\n")
    write(tmp_path / "fs/cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "fs/cpu/cpu.cfs_period_us", "100000\n")
    write(tmp_path / "fs/memory/job/memory.limit_in_bytes", "5000\n")
    assert cpu_quota(membership, tmp_path / "fs") == 2.0
    assert memory_limit(membership, tmp_path / "fs") == 5000


def test_version_1_takes_the_tightest_enclosing_group(tmp_path: Path) -> None:
    membership = write(tmp_path / "cgroup", "5:cpu,cpuacct:/outer/inner\n4:memory:/outer/inner\n")
    for group, quota, memory in (("outer", "150000", "7000"), ("outer/inner", "400000", "9000")):
        write(tmp_path / "fs/cpu" / group / "cpu.cfs_quota_us", quota)
        write(tmp_path / "fs/cpu" / group / "cpu.cfs_period_us", "100000")
        write(tmp_path / "fs/memory" / group / "memory.limit_in_bytes", memory)
    assert cpu_quota(membership, tmp_path / "fs") == 1.5
    assert memory_limit(membership, tmp_path / "fs") == 7000


def test_a_group_outside_the_namespace_is_no_group(tmp_path: Path) -> None:
    """Its path leads above the mount, which shows nothing of it."""
    membership = write(tmp_path / "cgroup", "0::/../neighbour\n")
    write(tmp_path / "neighbour/cpu.max", "100000 100000\n")
    write(tmp_path / "fs/cpu.max", "300000 100000\n")
    assert cpu_quota(membership, tmp_path / "fs") == 3.0


def test_affinity_bounds_the_threads_and_the_core_keeps_to_it() -> None:
    """In a process bound to one processor: probed as one, and threads that a team has beyond it stay there."""
    program = """
import os
one = {min(os.sched_getaffinity(0))}
os.sched_setaffinity(0, one)
from pathlib import Path
from engine.host.machine import probe_machine
from tests.csrc.loop_bench import LoopBench
from tests.support.tiny_models import tiny_model, tiny_vocabulary

print(probe_machine().allowed_cpus)
with LoopBench(tiny_vocabulary()) as bench:
    for threads in (1, 2):
        bench.submit(threads, tiny_model(), [1, 2, 3], threads=threads)
        bench.finish(threads)
    print({tuple(os.sched_getaffinity(int(task.name))) for task in Path("/proc/self/task").iterdir()})
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    assert (result.stdout, result.stderr) == (f"1\n{{({min(os.sched_getaffinity(0))},)}}\n", "")


def test_in_a_container_the_mounts_root_is_the_group(tmp_path: Path) -> None:
    membership = write(tmp_path / "cgroup", "0::/host/only/path\n")
    write(tmp_path / "fs/cpu.max", "300000 100000\n")
    assert cpu_quota(membership, tmp_path / "fs") == 3.0


@pytest.mark.parametrize("content", ["", "garbage", "0::/\n", "x:y\n"])
def test_without_groups_there_is_no_limit(tmp_path: Path, content: str) -> None:
    membership = write(tmp_path / "cgroup", content)
    assert cpu_quota(membership, tmp_path / "fs") is None
    assert memory_limit(tmp_path / "absent", tmp_path / "fs") is None


def test_peak_memory_is_read_or_unknown(tmp_path: Path) -> None:
    assert peak_resident_bytes(write(tmp_path / "status", "Name:\tx\nVmHWM:\t  2048 kB\n")) == 2 << 20
    assert peak_resident_bytes(write(tmp_path / "status", "Name:\tx\n")) is None
    assert peak_resident_bytes(tmp_path / "absent") is None
    peak = peak_resident_bytes()
    assert peak is not None
    assert peak > 10**7


def test_folders_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("ENGINE_POWERCAP_ROOT", str(tmp_path / "powercap"))
    monkeypatch.setenv("ENGINE_MEMORY_MB", "512")
    monkeypatch.delenv("ENGINE_PREFIX_CACHE_MB", raising=False)
    config = default_config()
    assert config.models_dir == tmp_path / "models"
    assert config.cache_dir == tmp_path / "cache"
    assert config.powercap_root == tmp_path / "powercap"
    assert (config.memory_mb, config.max_queued) == (512, 256)
    assert config.prefix_cache_mb == 64
    monkeypatch.setenv("ENGINE_PREFIX_CACHE_MB", "100")
    assert default_config().prefix_cache_mb == 100


def test_energy_sources_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POWER_PMU", "HWMON", "CPUS"):
        monkeypatch.setenv(f"ENGINE_{name}_ROOT", str(tmp_path / name))
    monkeypatch.setenv("ENGINE_ENERGY_PSYS", "1")
    monkeypatch.setenv("ENGINE_ENERGY_METER_COMMAND", "ipmi 'a sensor' --joules")
    monkeypatch.setenv("ENGINE_ENERGY_METER_UPDATE_MS", "2500")
    config = default_config()
    assert config.power_pmu_root == tmp_path / "POWER_PMU"
    assert (config.hwmon_root, config.cpus_root) == (tmp_path / "HWMON", tmp_path / "CPUS")
    assert config.energy_psys
    assert (config.meter_command, config.meter_update_ms) == (("ipmi", "a sensor", "--joules"), 2500)
    assert config.meter_file is None
    monkeypatch.delenv("ENGINE_ENERGY_METER_COMMAND")
    monkeypatch.setenv("ENGINE_ENERGY_METER_FILE", str(tmp_path / "joules"))
    assert default_config().meter_file == tmp_path / "joules"


def test_without_them_the_machines_own_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ENGINE_ENERGY_")]:
        monkeypatch.delenv(name)
    config = default_config()
    assert (config.energy_psys, config.meter_file, config.meter_command) == (False, None, ())
    assert config.meter_update_ms == 1000


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"ENGINE_ENERGY_PSYS": "yes"}, "ENGINE_ENERGY_PSYS is 'yes'; give 0 or 1"),
        ({"ENGINE_ENERGY_METER_UPDATE_MS": "0"}, "ENGINE_ENERGY_METER_UPDATE_MS is '0'"),
        ({"ENGINE_ENERGY_METER_COMMAND": "echo 'open"}, "No closing quotation"),
        ({"ENGINE_ENERGY_METER_COMMAND": "echo 5", "ENGINE_ENERGY_METER_FILE": "/joules"}, "not both"),
    ],
)
def test_a_meter_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidRequest, match=named):
        default_config()


def test_memory_defaults_to_most_of_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENGINE_MEMORY_MB", raising=False)
    assert default_config().memory_mb == memory_bytes() * 9 // 10 // 10**6
    assert default_config() == default_config()


@pytest.mark.parametrize("variable", ["ENGINE_MEMORY_MB", "ENGINE_PREFIX_CACHE_MB"])
@pytest.mark.parametrize("given", ["0", "-1", "lots", "1.5", "¹"])
def test_a_senseless_memory_limit_is_refused(monkeypatch: pytest.MonkeyPatch, given: str, variable: str) -> None:
    monkeypatch.setenv(variable, given)
    with pytest.raises(InvalidRequest, match=variable):
        default_config()
