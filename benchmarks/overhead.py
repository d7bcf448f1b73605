"""What the runtime costs: decoding through the socket against the run loop with no client attached.

Both run the same prompt and the same number of tokens, in turn, so that a drift of the machine meets both alike. Rates
are taken between the first and the last token: by the run loop's own clock, and for the socket also by the client's.
"""

from __future__ import annotations

import select
import time
from pathlib import Path

from benchmarks.report import Figure
from benchmarks.served import served_engine
from benchmarks.setting import Setting
from engine import _core
from engine.config import default_config
from engine.models import ModelRegistry
from protocol.answers import Finished, Tokens
from protocol.blocking import BlockingClient
from protocol.plan import ExecutionPlan, ExecutionRequest, Limits, RunRequest, Stop, Stream
from protocol.record import ExecutionRecord

PROMPT = "The history of computing began long before the modern computer, with people who"
TOKENS = 256
ROUNDS = 9


def measure(setting: Setting) -> list[Figure]:
    """Figures for the default flush interval, which has a bound, and for none."""
    with served_engine() as socket, BlockingClient.connect(socket) as client:
        return [
            *_compare(client, setting.model, Stream().flush_ms, bound=0.97),
            *_compare(client, setting.model, 0, bound=None),
        ]


def _compare(client: BlockingClient, model: str, flush_ms: int, bound: float | None) -> list[Figure]:
    request = RunRequest(
        model=model,
        prompt=PROMPT,
        execution=ExecutionRequest(
            limits=Limits(max_tokens=TOKENS), stop=Stop(eos=False), stream=Stream(flush_ms=flush_ms)
        ),
    )
    accepted = _through_socket(client, request)[0]
    bare = _BareLoop(accepted.plan, accepted.prompt_token_ids)
    bare.rate()  # warm, like the engine after its first run
    loop, served, seen = [], [], []
    for _ in range(ROUNDS):
        loop.append(bare.rate())
        record, client_rate = _through_socket(client, request)
        if record.metrics.decode_tokens_per_sec is None:
            raise RuntimeError("the run decoded nothing")
        served.append(record.metrics.decode_tokens_per_sec)
        seen.append(client_rate)
    bare.close()
    label = f"flush_ms {flush_ms}, {accepted.plan.threads} threads"
    ratios = [a / b for a, b in zip(served, loop, strict=True)]
    return [
        Figure(f"run loop alone, {label}", "tokens/s", loop),
        Figure(f"through the socket, {label}", "tokens/s", served),
        Figure(f"through the socket, seen by the client, {label}", "tokens/s", seen),
        Figure(f"through the socket / run loop alone, {label}", "ratio", ratios, at_least=bound),
    ]


def _through_socket(client: BlockingClient, request: RunRequest) -> tuple[ExecutionRecord, float]:
    first_ns, first_count, received = 0, 0, 0
    for message in client.run(request):
        if isinstance(message, Tokens):
            received += len(message.token_ids)
            if not first_ns:
                first_ns, first_count = time.monotonic_ns(), received
        if isinstance(message, Finished):
            seconds = (time.monotonic_ns() - first_ns) / 1e9
            return message.record, (received - first_count) / seconds
    raise RuntimeError("the run did not finish")


class _BareLoop:
    """The run loop in this process, nobody reading its events until the end."""

    def __init__(self, plan: ExecutionPlan, prompt: tuple[int, ...]) -> None:
        artifact = ModelRegistry(default_config()).resolve(plan.model_ref.path)
        self._model = _core.Model.load(str(Path(plan.model_ref.path)), plan.backend, plan.threads)
        self._vocabulary = artifact.tokenizer.vocabulary
        self._loop = _core.RunLoop()
        self._plan = plan
        self._prompt = prompt
        self._runs = 0

    def rate(self) -> float:
        """Tokens a second between the first and the last."""
        plan = self._plan
        self._runs += 1
        self._loop.submit(
            self._runs,
            self._model,
            self._prompt,
            threads=plan.threads,
            spin_us=plan.spin_us,
            prefill_chunk=plan.batch.prefill_chunk,
            context_length=plan.batch.context_length,
            max_tokens=plan.limits.max_tokens,
            temperature=0.0,
            top_k=0,
            top_p=1.0,
            min_p=0.0,
            repeat_penalty=1.0,
            repeat_last_n=0,
            seed=0,
            eos_token_ids=(),
            stop_strings=(),
            vocabulary=self._vocabulary,
            flush_ms=3_600_000,
        )
        times: list[int] = []
        while True:
            select.select([self._loop.event_fd], [], [])
            for events in self._loop.drain():
                times += events.token_times_ns
                if events.stop_reason is not None:
                    return (len(times) - 1) / ((times[-1] - times[0]) / 1e9)

    def close(self) -> None:
        self._loop.close()
