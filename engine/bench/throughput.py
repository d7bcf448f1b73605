"""Prefill and decode rates of one plan, and the share of the machine's limits that they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import _core
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import Work
from protocol.errors import InvalidModel, InvalidRequest, UnsupportedModel
from protocol.plan import ExecutionPlan

INTEGER_INSTRUCTIONS = _core.machine_probes.integer_instructions()
"""What each kernel table multiplies 8-bit integers with."""
READ_BYTES = 512 << 20
"""Well beyond any cache, and about a model's size."""
_PROBE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Throughput:
    """The measured speed of one work."""

    work: Work
    rates: tuple[float, ...]
    """Tokens a second, a sample each."""
    limit: float | None
    """Tokens a second at the machine's limit: one sequence's decoding could read its weights so often, a prefill
    multiply so often. ``None`` where neither says anything (side by side; a table of unknown instructions)."""
    limited_by: str | None


def measure_throughput(plan: ExecutionPlan, works: Sequence[Work], repetitions: int) -> list[Throughput]:
    """Each work after one run to warm up, past any end of sequence, as the plan's backend and threads have it.

    Raises:
        InvalidRequest: weights in other types than their file's would guess.
        InvalidModel, UnsupportedModel: a model cannot be loaded.
        NonFiniteResult, InternalError: see :meth:`MeasuredLoop.rate`.
    """
    path = Path(plan.model_ref.path)
    guessing = plan.speculation.quantization
    if guessing not in (None, "native"):
        raise InvalidRequest(
            f"speculation.quantization is {guessing}; bench measures weights as they are in their files",
            field="execution.speculation.quantization",
        )
    with _loaded(path, plan) as loop:
        results = []
        for work in works:
            loop.rate(work)
            rates = tuple(loop.rate(work) for _ in range(repetitions))
            limit, limited_by = _limit(path, plan, work)
            results.append(Throughput(work, rates, limit, limited_by))
        return results


def _loaded(path: Path, plan: ExecutionPlan) -> MeasuredLoop:
    try:
        return MeasuredLoop(path, plan.backend, plan.threads, plan.kv_cache, speculation=plan.speculation)
    except _core.GgufError as error:
        raise InvalidModel(f"{path} cannot be loaded: {error}", path=str(path)) from error
    except _core.UnsupportedModelError as error:
        raise UnsupportedModel(f"{path} cannot be run: {error}", path=str(path)) from error


def bandwidth(threads: int) -> float:
    """Bytes a second that these threads can read: the best pass, since this is a limit."""
    return max(_core.machine_probes.read_bandwidth(READ_BYTES, threads, _PROBE_SECONDS))


def integer_peak(instruction: str, threads: int) -> float:
    """Multiply-accumulates of 8-bit integers a second: the best sample."""
    return max(_core.machine_probes.integer_peak(instruction, threads, _PROBE_SECONDS))


def bytes_read_a_token(file: _core.GgufFile) -> int:
    """Bytes of the file's weights; of an embedding that is not the head too, those of one row."""
    tensors = {tensor.name: tensor for tensor in file.tensors()}
    total = sum(tensor.size_bytes for tensor in tensors.values())
    return total - (tensors["token_embd.weight"].size_bytes if "output.weight" in tensors else 0)


def macs_a_prompt_token(file: _core.GgufFile) -> int:
    """Multiply-accumulates of the layers' matrices; the head is multiplied for the last token alone."""
    matrices = [t for t in file.tensors() if t.name.startswith("blk.") and len(t.shape) == 2]
    return sum(tensor.shape[0] * tensor.shape[1] for tensor in matrices)


def _limit(path: Path, plan: ExecutionPlan, work: Work) -> tuple[float | None, str | None]:
    file = _core.GgufFile(str(path))
    if work.is_prefill:
        instruction = INTEGER_INSTRUCTIONS.get(plan.backend)
        if instruction is None:
            return None, None
        return integer_peak(instruction, plan.threads) / macs_a_prompt_token(file), instruction
    if work.sequences > 1 or work.prompt:
        return None, None
    return bandwidth(plan.threads) / bytes_read_a_token(file), "reading memory"
