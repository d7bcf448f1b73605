"""The requirement documents' own contract: their JSON in and out, and every message of the socket as a route.

A message's fields are the body's, the query's and the path's together; answers are the socket's messages without
``request_id``. Executions end with the documents' account: ``execution_id``, ``engine_version``, ``model``,
``backend``, ``quantization``, ``result`` and ``metrics`` on top, the rest of the record under ``record``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from protocol import cached_weights_messages, experiment_messages, proposal_messages, requests
from protocol.answers import Finished
from protocol.codec import invalid_request
from protocol.dialects.event_stream import StreamForm, sse
from protocol.dialects.fault import error_content, fault_of
from protocol.dialects.shape import to_json
from protocol.errors import EngineError, InvalidRequest
from protocol.record import ExecutionRecord
from protocol.requests import AskedMessage
from protocol.value import Value

PREFIX = "/v1/weos"
_ON_TOP = ("execution_id", "engine_version", "model", "backend", "quantization", "result", "metrics")


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path below ``/v1/weos``, and the message that they stand for."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    kind: type[AskedMessage]
    form: Literal["fields", "request"] = "fields"
    """``request``: the body is the message's ``request``."""
    manages: bool = False
    """Changes what others see: models, caches, records, files, the engine itself."""

    @property
    def body(self) -> type[BaseModel] | None:
        """The shape of the body; ``None``: there is none."""
        if self.form == "request":
            return cast("type[BaseModel]", self.kind.model_fields["request"].annotation)
        beside = {"type", "request_id", *re.findall(r"{(\w+)}", self.path)}
        fields: dict[str, Any] = {
            name: (field.annotation, field) for name, field in self.kind.model_fields.items() if name not in beside
        }
        return create_model(f"{self.kind.__name__}Body", __base__=Value, **fields) if self.method == "POST" else None


ROUTES = (
    Route("POST", "/run", requests.Run, "request"),
    Route("POST", "/plan", requests.Plan, "request"),
    Route("GET", "/status", requests.Status),
    Route("GET", "/metrics", requests.Metrics),
    Route("GET", "/energy", requests.Energy),
    Route("POST", "/energy/calibrate", requests.Calibrate, manages=True),
    Route("GET", "/executions", requests.ListExecutions),
    Route("POST", "/executions/verify", requests.VerifyRecords),
    Route("POST", "/executions/prune", requests.PruneRecords, manages=True),
    Route("GET", "/executions/{execution_id}", requests.GetExecution),
    Route("POST", "/executions/{execution_id}/cancel", requests.Cancel),
    Route("POST", "/executions/{execution_id}/replay", requests.Replay),
    Route("POST", "/compare", requests.CompareExecutions),
    Route("GET", "/events", requests.Subscribe),
    Route("POST", "/experiments", experiment_messages.Experiment),
    Route("GET", "/experiments", experiment_messages.Experiments),
    Route("GET", "/experiments/{experiment_id}", experiment_messages.GetExperiment),
    Route("POST", "/experiments/{experiment_id}/stop", requests.StopExperiment),
    Route("POST", "/proposals", proposal_messages.Propose),
    Route("GET", "/proposals", proposal_messages.Proposals),
    Route("GET", "/proposals/{proposal_id}", proposal_messages.GetProposal),
    Route("POST", "/proposals/{proposal_id}/move", proposal_messages.MoveProposal),
    Route("GET", "/plans", proposal_messages.NamedPlans),
    Route("GET", "/plans/{name}", proposal_messages.GetNamedPlan),
    Route("POST", "/plans/{name}/apply", proposal_messages.ApplyPlan, manages=True),
    Route("POST", "/plans/{name}/roll-back", proposal_messages.RollBackPlan, manages=True),
    Route("GET", "/models", requests.ListModels),
    Route("POST", "/models/info", requests.ModelInfo),
    Route("POST", "/models/advice", requests.ModelAdvice),
    Route("POST", "/models/pull", requests.PullModel, manages=True),
    Route("POST", "/models/remove", requests.RemoveModel, manages=True),
    Route("POST", "/models/unload", requests.UnloadModel, manages=True),
    Route("POST", "/tokenize", requests.Tokenize),
    Route("POST", "/detokenize", requests.Detokenize),
    Route("POST", "/embed", requests.Embed, "request"),
    Route("POST", "/rerank", requests.Rerank, "request"),
    Route("POST", "/evaluate", requests.Evaluate, "request"),
    Route("POST", "/quantize", requests.Quantize, manages=True),
    Route("GET", "/cache", cached_weights_messages.ListCached),
    Route("POST", "/cache/remove", cached_weights_messages.RemoveCached, manages=True),
    Route("POST", "/cache/verify", cached_weights_messages.VerifyCached),
    Route("POST", "/prefix-cache/clear", requests.ClearPrefixCache, manages=True),
    Route("POST", "/shutdown", requests.Shutdown, manages=True),
)
"""Every message of the socket but ``Hello`` and ``Unsubscribe``: a client that hangs up observes no more."""


def to_message(
    route: Route, body: Mapping[str, Any], path: Mapping[str, str], query: Sequence[tuple[str, str]]
) -> AskedMessage:
    """The message that a request to the route asks for, with the request id 0.

    Raises:
        InvalidRequest: a field is unknown, missing, of a wrong type or out of range, or said twice.
    """
    said = {**path, **{name: _plain(value) for name, value in query}}
    counted = Counter([*path, *(name for name, _ in query), *body])
    if twice := sorted(name for name, times in counted.items() if times > 1):
        raise InvalidRequest(f"{twice[0]} is said twice", field=twice[0], reason="said twice")
    content = {"request": dict(body)} if route.form == "request" else {**body, **said}
    if route.form == "request" and said:
        field = next(iter(said))
        raise InvalidRequest(f"{field}: put it into the body", field=field, reason="not in the body")
    if route.kind is requests.ListExecutions or route.kind is requests.Subscribe:
        content = _filtered(content, ("limit", "before", "after"))
    try:
        # Through JSON, whose arrays are the tuples of strict types.
        message: AskedMessage = TypeAdapter(route.kind).validate_json(to_json({**content, "request_id": 0}))
    except ValidationError as error:
        raise invalid_request(error) from error
    return message


def _plain(value: str) -> Any:
    """A query's value: a whole number where it looks like one."""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else value


def _filtered(content: dict[str, Any], own: tuple[str, ...]) -> dict[str, Any]:
    """What a list is filtered by goes into ``wanted``; ``kinds`` is a list with commas."""
    if "wanted" in content:
        return content
    wanted = {name: value for name, value in content.items() if name not in own}
    if isinstance(kinds := wanted.get("kinds"), str):
        wanted["kinds"] = kinds.split(",")
    return {"wanted": wanted} | {name: value for name, value in content.items() if name in own}


def account(record: ExecutionRecord) -> dict[str, Any]:
    """A record as the documents show it."""
    content = record.model_dump(mode="json")
    content["metrics"]["tokens"] = record.metrics.tokens_total
    return {name: content.pop(name) for name in _ON_TOP} | {"record": content}


def answer(message: Value) -> dict[str, Any]:
    """A message of the engine as the body of an answer."""
    if isinstance(message, Finished):
        unrecorded = {"unrecorded": message.unrecorded} if message.unrecorded else {}
        return account(message.record) | unrecorded
    return message.model_dump(mode="json", exclude={"request_id", "type"})


def stream_form(accept: str) -> StreamForm | None:
    """How an answer is to be streamed, by the ``Accept`` header; ``None``: not at all."""
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if "text/event-stream" in kinds:
        return "sse"
    return "ndjson" if kinds & {"application/x-ndjson", "application/jsonl"} else None


def frame(form: StreamForm, message: Value) -> bytes:
    """A message in a stream: as its ``type`` says, and an event by that name."""
    kind = type(message).__name__
    return _frame(form, kind, {"type": kind, **answer(message)})


def error_frame(form: StreamForm, error: EngineError) -> bytes:
    """The end of a stream by an error."""
    return _frame(form, "Failed", {"type": "Failed", **error_content("weos", fault_of(error))["error"]})


def _frame(form: StreamForm, kind: str, content: dict[str, Any]) -> bytes:
    line = to_json(content)
    return sse(line, kind) if form == "sse" else line + b"\n"
