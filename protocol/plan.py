"""The Run Request a client sends and the Execution Plan the engine makes of it.

A request may leave fields out; a plan never does. ``plan_fingerprint`` is the SHA-256 of the plan's canonical JSON
(sorted keys, no white space), which holds the model's content hash and leaves out the name and path it was found under.

One file, so that what a request may leave out and what a plan then holds are read side by side.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from typing_extensions import Self

from protocol.chat import ChatMessage, JsonObject, wire_object
from protocol.grammar import Grammar, PlanGrammar
from protocol.model_ref import ModelName, ModelRef
from protocol.quantization import Quantization, QuantizationName
from protocol.reasoning import PlanReasoning, Reasoning
from protocol.sampling import LogprobCount, PlanSampling, Sampling, TokenId
from protocol.speculation import PlanSpeculation, Speculation
from protocol.tool_calls import PlanTools, SpelledToken, ToolChoice
from protocol.value import Value

PLAN_SCHEMA_VERSION = 7

BackendName = Literal["cpu_avx512", "cpu_amx", "cpu_avx_vnni", "cpu_avx2", "reference"]
KvCacheType = Literal["f16", "q8_0"]
PrefixCache = Literal["off", "on"]
PromptFormat = Literal["raw", "chat_template", "chatml"]
SchedulerPolicy = Literal["default", "latency", "cost", "energy", "latency_energy_balanced"]
EnergySourceName = Literal["perf", "rapl", "hwmon", "meter", "model", "none"]

PositiveInt = Annotated[int, Field(ge=1, le=2**31 - 1)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
PlanName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""A named plan's: small letters, digits, ``-``, ``_`` and dots."""
StopString = Annotated[str, Field(min_length=1, max_length=256)]


class Limits(Value):
    """Every way a run may be ended early or slowed down. ``None`` is no limit."""

    max_tokens: PositiveInt = 512
    max_watts: PositiveFloat | None = None
    """Average power limit of all CPU packages over ``watt_window_ms``, in watts."""
    on_max_watts: Literal["stop", "throttle"] = "stop"
    """``throttle``: rest between steps so that the average stays at ``max_watts``; the tokens stay the same."""
    watt_window_ms: Annotated[int, Field(ge=1000, le=10_000)] = 1000
    """Watts over less than a second would let one process on the machine spy on another's work."""
    max_joules: PositiveFloat | None = None
    """Energy limit of all CPU packages from the execution's first prefill step on, in joules."""
    energy_sample_ms: Annotated[int, Field(ge=20, le=200)] = 50
    """How often the counters are read while ``max_watts`` or ``max_joules`` is set."""
    deadline_ms: PositiveInt | None = None
    """From the Run frame received; the execution ends then, wherever it is."""
    memory_mb: PositiveInt | None = None
    """For weights, KV cache and buffers together, in MB of 10^6 bytes; a request that needs more is refused."""

    @property
    def of_energy(self) -> tuple[str, ...]:
        """Those that are set and need an energy source that measures."""
        return tuple(name for name in ("max_watts", "max_joules") if getattr(self, name) is not None)


class Stop(Value):
    """``eos`` ends at the model's own end tokens; ``strings`` and ``token_ids`` end at the first that appears, which is
    not emitted. A string that spells a control token is also that token."""

    eos: bool = True
    strings: Annotated[tuple[StopString, ...], Field(max_length=16)] = ()
    token_ids: Annotated[tuple[TokenId, ...], Field(max_length=128)] = ()


class Stream(Value):
    """How tokens are gathered into messages."""

    flush_ms: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Milliseconds that a token waits for others to share its ``Tokens`` message, at most, from when it was made. It
    goes at once where nothing was sent for that long, as the first token and the end always do, and sooner where the
    engine turns to its client for another execution's sake. 0 sends each token when the step that made it ends. The
    default's fifty messages a second, at most, read like every token by itself."""


def _from_iso(value: Any) -> Any:
    return date.fromisoformat(value) if isinstance(value, str) else value


class ExecutionRequest(Value):
    """The ``execution`` part of a Run Request. Fields left out are filled in by the engine and shown in the plan."""

    # Names stay plain strings here: an unknown one deserves its own error, naming what this engine has.
    backend: str | None = None
    quantization: QuantizationName = "native"
    kv_cache: str = "f16"
    prefix_cache: str = "off"
    chat_template: str = "model"
    """What makes a text of ``messages``: the ``model``'s own template, or a built-in one by its name."""
    chat_date: Annotated[date, BeforeValidator(_from_iso)] | None = None
    """Date passed to templates, such as ``2026-01-31``; if left out, they get none."""
    message_control_tokens: bool = False
    """Whether a control token that a message or a tool spells becomes that token. It is text otherwise: only what the
    template writes itself can be a control token."""
    tool_format: str | None = None
    """How the model writes calls of tools, by its name; left out, as its template shows."""
    reasoning: Reasoning = Reasoning()
    """How thinking is separated from the answer, with ``messages``."""
    scheduler_policy: str = "default"
    priority: Annotated[int, Field(ge=-10, le=10)] = 0
    """The higher the sooner: each step is worth a second of waiting."""
    nominal_watts: Annotated[float, Field(gt=0.0, le=100_000.0)] = 20.0
    """What the machine is taken to draw while it computes, where the policy weighs joules: ``energy`` and
    ``latency_energy_balanced``. It orders the queue; nothing is measured by it or held to it."""
    energy_source: str | None = None
    threads: PositiveInt | None = None
    spin_us: Annotated[int, Field(ge=0, le=1_000_000)] = 200
    """How long a compute thread waits for the others before it sleeps. Shorter, and every turn of the engine's actors
    puts compute threads to sleep; longer, and a busy machine loses more to waiting."""
    context_length: PositiveInt | None = None
    max_sequences: Annotated[int, Field(ge=1, le=256)] = 16
    prefill_chunk: Annotated[int, Field(ge=1, le=4096)] = 256
    prefill_beside_decode: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Left out: a share of ``prefill_chunk`` that depends on the policy."""
    sampling: Sampling = Sampling()
    logprobs: bool | LogprobCount | None = None
    """Tell the log probability of every token drawn, and those of this many of the likeliest."""
    n: Annotated[int, Field(ge=1, le=256)] = 1
    """How many answers to draw, each in its own way, behind a prompt computed once."""
    speculation: Speculation = Speculation()
    grammar: Grammar | None = None
    """That the answer must follow: a rule for drawing tokens, so it is part of the execution and not of the input."""
    limits: Limits = Limits()
    stop: Stop = Stop()
    stream: Stream = Stream()
    op_times: bool = False
    """Measure what the computing time goes to. Costs some reads of the clock for each row and layer."""
    token_times: bool = False
    """Record when each token was ready."""


class PlanStop(Stop):
    """A request's :class:`Stop`, with the model's end tokens."""

    eos_token_ids: tuple[int, ...]
    """The ids that ``eos`` stands for in this model; empty where ``eos`` is off."""
    string_token_ids: tuple[int, ...] = ()
    """The control tokens that ``strings`` spell, in their order."""


class Batch(Value):
    """How sequences share steps."""

    max_sequences: int
    prefill_chunk: int
    """Most tokens of prompts that a step computes."""
    prefill_beside_decode: int
    """Most of them in a step in which this execution decodes: bounds how much longer the step makes it wait."""
    context_length: int
    """Tokens of KV cache reserved for this sequence: prompt and generated together."""


class ExecutionPlan(Value):
    """One execution, decided. Immutable; nothing about the run is decided outside it."""

    schema_version: int
    model_ref: ModelRef
    backend: BackendName
    quantization: Quantization
    requantized_from: tuple[str, ...]
    """Quantized types in the file that the quantization quantizes again, from what they have lost; sorted."""
    kv_cache: KvCacheType
    threads: int
    spin_us: int
    batch: Batch
    prefix_cache: PrefixCache
    """``on``: begin behind what earlier executions computed of the same prompt, and leave this one's to later ones."""
    scheduler_policy: SchedulerPolicy
    priority: int
    nominal_watts: float = 20.0
    """Watts by which the policy turns machine time into joules. Plans of schema 5 and before do not tell: their engines
    took 20 W where nothing measured."""
    prompt_format: PromptFormat
    """``raw``: the prompt as it is. ``chat_template``: the messages, rendered with the template in the GGUF. Any other:
    with the built-in template of that name."""
    message_control_tokens: bool = True
    """Whether messages could spell control tokens. Plans of schema 6 and before do not tell: they could."""
    tools: PlanTools | None = None
    """``None``: the answer is not read for calls."""
    reasoning: PlanReasoning | None = None
    """``None``: the answer is not read for thinking."""
    spelled_tokens: tuple[SpelledToken, ...] = ()
    """Control tokens that the text of the answer spells out, where others print nothing."""
    sampling: PlanSampling
    logprobs: int | None
    """How many of the likeliest tokens get a log probability beside the one drawn; ``None``: no token does."""
    n: int
    """Choices: sequences that share the prompt and part behind it. Limits of tokens and stops hold for each."""
    speculation: PlanSpeculation = PlanSpeculation()
    """What is drafted; off where earlier plans do not tell."""
    grammar: PlanGrammar | None
    limits: Limits
    stop: PlanStop
    energy_source: EnergySourceName
    stream: Stream
    op_times: bool
    token_times: bool = False

    def canonical_json(self) -> str:
        """The plan as canonical JSON, without where its models were found: their ``name`` and ``path``."""
        content: dict[str, Any] = self.model_dump(mode="json")
        for model in (content["model_ref"], content["speculation"]["model"] or {}):
            model.pop("name", None), model.pop("path", None)
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def fingerprint(self) -> str:
        """``sha256:`` and 64 hexadecimal digits: equal for equal decisions about equal artifacts."""
        return "sha256:" + hashlib.sha256(self.canonical_json().encode()).hexdigest()


class PlanRequest(ExecutionRequest):
    """A plan with fields left out: a request for one. The engine fills in what is missing, as it does for a Run Request
    with the same ``execution``."""

    model: ModelName | None = None
    model_ref: ModelName | None = None
    """The same by a plan's own word for it; exactly one of the two is given."""

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.model is None) == (self.model_ref is None):
            raise ValueError("a plan names its 'model', or its 'model_ref'")
        return self

    @property
    def execution(self) -> ExecutionRequest:
        """What is said of the execution, and nothing else."""
        said = self.model_fields_set & ExecutionRequest.model_fields.keys()
        return ExecutionRequest(**{name: getattr(self, name) for name in said})


def _form(plan: Any) -> str:
    whole = "schema_version" in plan if isinstance(plan, dict) else isinstance(plan, ExecutionPlan)
    return "whole" if whole else "open"


PLAN_FORMS: Final = frozenset({"whole", "open"})
"""Names of the two where pydantic says which of them it has tried."""
GivenPlan = Annotated[
    Annotated[ExecutionPlan, Tag("whole")] | Annotated[PlanRequest, Tag("open")], Discriminator(_form)
]
"""A whole plan, which says its ``schema_version``, or a request for one."""


def named_by(plan: GivenPlan) -> str:
    """The name or path by which a plan names its model."""
    return plan.model_ref.name if isinstance(plan, ExecutionPlan) else plan.model or plan.model_ref or ""


class RunRequest(Value):
    """The product's contract: a model, something to answer, and how to execute it.

    How is said by ``execution``, or by a ``plan``. A whole plan, such as ``Planned`` and ``Accepted`` hold, is carried
    out as it is or refused by the field that cannot be honoured; beside it ``execution`` may hold only what a chat
    template is told and no plan says: ``chat_date`` and ``reasoning.enabled``.
    """

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": [name]} for name in ("model", "plan", "plan_name")]}
    )

    plan: GivenPlan | None = None
    plan_name: PlanName | None = None
    """Run by the plan behind this name: a whole one, as if it were given."""
    build: str | None = None
    """The ``id`` of the build that made the plan: another build refuses it. Left out, any build may carry it out."""
    model: Annotated[str, Field(max_length=4096, validate_default=True)] = ""
    """May be left out beside a plan, which names it. Beside a whole one it may be another name, or the path, of the
    same file: the content's hash counts."""
    prompt: str | None = None
    prompt_token_ids: Annotated[tuple[TokenId, ...], Field(min_length=1)] | None = None
    """Instead of a text: taken as they are, control tokens included."""
    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=1024)] | None = None
    tools: Annotated[tuple[JsonObject, ...], Field(min_length=1, max_length=128)] | None = None
    """Functions the model may call, with ``messages``: each as its template expects it, as a rule
    ``{"type": "function", "function": {"name", "description", "parameters"}}``."""
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    """Whether an answer may hold more than one call."""
    execution: ExecutionRequest = ExecutionRequest()

    def wire_fields(self) -> dict[str, Any]:
        """See :meth:`Value.wire_fields`."""
        tools = self.tools if self.tools is None else tuple(wire_object(tool) for tool in self.tools)
        return {**self.__dict__, "tools": tools}

    @property
    def named_model(self) -> str:
        """The name or path by which the model is to be found: the request's own, else the plan's."""
        return self.model if self.model or self.plan is None else named_by(self.plan)

    @field_validator("model")
    @classmethod
    def _named(cls, model: str, info: ValidationInfo) -> str:
        if not model and info.data.get("plan", model) is None and info.data.get("plan_name", model) is None:
            raise ValueError("give a model, or a plan that names one")
        return model

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if [self.prompt, self.prompt_token_ids, self.messages].count(None) != 2:
            raise ValueError("give exactly one of 'prompt', 'prompt_token_ids' and 'messages'")
        if self.tools is not None and self.messages is None:
            raise ValueError("'tools' are for 'messages'; a 'prompt' is taken as it is")
        if self.tools is None and self.tool_choice not in ("auto", "none"):
            raise ValueError("'tool_choice' asks for a call, and there are no 'tools'")
        return self

    @model_validator(mode="after")
    def _one_decision(self) -> Self:
        if self.plan is None and self.build is not None:
            raise ValueError("'build' is the build that made a 'plan', and there is none")
        if self.plan is not None and self.plan_name is not None:
            raise ValueError("give a 'plan' or a 'plan_name'")
        if isinstance(self.plan, PlanRequest) and (self.model or self.execution != ExecutionRequest()):
            raise ValueError("a 'plan' says it all: write 'model' and 'execution' into it")
        whole = self.plan_name is not None or isinstance(self.plan, ExecutionPlan)
        if whole and (said := self._decided_twice()):
            raise ValueError(f"the plan is whole: leave out execution.{said}")
        return self

    def _decided_twice(self) -> str | None:
        told = Reasoning(enabled=self.execution.reasoning.enabled)
        rest = ExecutionRequest(chat_date=self.execution.chat_date, reasoning=told)
        return next((name for name, value in self.execution if value != getattr(rest, name)), None)
