"""What drafting gives and costs: decoding with drafts by decoding without, on texts that repeat what was given, on
answers of a schema and on free chat; and with `lookup`, sixteen sequences side by side.

Every answer is checked: the same tokens and the same bits of every logit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from benchmarks.support.report import Figure
from benchmarks.support.served import served_engine
from benchmarks.support.setting import Setting
from benchmarks.support.writing_task import WritingTask, writing_tasks
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import decode_side_by_side
from engine.planning.speculation_rules import plan_speculation
from protocol.answers import Finished
from protocol.blocking import BlockingClient
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.record import ExecutionRecord
from protocol.sampling import Sampling
from protocol.speculation import Speculation

EACH = 4
"""Questions of a kind."""
TURNS = 3
MAX_TOKENS = 160
SAMPLINGS = {"greedy": Sampling(), "temperature 0.8": Sampling(temperature=0.8, seed=1)}
_OFF = Speculation()


def measure(setting: Setting) -> list[Figure]:
    """Raises RuntimeError where an answer with drafting is not that without, to the bit."""
    return [*(_side_by_side(setting) if setting.speculation.kind == "lookup" else ()), *_answers(setting)]


def _side_by_side(setting: Setting) -> Iterator[Figure]:
    work = decode_side_by_side(16, 32)
    for backend in setting.backends:
        drafting = plan_speculation(setting.speculation, backend)  # type: ignore[arg-type]  # the names are the table's own
        with (
            MeasuredLoop(setting.path, backend, setting.threads) as without,
            MeasuredLoop(setting.path, backend, setting.threads, speculation=drafting) as drafted,
        ):
            shares = [drafted.rate(work) / without.rate(work) for _ in range(TURNS)]
            yield Figure(f"16 sequences side by side, lookup by off, {backend}", "ratio", shares, at_least=0.99)


def _answers(setting: Setting) -> Iterator[Figure]:
    ratios: dict[tuple[str, str], list[float]] = defaultdict(list)
    accepted: dict[tuple[str, str], list[float]] = defaultdict(list)
    kind_of_draft = setting.speculation.kind
    with served_engine() as socket, BlockingClient.connect(socket) as client:
        for turn in range(TURNS):
            for name, sampling in SAMPLINGS.items():
                for task in writing_tasks(EACH):
                    kinds = (_OFF, setting.speculation) if turn % 2 else (setting.speculation, _OFF)
                    off, drafted = sorted(
                        (_run(client, setting, task, sampling, kind) for kind in kinds),
                        key=lambda record: record.plan.speculation.kind != "off",
                    )
                    _require_same(off, drafted)
                    ratios[task.kind, name].append(_rate(drafted) / _rate(off))
                    accepted[task.kind, name].append(_accepted(drafted))
    for (kind, name), shares in ratios.items():
        bound = 0.97 if kind == "free chat" else None
        yield Figure(f"{kind}, {name}, {kind_of_draft} by off", "ratio", shares, at_least=bound)
        yield Figure(f"{kind}, {name}, tokens a step", "", accepted[kind, name])


def _run(
    client: BlockingClient, setting: Setting, task: WritingTask, sampling: Sampling, speculation: Speculation
) -> ExecutionRecord:
    execution = ExecutionRequest(
        quantization=setting.quantization,
        sampling=sampling,
        grammar=task.grammar,
        limits=Limits(max_tokens=MAX_TOKENS),
        prefix_cache="on",  # the prompt is computed once: decoding is what is measured
        speculation=speculation,
    )
    for message in client.run(RunRequest(model=setting.model, messages=task.messages, execution=execution)):
        if isinstance(message, Finished):
            return message.record
    raise RuntimeError("the run did not finish")


def _rate(record: ExecutionRecord) -> float:
    rate = record.metrics.decode_tokens_per_sec
    if rate is None:
        raise RuntimeError(f"an answer of {record.metrics.tokens_total} tokens has no rate")
    return rate


def _accepted(record: ExecutionRecord) -> float:
    """Tokens a step, of the steps behind the prompt."""
    tokens = record.metrics.tokens_total - 1
    return tokens / (tokens - (record.metrics.accepted_tokens or 0))


def _require_same(off: ExecutionRecord, drafted: ExecutionRecord) -> None:
    kept: Sequence[tuple[object, ...]] = [
        (record.token_ids, record.result, record.logits_digest, record.stop_reason) for record in (off, drafted)
    ]
    if kept[0] != kept[1]:
        raise RuntimeError("drafting gave another answer")
