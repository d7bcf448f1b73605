"""The flags that make up a Run Request. A flag not given is left out: the engine fills it in and the plan shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

from engine_ctl.grammar_options import GRAMMAR_FLAGS, chosen_grammar
from engine_ctl.json_source import read_json
from engine_ctl.options import Model, model_option
from engine_ctl.plan_source import planned_request, read_plan
from engine_ctl.sampling_options import SAMPLING_FLAGS, sampling_content
from engine_ctl.text_source import STDIN, read_document

Content = dict[str, Any]

_EXECUTION = {
    "chat_template": "chat_template",
    "chat_date": "chat_date",
    "backend": "backend",
    "quant": "quantization",
    "kv_cache": "kv_cache",
    "prefix_cache": "prefix_cache",
    "threads": "threads",
    "context_length": "context_length",
    "policy": "scheduler_policy",
    "priority": "priority",
    "energy_source": "energy_source",
    "op_times": "op_times",
    "token_times": "token_times",
    "logprobs": "logprobs",
    "n": "n",
}
_CHAT_FLAGS = (
    "system", "messages", "tools", "tool_choice", "chat_template", "chat_date", "thinking", "thinking_tokens",
)  # fmt: skip
_LIMITS = ("max_tokens", "max_watts", "on_max_watts", "max_joules", "deadline_ms")

_REQUEST_FLAG = click.option(
    "--request", metavar="FILE", help="Read the whole request as JSON instead of these flags; - is standard input."
)
_PLAN_FLAG = click.option(
    "--plan",
    metavar="FILE",
    help="Execute exactly the plan in a file, such as `plan --json` prints, or refuse; - is standard input.",
)
_PLAN_NAME_FLAG = click.option("--plan-name", help="Execute the plan behind a name; `plans ls` lists them.")
_INPUT_FLAGS = (
    click.option("--prompt", help="Text to answer; - is standard input."),
    click.option("--prompt-file", metavar="FILE", help="Read the prompt from a file; - is standard input."),
    click.option(
        "--chat/--raw",
        "chat",
        default=False,
        help="Put the prompt into the model's chat template, or pass it on unchanged.  [default: raw]",
    ),
    click.option("--messages", metavar="FILE", help="Conversation as a JSON array of messages; needs --chat."),
    click.option("--tool-choice", help="auto, none, required, or the tool that must be called, with --tools."),
    click.option("--tools", metavar="FILE", help="Functions that the model may call, as a JSON array; needs --chat."),
)
_FLAGS = (
    click.option("--system", help="System message; needs --chat."),
    click.option(
        "--chat-template", help="Built-in chat template to use instead of the model's: chatml.  [default: model]"
    ),
    click.option(
        "--chat-date", metavar="DAY", help="Date passed to the chat template, such as 2026-01-31.  [default: none]"
    ),
    click.option("--thinking/--no-thinking", "thinking", default=None, help="Whether the template asks for thinking."),
    click.option("--thinking-tokens", type=int, help="Most tokens of thinking, with --chat.  [default: no limit]"),
    click.option("--quant", help="Types of the weights: native, q8_0, q6_k, q4_k_m.  [default: native]"),
    click.option(
        "--backend",
        help="Kernels by name; engine-ctl doctor lists what this machine runs.  [default: the best this machine has]",
    ),
    click.option("--kv-cache", help="Type of keys and values: f16, q8_0.  [default: f16]"),
    click.option(
        "--prefix-cache",
        help="Reuse what was computed for earlier prompts with the same beginning: off, on.  [default: off]",
    ),
    click.option("--max-tokens", type=int, help="Largest number of tokens to generate.  [default: 512]"),
    click.option(
        "--energy-source",
        help="Source of joules: perf, rapl, hwmon, meter, none; or model, a formula.  "
        "[default: what was declared, else the best that measures]",
    ),
    click.option(
        "--max-watts", type=float, help="Average power limit in watts; rejected if nothing can measure power."
    ),
    click.option("--on-max-watts", help="Action at --max-watts: stop, throttle.  [default: stop]"),
    click.option("--max-joules", type=float, help="Energy limit in joules; rejected if nothing can measure energy."),
    click.option("--deadline-ms", type=int, help="Time limit in milliseconds from the request on, waiting included."),
    *SAMPLING_FLAGS,
    click.option("--logprobs", type=int, help="Record log probabilities of each token and of this many alternatives."),
    click.option("-n", "--choices", "n", type=int, help="Number of answers to draw.  [default: 1]"),
    click.option("--stop", multiple=True, metavar="TEXT", help="End the answer before this text; repeatable."),
    click.option("--stop-token", multiple=True, type=int, help="End the answer at this token id; repeatable."),
    *GRAMMAR_FLAGS,
    click.option("--threads", type=int, help="Compute threads.  [default: every allowed CPU]"),
    click.option(
        "--policy",
        help="Scheduling policy: default, latency, cost, energy, latency_energy_balanced.  [default: default]",
    ),
    click.option(
        "--priority", type=int, help="Priority from -10 to 10; each step is worth a second of waiting.  [default: 0]"
    ),
    click.option("--context-length", type=int, help="Room for prompt and answer, in tokens.  [default: as needed]"),
    click.option(
        "--op-times", is_flag=True, default=None, help="Measure how the computing time divides among operations."
    ),
    click.option("--token-times", is_flag=True, default=None, help="Record when each token was ready."),
)


def request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags, and pass the request they make to the command as ``request``.

    Raises:
        click.UsageError: there is no model or not exactly one prompt, it cannot be read, a flag comes without its
            ``--chat``, beside ``--request``, or is not of its form.
    """
    flags = (_REQUEST_FLAG, _PLAN_FLAG, _PLAN_NAME_FLAG, model_option(required=False), *_INPUT_FLAGS, *_FLAGS)
    return _with_flags(command, "request", flags, run_request)


def conversation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags that hold for a whole conversation, as ``opening``: a request without the user's words."""
    return _with_flags(command, "opening", (model_option(required=True), *_FLAGS), _opening)


def _with_flags(
    command: Callable[..., None],
    argument: str,
    flags: Sequence[Callable[..., Any]],
    make: Callable[[Content], Content],
) -> Callable[..., None]:
    names: list[str] = []

    @wraps(command)
    def with_request(**values: Any) -> None:
        given = {name: values.pop(name) for name in names}
        command(**{argument: make(given)}, **values)

    own = len(getattr(command, "__click_params__", ()))
    decorated: Callable[..., None] = with_request
    for flag in reversed(flags):
        decorated = flag(decorated)
    names.extend(parameter.name for parameter in decorated.__click_params__[own:])  # type: ignore[attr-defined]
    return decorated


def run_request(flags: Content) -> Content:
    """The Run Request that the flags stand for, as plain values; only what was given is in it."""
    flags = dict(flags)
    path = flags.pop("request")
    if path is not None:
        return _whole_request(path, flags)
    plan, plan_name = flags.pop("plan"), flags.pop("plan_name")
    if plan is not None and plan_name is not None:
        raise click.UsageError("Give a --plan or a --plan-name.")
    if plan is not None:
        return planned_request(read_plan(plan), _request(flags), _input(flags))
    if plan_name is not None:
        return planned_request({"plan_name": plan_name}, _request(flags), _input(flags))
    if flags["model"] is None:
        raise click.UsageError("Give a --model, a --plan, a --plan-name, or a whole --request.")
    return {**_request(flags), **_input(flags)}


def _whole_request(path: str, flags: Content) -> Content:
    """The request in a file. An energy source may stand beside it if the file names none, since a refusal suggests that
    flag. A model's path is relative to here, like that of ``--model``.
    """
    source = flags.pop("energy_source")
    if beside := [name for name, value in flags.items() if value not in (None, (), False)]:
        listed = ", ".join(f"-{'-' * (len(name) > 1)}{name.replace('_', '-')}" for name in sorted(beside))
        raise click.UsageError(f"--request holds the whole request: leave out {listed}, or write it into the file.")
    content = read_json(path, "--request")
    if not isinstance(content, dict):
        raise click.BadParameter(f"{path} does not hold a JSON object", param_hint="--request")
    if source is not None:
        content = _with_energy_source(content, source)
    model = content.get("model")
    return {**content, "model": Model().convert(model, None, None)} if isinstance(model, str) else content


def _with_energy_source(content: Content, source: str) -> Content:
    execution = content.get("execution", {})
    if not isinstance(execution, dict):
        return content  # refused for that
    named = execution.get("energy_source")
    if named not in (None, source):
        raise click.UsageError(f"--request names the energy source {named!r}: leave out --energy-source.")
    return {**content, "execution": {**execution, "energy_source": source}}


def _opening(flags: Content) -> Content:
    return {**_request(flags), "messages": _system(flags)}


def _request(flags: Content) -> Content:
    execution = {field: flags[flag] for flag, field in _EXECUTION.items() if flags[flag] is not None}
    if sampling := sampling_content(flags):
        execution["sampling"] = sampling
    if limits := {name: flags[name] for name in _LIMITS if flags[name] is not None}:
        execution["limits"] = limits
    if grammar := chosen_grammar(flags):
        execution["grammar"] = grammar
    reasoning = {"enabled": flags["thinking"], "max_tokens": flags["thinking_tokens"]}
    if reasoning := {name: value for name, value in reasoning.items() if value is not None}:
        execution["reasoning"] = reasoning
    stop = {"strings": tuple(flags["stop"]), "token_ids": tuple(flags["stop_token"])}
    if stop := {name: value for name, value in stop.items() if value}:
        execution["stop"] = stop
    request: Content = {"model": flags["model"]}
    return {**request, "execution": execution} if execution else request


def _input(flags: Content) -> Content:
    if not flags["chat"]:
        for flag in _CHAT_FLAGS:
            if flags[flag] is not None:
                raise click.UsageError(f"--{flag.replace('_', '-')} needs --chat.")
        return {"prompt": _prompt(flags["prompt"], flags["prompt_file"])}
    tools: Content = {} if flags["tools"] is None else {"tools": _json_array("--tools", flags["tools"])}
    if (choice := flags["tool_choice"]) is not None:
        tools["tool_choice"] = choice if choice in ("auto", "none", "required") else {"name": choice}
    if flags["messages"] is None:
        said = ({"role": "user", "content": _prompt(flags["prompt"], flags["prompt_file"])},)
    elif flags["prompt"] is None and flags["prompt_file"] is None:
        said = _json_array("--messages", flags["messages"])
    else:
        raise click.UsageError("--messages holds the whole conversation: leave the prompt out.")
    return {"messages": (*_system(flags), *said), **tools}


def _system(flags: Content) -> tuple[Content, ...]:
    return () if flags["system"] is None else ({"role": "system", "content": flags["system"]},)


def _json_array(flag: str, path: str) -> tuple[Any, ...]:
    content = read_json(path, flag)
    if not isinstance(content, tuple):
        raise click.BadParameter(f"{path} does not hold a JSON array", param_hint=flag)
    return content


def _prompt(prompt: str | None, prompt_file: str | None) -> str:
    if (prompt is None) == (prompt_file is None):
        raise click.UsageError("Give exactly one of --prompt and --prompt-file.")
    if prompt_file is not None:
        return read_document(prompt_file)
    return read_document(STDIN) if prompt == STDIN else str(prompt)
