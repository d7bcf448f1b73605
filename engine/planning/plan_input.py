"""A plan that a client sends back: the request that it answers, and whether this engine would decide the same.

A whole plan is not trusted: the request that it answers is planned anew, and every field must come out as it was given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from pydantic import ValidationError

from engine.artifact.artifact import ModelArtifact
from engine.planning.grammar_rules import plan_grammar
from engine.planning.prompt import PreparedPrompt, prepare_prompt
from engine.planning.reasoning_rules import plan_reasoning
from engine.records.record_differences import plan_differences
from engine.text.chat_formats import OWN_FORMAT
from protocol.errors import InvalidPlan, RequestRefused
from protocol.grammar import Grammar
from protocol.plan import Batch, ExecutionPlan, ExecutionRequest, PlanRequest, RunRequest, Stop
from protocol.reasoning import Reasoning
from protocol.sampling import Sampling
from protocol.value import Value


def expand_plan_request(request: RunRequest) -> RunRequest:
    """The same request without a plan that is left open: what that says becomes the request's own."""
    if not isinstance(request.plan, PlanRequest):
        return request
    said = {"plan": None, "build": None, "model": request.named_model, "execution": request.plan.execution}
    return RunRequest(**{**dict(request), **said})


def request_for_plan(plan: ExecutionPlan, request: RunRequest, draft_model: str | None = None) -> RunRequest:
    """The request, with the input of this one, that the plan answers. ``draft_model``: the name or path of the plan's
    draft model, if it has one. Raises InvalidPlan for what none could ask."""
    try:
        execution = _execution(plan, request, draft_model)
    except ValidationError as error:
        fault = error.errors()[-1]  # of a union's types the last is the one with a range
        field = _plan_field(tuple(map(str, fault["loc"])), plan)
        raise InvalidPlan(f"{field}: {fault['msg']}", field=field) from error
    tools = _tool_fields(plan, request) if request.tools else {}
    own = {"plan": None, "build": None, "model": request.named_model, "execution": execution}
    return RunRequest(**{**dict(request), **tools, **own})


def _execution(plan: ExecutionPlan, request: RunRequest, draft_model: str | None) -> ExecutionRequest:
    taken = {name: getattr(plan, name) for name in ExecutionRequest.model_fields if name in ExecutionPlan.model_fields}
    return ExecutionRequest(
        **{
            **taken,
            **dict(plan.batch),
            "sampling": {name: getattr(plan.sampling, name) for name in Sampling.model_fields},
            "stop": {name: getattr(plan.stop, name) for name in Stop.model_fields},
            "speculation": {**dict(plan.speculation), "model": draft_model},
            "grammar": _grammar(plan, request),
            "reasoning": Reasoning(),
            "message_control_tokens": plan.message_control_tokens and request.prompt is None,
            **(_chat_fields(plan, request) if request.messages else {}),
        }
    )


def prepare_prompt_for_plan(plan: ExecutionPlan, request: RunRequest, artifact: ModelArtifact) -> PreparedPrompt:
    """The prompt of a request that :func:`request_for_plan` made, read as the plan says.

    Raises:
        InvalidPlan: the plan is of another kind of input, or holds what does not fit the model's vocabulary.
        What :func:`prepare_prompt` and :func:`plan_grammar` raise.
    """
    if (grammar := request.execution.grammar) is not None and plan.grammar is not None:
        written = plan_grammar(grammar)
        if written is None or written.text != plan.grammar.text:
            raise _refusal("grammar.text", "is not as this engine writes it out")
    if request.prompt_token_ids is not None:
        return _prepare_token_ids(plan, request.prompt_token_ids, artifact)
    if (request.messages is None) != (plan.prompt_format == "raw"):
        wanted = "a prompt" if plan.prompt_format == "raw" else "messages"
        raise _refusal("prompt_format", f"is {plan.prompt_format!r}, which is for {wanted}")
    prompt = prepare_prompt(request, artifact)
    if prompt.stop_strings and plan.stop.strings[-len(prompt.stop_strings) :] != prompt.stop_strings:
        raise _refusal("stop.strings", f"does not end with {list(prompt.stop_strings)}, as these tools need it")
    return replace(prompt, call_grammar=prompt.call_grammar or plan.grammar, stop_strings=())


def require_plan(given: ExecutionPlan, decided: ExecutionPlan) -> None:
    """Refuse a plan that came out otherwise. Raises InvalidPlan; ``differences`` names each field with both values."""
    found = plan_differences(given, decided)
    if found:
        told = "; ".join(f"{one.field} is {one.a!r}, and here {one.b!r}" for one in found)
        raise InvalidPlan(
            f"this engine cannot carry the plan out as it is: {told}",
            field=f"plan.{found[0].field}",
            differences=[{"field": f"plan.{one.field}", "given": one.a, "here": one.b} for one in found],
        )


def refusal_of_plan(error: RequestRefused, plan: ExecutionPlan) -> RequestRefused:
    """The refusal of a request that the plan answers, about the plan's own field."""
    field = error.params.get("field")
    if isinstance(field, str) and field.startswith("execution."):
        error.params["field"] = _plan_field(tuple(field.split(".")[1:]), plan)
    return error


def _plan_field(request_field: tuple[str, ...], plan: ExecutionPlan) -> str:
    """The plan's field for one of a request, without what names a type or an item in it."""
    names, holder = ["plan"], cast("object", plan)
    for name in ("batch", *request_field) if request_field[0] in Batch.model_fields else request_field:
        if not isinstance(holder, Value):
            break
        names.append(name)
        holder = getattr(holder, name, None)
    return ".".join(names)


def _grammar(plan: ExecutionPlan, request: RunRequest) -> Grammar | None:
    held_by_tools = request.messages is not None and plan.tools is not None and plan.tools.choice != "auto"
    if plan.grammar is None or held_by_tools:
        return None
    return Grammar(kind=plan.grammar.language, source=plan.grammar.text)


def _chat_fields(plan: ExecutionPlan, request: RunRequest) -> dict[str, Any]:
    asked, thinking = request.execution, plan.reasoning
    return {
        "chat_template": OWN_FORMAT if plan.prompt_format in ("raw", "chat_template") else plan.prompt_format,
        "chat_date": asked.chat_date,
        "tool_format": None if plan.tools is None else plan.tools.format,
        "reasoning": Reasoning(
            format="none" if thinking is None else thinking.format,
            enabled=asked.reasoning.enabled,
            max_tokens=None if thinking is None else thinking.max_tokens,
        ),
    }


def _tool_fields(plan: ExecutionPlan, request: RunRequest) -> dict[str, Any]:
    """What a client may leave out beside its tools, since the plan says it."""
    if plan.tools is None:
        return {"tool_choice": "none"}
    return {"tool_choice": plan.tools.choice, "parallel_tool_calls": plan.tools.parallel}


def _prepare_token_ids(plan: ExecutionPlan, token_ids: tuple[int, ...], artifact: ModelArtifact) -> PreparedPrompt:
    """Any prompt's tokens, with the answer read as the plan says: as it was in the execution that they come from."""
    tokenizer = artifact.tokenizer
    tokenizer.require_ids(token_ids, "prompt_token_ids")
    for token in plan.spelled_tokens:
        if tokenizer.control_id(token.text) != token.token_id:
            raise _refusal("spelled_tokens", f"has {token.text!r} for {token.token_id}, which is not this model's")
    if plan.reasoning is not None:
        asked = Reasoning(format=plan.reasoning.format, max_tokens=plan.reasoning.max_tokens)
        read = plan_reasoning(asked, "", "", lambda text: tokenizer.encode(text, False, True), held=False)
        if read is None or read.model_copy(update={"opened": plan.reasoning.opened}) != plan.reasoning:
            raise _refusal("reasoning", "has markers that are not this model's")
    return PreparedPrompt(token_ids, plan.prompt_format, plan.tools, plan.reasoning, plan.spelled_tokens, plan.grammar)


def _refusal(field: str, problem: str) -> InvalidPlan:
    return InvalidPlan(f"this engine cannot carry the plan out: {field} {problem}", field=f"plan.{field}")
