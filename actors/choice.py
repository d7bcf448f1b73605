"""The account of one choice of an execution: what it has generated so far. No trio, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors.answer_text import AnswerPiece, AnswerText, reasoning_tokens
from engine.backend import SequenceEvents
from protocol.logprobs import DrawnLogprobs, recorded_tokens
from protocol.plan import ExecutionPlan
from protocol.record import ChoiceRecord, StopReason


@dataclass(slots=True)
class Choice:
    """The account of one choice: its tokens, their times and its end."""

    index: int
    answer: AnswerText
    token_ids: list[int] = field(default_factory=list)
    token_times_ns: list[int] = field(default_factory=list)
    logprobs: list[DrawnLogprobs] = field(default_factory=list)
    """The first tokens' log probabilities: as many as a record keeps."""
    stop_reason: StopReason | None = None
    logits_digest: str = ""
    drafts: tuple[int, int] = (0, 0)
    """Drafted and accepted tokens, once it has ended."""
    draft_ns: int = 0
    """Computing time of a draft model, likewise."""

    def advance(self, events: SequenceEvents, plan: ExecutionPlan) -> AnswerPiece:
        """Take what the sequence did; what of its text has become certain."""
        self.token_ids += events.token_ids
        self.token_times_ns += events.token_times_ns
        if plan.logprobs is not None:
            room = recorded_tokens(plan.logprobs, plan.n) - len(self.logprobs)
            self.logprobs += events.logprobs[: max(0, room)]
        if events.stop_reason is not None:
            self.logits_digest = events.logits_digest
            self.drafts = (events.drafted_tokens, events.accepted_tokens)
            self.draft_ns = events.draft_ns
        return self.answer.add(events.text, ended=events.stop_reason is not None)

    def record(self, plan: ExecutionPlan, received_ns: int) -> ChoiceRecord:
        """``received_ns``: when the request came. Raises ValueError before it has ended."""
        if self.stop_reason is None:
            raise ValueError(f"choice {self.index} has not ended")
        self.answer.add("", ended=True)
        return ChoiceRecord(
            result=self.answer.text,
            reasoning=self.answer.reasoning,
            reasoning_tokens=reasoning_tokens(plan.reasoning, self.token_ids),
            tool_calls=self.answer.calls,
            token_ids=tuple(self.token_ids),
            logprobs=None if plan.logprobs is None else tuple(self.logprobs),
            token_times_ms=self._times_ms(received_ns) if plan.token_times else None,
            logits_digest=self.logits_digest,
            stop_reason=self.stop_reason,
        )

    def _times_ms(self, received_ns: int) -> tuple[float, ...]:
        return tuple(round((time_ns - received_ns) / 1e6, 3) for time_ns in self.token_times_ns)
