"""The probes of the machine's limits, and timed multiplications. No assertion is about how fast."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engine import _core, _core_tests
from tests.support.blocks import TENSOR_TYPES, random_weights

INSTRUCTIONS = _core.machine_probes.integer_instructions()
RUNNABLE = [name for table, name in INSTRUCTIONS.items() if not _core.kernel_tables()[table]]


def test_reading_memory_gives_a_sample_for_each_pass() -> None:
    samples = _core.machine_probes.read_bandwidth(1 << 20, threads=2, seconds=0.01)
    assert samples
    assert min(samples) > 0


@pytest.mark.parametrize(("size", "threads", "seconds"), [(0, 1, 0.1), (1 << 20, 1, 0.0), (1 << 20, 0, 0.1)])
def test_a_probe_of_nothing_is_refused(size: int, threads: int, seconds: float) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the message is of whichever part is missing
        _core.machine_probes.read_bandwidth(size, threads, seconds)


@pytest.mark.parametrize("instruction", RUNNABLE)
def test_an_integer_instruction_has_a_peak(instruction: str) -> None:
    assert min(_core.machine_probes.integer_peak(instruction, threads=2, seconds=0.01)) > 0


def test_an_instruction_this_machine_lacks_is_refused() -> None:
    for instruction in {"fmul", *INSTRUCTIONS.values()} - set(RUNNABLE):
        with pytest.raises(ValueError, match="cannot run here"):
            _core.machine_probes.integer_peak(instruction, threads=1, seconds=0.01)


@pytest.mark.parametrize("type_name", TENSOR_TYPES)
def test_a_multiplication_is_timed_at_least_three_times(type_name: str) -> None:
    weights = random_weights(np.random.default_rng(0), type_name, 32, 256).tobytes()
    seconds = _core_tests.time_multiply("reference", type_name, weights, 256, 2, 2, 0.0)
    assert len(seconds) == 3
    assert min(seconds) > 0


@pytest.mark.parametrize(("size", "columns", "tokens"), [(0, 32, 1), (33, 32, 1), (36, 32, 0), (36, 31, 1), (36, 0, 1)])
def test_a_matrix_that_is_not_whole_is_refused(size: int, columns: int, tokens: int) -> None:
    with pytest.raises(ValueError, match=r"not whole rows|no tokens"):
        _core_tests.time_multiply("reference", "Q4_0", bytes(size), columns, tokens, 1, 0.0)


def test_the_digest_tells_bits_apart_that_compare_equal() -> None:
    zeros = np.zeros(9, np.float32)
    assert _core_tests.digest(zeros) == _core_tests.digest(zeros.copy())
    assert _core_tests.digest(zeros) != _core_tests.digest(-zeros)


@pytest.mark.parametrize("instruction", [None, *RUNNABLE])
def test_a_load_keeps_its_threads_busy_until_its_time_is_over(instruction: str | None) -> None:
    load = _core.machine_probes.Load(2, instruction)
    before = time.process_time()
    load.run(0.1)
    assert time.process_time() > before


@pytest.mark.parametrize("instruction", [None, *RUNNABLE[:1]])
def test_a_load_ends_when_it_is_cancelled_before_it_or_meanwhile(instruction: str | None) -> None:
    load = _core.machine_probes.Load(1, instruction)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(load.run, 3600.0)
        load.cancel()
        running.result(timeout=60)
    load.run(3600.0)


def test_a_load_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot run here"):
        _core.machine_probes.Load(1, "fmul")
    with pytest.raises(ValueError):  # noqa: PT011  a team of no members
        _core.machine_probes.Load(0, None)
