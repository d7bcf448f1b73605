"""What a client asks on the socket. A frame holds one of them as a msgpack map whose ``type`` is the class name.
Longer than other files, so that the list is whole.

Every request carries a ``request_id`` of the client's choice, unique among those in flight on its connection.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from protocol import framing
from protocol.answers import (
    Accepted,
    Done,
    Event,
    Finished,
    LiveEnergy,
    MetricsReport,
    ModelAdvised,
    ModelDescription,
    ModelList,
    ModelRemoved,
    Planned,
    Progress,
    StatusReport,
    Subscribed,
    Text,
    TokenIds,
    Tokens,
)
from protocol.cached_weights_messages import AskedOfCachedWeights
from protocol.embedding import EmbeddingRequest
from protocol.evaluation import EvaluationRequest
from protocol.events import EventFilter
from protocol.experiment import AgentName, Note
from protocol.experiment_messages import AskedOfExperiments
from protocol.message import Request, RequestId, StreamRequest
from protocol.operation_answers import Calibrated, Embedded, Evaluated, Quantized, Reranked
from protocol.plan import EnergySourceName, PositiveInt, RunRequest
from protocol.proposal_messages import AskedOfProposals
from protocol.quantization import QuantizationName
from protocol.record_answers import Compared, ExecutionEntry, ExecutionList, RecordsPruned, RecordsVerified
from protocol.record_entry import ChainPosition, RecordFilter, Sequence, Timestamp
from protocol.reranking import RerankRequest
from protocol.value import Value

PROTOCOL_VERSION = framing.PROTOCOL_VERSION

DrainSeconds = Annotated[float, Field(ge=0, le=86_400)]


class Hello(Value):
    """The first message on a connection."""

    type: Literal["Hello"] = "Hello"
    protocol_version: int


class Run(StreamRequest[Accepted | Progress | Tokens, Finished]):
    """Answered by ``Accepted``, any number of ``Progress`` while its weights are made ready, any number of ``Tokens``,
    then ``Finished``; at any point ``Failed`` may end it."""

    type: Literal["Run"] = "Run"
    request: RunRequest


class Plan(Request[Planned]):
    """Resolve a request into its plan and run nothing. Answered by ``Planned``."""

    type: Literal["Plan"] = "Plan"
    request: RunRequest


class Cancel(Request[Done]):
    """Stop an execution, one's own or another client's. Answered by ``Done``; its own client gets ``Finished``."""

    type: Literal["Cancel"] = "Cancel"
    execution_id: str


class StopExperiment(Request[Done]):
    """End an experiment, one's own or another client's, with what it has measured. Answered by ``Done``."""

    type: Literal["StopExperiment"] = "StopExperiment"
    experiment_id: str
    agent: AgentName = ""
    reason: Note = ""
    """Kept, with the agent, as why it ended."""


class Status(Request[StatusReport]):
    """Answered by ``StatusReport``."""

    type: Literal["Status"] = "Status"


class Metrics(Request[MetricsReport]):
    """What the engine counts and measures over all it does. Answered by ``MetricsReport``."""

    type: Literal["Metrics"] = "Metrics"


class Energy(Request[LiveEnergy]):
    """What the machine draws now and what running executions have used so far. Answered by ``LiveEnergy``, after a
    second or more where no reading so old is there to compare with."""

    type: Literal["Energy"] = "Energy"
    source: EnergySourceName | None = None
    """``None``: what plans name that leave theirs open; where that is none, what a running execution's plan names."""


class ListModels(Request[ModelList]):
    """Answered by ``ModelList``."""

    type: Literal["ListModels"] = "ListModels"


class ModelInfo(Request[ModelDescription]):
    """Answered by ``ModelDescription``."""

    type: Literal["ModelInfo"] = "ModelInfo"
    model: str


class ModelAdvice(Request[ModelAdvised]):
    """What a model's file advises those who run it; no ``Run`` follows it by itself. Answered by ``ModelAdvised``."""

    type: Literal["ModelAdvice"] = "ModelAdvice"
    model: str


class PullModel(StreamRequest[Progress, ModelDescription]):
    """Fetch a model of the catalogue, or by a reference: ``hf:OWNER/REPO[@REVISION][/FILE.gguf | :QUANTIZATION]``,
    ``ollama:[NAMESPACE/]NAME[:TAG]`` or ``https://HOST/PATH/FILE.gguf[#sha256=HEX]``. Answered by any number
    of ``Progress``, then ``ModelDescription``. It ends when its client goes; what has arrived is kept for the next."""

    type: Literal["PullModel"] = "PullModel"
    model: str


class RemoveModel(Request[ModelRemoved]):
    """Remove a model, or what has arrived of one, from the models directory. Answered by ``ModelRemoved``."""

    type: Literal["RemoveModel"] = "RemoveModel"
    model: str
    dry_run: bool = False
    """Say what would go, and remove nothing."""


class UnloadModel(Request[Done]):
    """Free the memory that a model's weights take, in every quantization; the next execution loads them anew. Answered
    by ``Done``, also where none are in memory. Refused with ``model_in_use`` while something uses them."""

    type: Literal["UnloadModel"] = "UnloadModel"
    model: str


class Tokenize(Request[TokenIds]):
    """Answered by ``TokenIds``. ``parse_special``: text that spells a control token becomes that token."""

    type: Literal["Tokenize"] = "Tokenize"
    model: str
    text: str
    add_special: bool = True
    parse_special: bool = False


class Detokenize(Request[Text]):
    """Answered by ``Text``."""

    type: Literal["Detokenize"] = "Detokenize"
    model: str
    token_ids: tuple[int, ...]
    control_tokens: bool = False
    """Write control tokens by their names; else they print nothing."""


class Quantize(StreamRequest[Progress, Quantized]):
    """Write a model in a recipe's types as a GGUF file of its own. Answered by any number of ``Progress``, then
    ``Quantized``. Paths are absolute, and the engine's: it reads and writes with its own rights."""

    type: Literal["Quantize"] = "Quantize"
    model: str
    recipe: QuantizationName
    output: str
    """Must not be there yet."""
    importance: str | None = None
    """The path of an importance matrix, in GGUF or in the legacy form."""
    backend: str | None = None
    threads: PositiveInt | None = None


class Evaluate(StreamRequest[Progress, Evaluated]):
    """Measure how well a model predicts a text. Answered by any number of ``Progress``, then ``Evaluated``."""

    type: Literal["Evaluate"] = "Evaluate"
    request: EvaluationRequest


class Embed(StreamRequest[Progress, Embedded]):
    """Make vectors of texts. Answered by any number of ``Progress``, then ``Embedded``."""

    type: Literal["Embed"] = "Embed"
    request: EmbeddingRequest


class Rerank(StreamRequest[Progress, Reranked]):
    """Order documents by how well they answer a query. Answered by any number of ``Progress``, then ``Reranked``.
    Refused with ``unsupported_model`` where the model has no classifier."""

    type: Literal["Rerank"] = "Rerank"
    request: RerankRequest


class Calibrate(StreamRequest[Progress, Calibrated]):
    """Measure what this machine draws, quiet and at work, for models and idle joules of executions to come. Answered by
    any number of ``Progress``, then ``Calibrated``. Refused with ``energy_unavailable`` where nothing measures, or the
    machine is not quiet, and with ``overloaded`` while executions are in progress."""

    type: Literal["Calibrate"] = "Calibrate"
    source: str | None = None
    """The energy source to measure with; ``None``: the best."""
    quiet_s: Annotated[float, Field(ge=10, le=600)] = 10.0
    """How long idle power is measured."""
    load_s: Annotated[float, Field(ge=1, le=30)] = 5.0
    """How long each load is measured, after a second to settle."""
    loads: bool = True
    """Whether to measure loads, and fit the curve of a model to them; else idle power alone."""


class ClearPrefixCache(Request[Done]):
    """Forget what was computed of prompts: later executions begin anew. Answered by ``Done``."""

    type: Literal["ClearPrefixCache"] = "ClearPrefixCache"


class Replay(StreamRequest[Accepted | Progress | Tokens, Finished]):
    """Run a recorded execution's plan and prompt again, in an execution of its own. Answered as ``Run``.

    Its record is comparable with the first by ``CompareExecutions``.
    """

    type: Literal["Replay"] = "Replay"
    execution_id: str


class ListExecutions(Request[ExecutionList]):
    """The recorded executions, the newest first. Answered by ``ExecutionList``."""

    type: Literal["ListExecutions"] = "ListExecutions"
    wanted: RecordFilter = RecordFilter()
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    before: Sequence | None = None
    """The page after this ``sequence``."""


class GetExecution(Request[ExecutionEntry]):
    """Answered by ``ExecutionEntry``."""

    type: Literal["GetExecution"] = "GetExecution"
    execution_id: str


class CompareExecutions(Request[Compared]):
    """Hold B against A: as a repeat, or as a variant that differs in named fields. Answered by ``Compared``."""

    type: Literal["CompareExecutions"] = "CompareExecutions"
    a: str
    b: str
    differing: tuple[str, ...] | None = Field(default=None, validation_alias=AliasChoices("differing", "experiment"))
    """Dotted fields of the plan that may differ, such as ``quantization``; ``None`` is a repeat. An earlier name of
    this field, ``experiment``, is understood too."""


class VerifyRecords(Request[RecordsVerified]):
    """Read the whole chain of records. Answered by ``RecordsVerified``."""

    type: Literal["VerifyRecords"] = "VerifyRecords"
    witness: ChainPosition | None = None
    """A head of the chain that was written down earlier."""


class PruneRecords(Request[RecordsPruned]):
    """Remove the oldest records. Answered by ``RecordsPruned``; refused with ``not_permitted`` unless the operator
    permits it, and with ``invalid_request`` for a moment that has not come."""

    type: Literal["PruneRecords"] = "PruneRecords"
    recorded_before: Timestamp
    dry_run: bool = False
    """Only count what would be removed. This needs no permission, and the answer says whether there is one."""


class Subscribe(StreamRequest[Subscribed | Event, Done]):
    """Observe executions, one's own and others'. Answered by ``Subscribed``, then any number of ``Event``, and ``Done``
    after an ``Unsubscribe`` or when the engine stops. An observer that does not read gets ``slow_consumer``."""

    type: Literal["Subscribe"] = "Subscribe"
    wanted: EventFilter = EventFilter()
    after: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    """Replay the lasting events after this sequence number; 0: all that are kept; ``None``: none."""


class Unsubscribe(Request[Done]):
    """Answered by ``Done``, as then is the subscription."""

    type: Literal["Unsubscribe"] = "Unsubscribe"
    subscription: RequestId
    """The ``request_id`` of the ``Subscribe``."""


class Shutdown(Request[Done]):
    """Stop the engine: it takes nothing new, what is queued ends with ``shutdown``, what runs may finish within
    ``drain_s`` and then ends with ``shutdown`` too. The shortest of several counts. Answered by ``Done``."""

    type: Literal["Shutdown"] = "Shutdown"
    drain_s: DrainSeconds = 0.0


AskedMessage = (
    Run
    | Plan
    | Cancel
    | Status
    | Metrics
    | Energy
    | ListModels
    | ModelInfo
    | ModelAdvice
    | PullModel
    | RemoveModel
    | UnloadModel
    | Tokenize
    | Detokenize
    | Quantize
    | Evaluate
    | Embed
    | Rerank
    | Calibrate
    | AskedOfCachedWeights
    | ClearPrefixCache
    | Replay
    | ListExecutions
    | GetExecution
    | CompareExecutions
    | VerifyRecords
    | PruneRecords
    | Subscribe
    | Unsubscribe
    | Shutdown
    | StopExperiment
    | AskedOfExperiments
    | AskedOfProposals
)
"""Every client message but ``Hello``."""
ClientMessage = Hello | AskedMessage
TaggedClientMessage = Annotated[ClientMessage, Field(discriminator="type")]
