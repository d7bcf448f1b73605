"""Every error a client can meet, as one tree with stable codes. Longer than other files, so that the tree is whole.

EngineError
├── RequestRefused             the request cannot be carried out as asked; nothing was allocated
│   ├── InvalidRequest         invalid_request            a field is unknown, missing, of a wrong type or out of range
│   ├── InvalidPlan            invalid_plan               fields that are valid alone and impossible together
│   ├── UnknownMessage         unknown_message            a request this engine does not have; a later one may
│   ├── UnknownModel           unknown_model              no such registry name, no such file
│   ├── AmbiguousModel         ambiguous_model            several models share that name; ``files`` lists them
│   ├── InvalidModel           invalid_model              the file is not a well-formed GGUF, or it changed (``reason``)
│   ├── UnsupportedModel       unsupported_model          well-formed, but this engine lacks its parts or tokenizer
│   ├── UnsupportedBackend     unsupported_backend        not a backend, or one this machine cannot run
│   ├── UnsupportedQuantization unsupported_quantization  not a recipe this engine can apply
│   ├── InvalidGrammar         invalid_grammar            ill-formed, or beyond what grammars here can express
│   ├── GrammarTooLarge        grammar_too_large          more bytes than allowed
│   ├── GrammarTooDeep         grammar_too_deep           brackets nested deeper than allowed
│   ├── GrammarTooComplex      grammar_too_complex        compiling it needs more work or memory than allowed
│   ├── GrammarTimeout         grammar_timeout            compiling it takes longer than allowed
│   ├── GrammarUnavailable     grammar_unavailable        no library for grammars, or no process to try them in
│   ├── PromptTooLong          prompt_too_long            the prompt leaves no room in the context
│   ├── InvalidTemplate        invalid_template           the chat template is missing, hostile or failed
│   ├── OutOfMemoryBudget      out_of_memory_budget       the run would not fit the memory limit
│   ├── EnergyUnavailable      energy_unavailable         no source of joules works here, or not now
│   ├── UnknownExecution       unknown_execution          no such execution
│   ├── UnknownEntry           unknown_entry              no such experiment, proposal or named plan in the records
│   ├── UnknownCacheEntry      unknown_cache_entry        no weights of that name in the cache
│   ├── CacheEntryInUse        cache_entry_in_use         a running engine has loaded these weights
│   ├── CacheUnavailable       cache_unavailable          the directory of derived weights cannot be read or written
│   ├── CacheFull              cache_full                 no room for derived weights: the disk's, or the cache's limit
│   ├── DownloadFailed         download_failed            a model could not be fetched or failed its checksum
│   ├── DiskFull               disk_full                  no room on the disk for a model
│   ├── ModelInUse             model_in_use               executions need the model, or its weights are in use
│   ├── IncomparableExecutions incomparable_executions    two executions differ in more than a comparison allows
│   ├── EvidenceRefused        evidence_refused           evidence does not support what a proposal says of it
│   ├── NotPermitted           not_permitted              the operator of the engine has not permitted it
│   ├── RecordUnreadable       record_unreadable          another version of the engine wrote the record
│   ├── RecordStoreUnusable    record_store_unusable      the file holds no records, damaged ones, or a newer engine's
│   └── RecordStoreUnavailable record_store_unavailable   records cannot be read or written now: full, read-only, busy
├── ProtocolViolation          the connection is closed after it is reported
│   ├── BadFrame               bad_frame                  not a frame, not msgpack, or nested or sized beyond the caps
│   ├── FrameTooLarge          frame_too_large            the length prefix is over the cap
│   └── UnsupportedProtocol    unsupported_protocol       Hello is missing or of another protocol version
├── EngineUnavailable          try again, later or elsewhere
│   ├── Overloaded             overloaded                 the queue is full; retry_after_ms says when to come back
│   ├── ShuttingDown           shutting_down              the engine is stopping
│   ├── SlowConsumer           slow_consumer              the client did not read its stream
│   ├── BackendUnavailable     backend_unavailable        the backend failed and could not be started again
│   └── EngineUnreachable      engine_unreachable         nothing answers on the socket (raised by clients only)
├── ExecutionCancelled         cancelled                  cancelled before it produced anything
├── NonFiniteResult            non_finite_result          the model computed NaN or infinities; see its class
└── InternalError              internal_error             a fault of the engine itself
"""

from __future__ import annotations

from typing import Any, ClassVar

Params = dict[str, Any]


class EngineError(Exception):
    """An error with a stable ``code``, a sentence for a person, and typed ``params`` for a program."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, **params: Any) -> None:
        super().__init__(message)
        self.message = message
        self.params: Params = params


class RequestRefused(EngineError):
    """The request cannot be carried out as asked."""


class InvalidRequest(RequestRefused):
    """A field is unknown, missing, or has no allowed value."""

    code = "invalid_request"


class InvalidPlan(RequestRefused):
    """The options contradict each other or the model."""

    code = "invalid_plan"


class UnknownMessage(RequestRefused):
    """There is no message of this type; ``allowed`` lists those that there are."""

    code = "unknown_message"


class UnknownModel(RequestRefused):
    """There is no model of this name."""

    code = "unknown_model"


class AmbiguousModel(RequestRefused):
    """The name fits several models."""

    code = "ambiguous_model"


class InvalidModel(RequestRefused):
    """The file is damaged, has changed, or is no GGUF."""

    code = "invalid_model"


class UnsupportedModel(RequestRefused):
    """The engine lacks the model's architecture, tokenizer or tensor types."""

    code = "unsupported_model"


class UnsupportedBackend(RequestRefused):
    """The backend is unknown, or cannot run on this machine."""

    code = "unsupported_backend"


class UnsupportedQuantization(RequestRefused):
    """The quantization is unknown."""

    code = "unsupported_quantization"


class InvalidGrammar(RequestRefused):
    """The grammar cannot be parsed."""

    code = "invalid_grammar"


class GrammarTooLarge(RequestRefused):
    """The grammar has more bytes than are compiled."""

    code = "grammar_too_large"


class GrammarTooDeep(RequestRefused):
    """The grammar nests deeper than is compiled."""

    code = "grammar_too_deep"


class GrammarTooComplex(RequestRefused):
    """Compiling the grammar takes more memory than is granted."""

    code = "grammar_too_complex"


class GrammarTimeout(RequestRefused):
    """Compiling the grammar takes longer than is granted."""

    code = "grammar_timeout"


class GrammarUnavailable(RequestRefused):
    """Grammars need a library that is not installed, or a process that cannot be started."""

    code = "grammar_unavailable"


class PromptTooLong(RequestRefused):
    """The prompt leaves no room in the context."""

    code = "prompt_too_long"


class InvalidTemplate(RequestRefused):
    """The chat template fails, or the model has none."""

    code = "invalid_template"


class OutOfMemoryBudget(RequestRefused):
    """Weights, KV cache and buffers exceed the memory granted or available."""

    code = "out_of_memory_budget"


class EnergyUnavailable(RequestRefused):
    """The energy source does not work, or nothing can judge an energy limit."""

    code = "energy_unavailable"


class UnknownExecution(RequestRefused):
    """There is no execution of this id."""

    code = "unknown_execution"


class UnknownEntry(RequestRefused):
    """There is no such experiment, proposal or named plan; ``kind`` says which."""

    code = "unknown_entry"


class UnknownCacheEntry(RequestRefused):
    """There are no derived weights of this name."""

    code = "unknown_cache_entry"


class CacheEntryInUse(RequestRefused):
    """An engine uses the derived weights."""

    code = "cache_entry_in_use"


class CacheUnavailable(RequestRefused):
    """The folder of derived weights cannot be used."""

    code = "cache_unavailable"


class CacheFull(RequestRefused):
    """There is no room for derived weights."""

    code = "cache_full"


class DownloadFailed(RequestRefused):
    """The model could not be fetched."""

    code = "download_failed"


class DiskFull(RequestRefused):
    """The disk has no room for the download."""

    code = "disk_full"


class ModelInUse(RequestRefused):
    """Executions or loaded weights need the model."""

    code = "model_in_use"


class IncomparableExecutions(RequestRefused):
    """The executions differ in more than may differ."""

    code = "incomparable_executions"


class EvidenceRefused(RequestRefused):
    """The evidence of a proposal does not support it; ``reasons`` says why."""

    code = "evidence_refused"


class NotPermitted(RequestRefused):
    """The engine's operator has not permitted it."""

    code = "not_permitted"


class RecordUnreadable(RequestRefused):
    """The record was written by another version, or is damaged."""

    code = "record_unreadable"


class RecordStoreUnusable(RequestRefused):
    """The store is damaged, or another version's."""

    code = "record_store_unusable"


class RecordStoreUnavailable(RequestRefused):
    """The store cannot be opened, read or written now."""

    code = "record_store_unavailable"


class ProtocolViolation(EngineError):
    """The peer broke the protocol."""


class BadFrame(ProtocolViolation):
    """The frame is no message."""

    code = "bad_frame"


class FrameTooLarge(ProtocolViolation):
    """The frame is over the cap."""

    code = "frame_too_large"


class UnsupportedProtocol(ProtocolViolation):
    """The peer does not begin with ``Hello``, or speaks another version."""

    code = "unsupported_protocol"


class EngineUnavailable(EngineError):
    """The engine cannot serve the request now."""


class Overloaded(EngineUnavailable):
    """Too much is in progress; ``retry_after_ms`` says when to ask again."""

    code = "overloaded"


class ShuttingDown(EngineUnavailable):
    """The engine is stopping."""

    code = "shutting_down"


class SlowConsumer(EngineUnavailable):
    """The client does not read its replies."""

    code = "slow_consumer"


class BackendUnavailable(EngineUnavailable):
    """The backend failed for good."""

    code = "backend_unavailable"


class EngineUnreachable(EngineUnavailable):
    """No engine answers, or it hung up."""

    code = "engine_unreachable"


class ExecutionCancelled(EngineError):
    """The work was cancelled."""

    code = "cancelled"


class NonFiniteResult(EngineError):
    """Finite weights gave values too large for a float, or NaN, so that there is no answer.

    ``params``: ``part``, the part of the model that first gave one (``embedding``, ``attention``, ``feed_forward``,
    ``output``); ``layer``, from 0, ``None`` where the part is in no layer; ``position``, from 0, in the sequence.
    """

    code = "non_finite_result"


class InternalError(EngineError):
    """The engine failed by a fault of its own."""

    code = "internal_error"
