from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from engine.host import available_memory as module
from engine.host.available_memory import available_memory
from engine.host.cgroup import memory_headroom
from tests.support.gguf_factory import write_tiny_model
from tests.support.kernel_tables import ALL_TABLES

pytestmark = pytest.mark.slow

MIB = 1 << 20


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    write(tmp_path / "proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:    3000 kB\nHugePages_Total:   7\n")
    write(tmp_path / "proc/self/status", "Name:\tengine\nVmSize:\t  1000 kB\nVmData:\t   400 kB\n")
    return tmp_path / "proc"


def test_what_the_machine_has_available(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "memory_headroom", lambda: None)
    assert available_memory(proc) == 3000 * 1024


def test_a_tighter_group_bounds_it(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "memory_headroom", lambda: 5000)
    assert available_memory(proc) == 5000


@pytest.mark.parametrize(("limit", "used"), [(resource.RLIMIT_AS, 1000 * 1024), (resource.RLIMIT_DATA, 400 * 1024)])
def test_a_limit_of_the_process_bounds_it(proc: Path, monkeypatch: pytest.MonkeyPatch, limit: int, used: int) -> None:
    monkeypatch.setattr(module, "memory_headroom", lambda: None)
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    allowed = used + 7
    monkeypatch.setattr(resource, "getrlimit", lambda which: (allowed, allowed) if which == limit else unlimited)
    assert available_memory(proc) == 7
    allowed = used - 1
    assert available_memory(proc) == 0


def test_where_nothing_tells_it_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "memory_headroom", lambda: None)
    assert available_memory(tmp_path / "absent") is None


def test_this_machine_tells() -> None:
    available = available_memory()
    assert available is not None
    assert available > 0


def test_a_version_2_group_leaves_its_limit_less_what_it_cannot_give_up(tmp_path: Path) -> None:
    membership = write(tmp_path / "cgroup", "0::/user/session\n")
    write(tmp_path / "fs/user/memory.max", "1000\n")
    write(tmp_path / "fs/user/memory.current", "700\n")
    write(tmp_path / "fs/user/memory.stat", "anon 400\ninactive_file 150\nactive_file 50\nslab 1\n")
    write(tmp_path / "fs/user/session/memory.max", "max\n")
    write(tmp_path / "fs/user/session/memory.current", "700\n")
    assert memory_headroom(membership, tmp_path / "fs") == 1000 - 700 + 200
    write(tmp_path / "fs/user/session/memory.max", "710\n")
    assert memory_headroom(membership, tmp_path / "fs") == 10
    write(tmp_path / "fs/user/session/memory.max", "600\n")
    assert memory_headroom(membership, tmp_path / "fs") == 0


def test_a_version_1_group_counts_the_groups_below_it(tmp_path: Path) -> None:
    membership = write(tmp_path / "cgroup", "4:memory:/job\n")
    write(tmp_path / "fs/memory/job/memory.limit_in_bytes", "1000\n")
    write(tmp_path / "fs/memory/job/memory.usage_in_bytes", "900\n")
    stat = "inactive_file 1\nactive_file 2\ntotal_inactive_file 30\ntotal_active_file 40\n"
    write(tmp_path / "fs/memory/job/memory.stat", stat)
    assert memory_headroom(membership, tmp_path / "fs") == 1000 - 900 + 70


@pytest.mark.parametrize("content", ["", "garbage\n", "inactive_file lots\n"])
def test_statistics_that_cannot_be_read_give_nothing_back(tmp_path: Path, content: str) -> None:
    membership = write(tmp_path / "cgroup", "0::/\n")
    write(tmp_path / "fs/memory.max", "1000\n")
    assert memory_headroom(membership, tmp_path / "fs") is None
    write(tmp_path / "fs/memory.current", "400\n")
    write(tmp_path / "fs/memory.stat", content)
    assert memory_headroom(membership, tmp_path / "fs") == 600


PROGRAM = """
import resource, sys
from pathlib import Path
from protocol.errors import OutOfMemoryBudget
from tests.engine.backend_bench import Bench

directory, room = Path(sys.argv[1]), int(sys.argv[2])
bench = Bench(directory)
path = directory / "model.gguf"
plan, tokens = bench.prepare(path)
plan = plan.model_copy(update={"backend": sys.argv[3]})
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + room, size + room))
try:
    bench.submit(1, plan, tokens)
    events = bench.finish(1)
    print(events.stop_reason, events.error)
except OutOfMemoryBudget as error:
    print("refused:", error.message)
bench.backend.close()
"""


@pytest.mark.parametrize("table", ALL_TABLES[:2])  # one that maps the weights, one that packs them
def test_an_address_space_too_small_is_a_refusal_and_never_a_crash(tmp_path: Path, table: str) -> None:
    """20 MB of weights: from room for nothing to room for all."""
    write_tiny_model(tmp_path / "model.gguf", n_embd=512, n_ff=1024, n_layer=2, tensor_type="F16")
    outcomes = []
    for room in (4, 22, 28, 300):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(room * MIB), table]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        assert result.returncode == 0, result.stderr
        outcomes.append(result.stdout.split()[0])
    assert outcomes[0] == "refused:"
    assert outcomes[-1] == "max_tokens"
    assert set(outcomes) == {"refused:", "max_tokens"}
