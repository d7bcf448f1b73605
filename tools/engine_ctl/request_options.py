"""The flags that make up a Run Request. A flag not given is left out: the engine fills it in and the plan shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from engine_ctl.asked_run import AskedRun
from engine_ctl.completions import BACKENDS, KV_CACHES, POLICIES, QUANTIZATIONS, among, models_here
from engine_ctl.grammar_options import GRAMMAR_FLAGS, chosen_grammar
from engine_ctl.json_source import read_json
from engine_ctl.options import Model, model_option, speak_in_fields
from engine_ctl.plan_source import planned_request, read_plan
from engine_ctl.prompt_options import (
    PROMPT_FLAGS,
    SYSTEM_FLAG,
    chat_content,
    chat_flags,
    has_prompt,
    prompt_content,
    refuse_chat_flags,
    split_words,
    spoken,
    system_messages,
    tools_content,
)
from engine_ctl.sampling_options import SAMPLING_FLAGS, sampling_content
from engine_ctl.speculate_option import SPECULATE_FLAG

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
_LIMITS = ("max_tokens", "memory_mb", "max_watts", "on_max_watts", "max_joules", "deadline_ms")

_REQUEST_FLAG = click.option(
    "--request", metavar="FILE", help="Read the whole request as JSON instead of these flags; - is standard input."
)
_PLAN_FLAG = click.option(
    "--plan",
    metavar="FILE",
    help="Execute exactly the plan in a file, such as `plan --json` prints, or refuse; - is standard input.",
)
_PLAN_NAME_FLAG = click.option("--plan-name", help="Execute the plan behind a name; `plans ls` lists them.")
_FLAGS = (
    SYSTEM_FLAG,
    click.option(
        "--chat-template", help="Built-in chat template to use instead of the model's: chatml.  [default: model]"
    ),
    click.option(
        "--chat-date", metavar="DAY", help="Date passed to the chat template, such as 2026-01-31.  [default: none]"
    ),
    click.option("--thinking/--no-thinking", "thinking", default=None, help="Whether the template asks for thinking."),
    click.option("--thinking-tokens", type=int, help="Most tokens of thinking, in a chat.  [default: no limit]"),
    click.option(
        "--quant",
        shell_complete=among(*QUANTIZATIONS),
        help=f"Types of the weights: {', '.join(QUANTIZATIONS)}.  [default: native]",
    ),
    click.option(
        "--backend",
        shell_complete=among(*BACKENDS),
        help="Kernels by name; engine-ctl doctor lists what this machine runs.  [default: the best this machine has]",
    ),
    click.option(
        "--kv-cache", shell_complete=among(*KV_CACHES), help="Type of keys and values: f16, q8_0.  [default: f16]"
    ),
    click.option(
        "--prefix-cache",
        help="Reuse what was computed for earlier prompts with the same beginning: off, on.  "
        "[default: off; on in a chat]",
    ),
    click.option(
        "--max-tokens",
        type=int,
        help="Largest number of tokens to generate.  [default: 512; 2048 where a TEXT is answered as a chat]",
    ),
    click.option("--memory-mb", type=int, help="Most memory of the run, in MB.  [default: the engine's limit]"),
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
    SPECULATE_FLAG,
    click.option("--stop", multiple=True, metavar="TEXT", help="End the answer before this text; repeatable."),
    click.option("--stop-token", multiple=True, type=int, help="End the answer at this token id; repeatable."),
    *GRAMMAR_FLAGS,
    click.option("--threads", type=int, help="Compute threads.  [default: every allowed CPU]"),
    click.option(
        "--policy",
        shell_complete=among(*POLICIES),
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
    """Add the words and flags, and pass the run that they ask for to the command as ``asked``.

    Raises:
        click.UsageError: there is no model or not exactly one prompt, it cannot be read, a flag comes without its
            ``--chat``, beside ``--request``, or is not of its form.
    """
    flags = (_REQUEST_FLAG, _PLAN_FLAG, _PLAN_NAME_FLAG, model_option(required=False), *PROMPT_FLAGS, *_FLAGS)
    return _with_flags(command, "asked", flags, asked_run)


def conversation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the flags that hold for a whole conversation, as ``opening``: a request without the user's words."""
    word = click.argument("word", metavar="[MODEL]", required=False, type=Model())
    return _with_flags(command, "opening", (model_option(required=False), word, *_FLAGS), _opening)


def _with_flags(
    command: Callable[..., None],
    argument: str,
    flags: Sequence[Callable[..., Any]],
    make: Callable[[Content], Any],
) -> Callable[..., None]:
    names: list[str] = []

    @wraps(command)
    def with_request(**values: Any) -> None:
        given = {name: values.pop(name) for name in names}
        whole = any(given.get(name) for name in ("request", "plan", "plan_name"))
        command(**{argument: make(_said_here(given) if whole else given)}, **values)

    own = len(getattr(command, "__click_params__", ()))
    decorated: Callable[..., None] = with_request
    for flag in reversed(flags):
        decorated = flag(decorated)
    names.extend(parameter.name for parameter in decorated.__click_params__[own:])  # type: ignore[attr-defined]
    return decorated


def _said_here(flags: Content) -> Content:
    """The flags without those that the configuration file gives: beside a whole request or plan they are not wanted."""
    source = click.get_current_context().get_parameter_source
    return {name: None if source(name) is ParameterSource.DEFAULT_MAP else value for name, value in flags.items()}


def asked_run(flags: Content) -> AskedRun:
    """The run that words and flags stand for; only what was given is in its request."""
    flags = dict(flags)
    if (path := flags.pop("request")) is not None:
        return AskedRun(_whole_request(path, flags))
    plan, plan_name = flags.pop("plan"), flags.pop("plan_name")
    if plan is not None and plan_name is not None:
        raise click.UsageError("Give a --plan or a --plan-name.")
    planned = read_plan(plan) if plan is not None else None if plan_name is None else {"plan_name": plan_name}
    flags["model"], words = split_words(flags, model_is_named=planned is not None)
    if flags["model"] is None and planned is None:
        raise click.UsageError("Give a --model, a --plan, a --plan-name, or a whole --request.")
    if planned is not None:
        _refuse_model(words)
    if has_prompt(flags):
        if words:
            raise click.UsageError(f"Give a TEXT or a --prompt, not both: {' '.join(words)!r} is a TEXT.")
        return _asked(flags, planned, prompt_content(flags))
    text = spoken(words)
    if flags["chat"] is False:
        refuse_chat_flags(flags)
    if planned is not None:
        return _asked(flags, planned, _input_of(planned, flags, text))
    before = system_messages(flags)
    if text is None:
        return AskedRun(opening_of(flags), says_nothing=True)
    is_chat = True if chat_flags(flags) else flags["chat"]
    return AskedRun({**_request(flags), **tools_content(flags)}, text, chat=is_chat, said_before=before)


def _refuse_model(words: tuple[str, ...]) -> None:
    """Beside a plan all words are TEXT: a model before them would be said to the plan's own."""
    first = words[0] if words else ""
    if first.lower() in {name.lower() for name in models_here()} or (
        first.lower().endswith(".gguf") and Path(first).expanduser().is_file()
    ):
        raise click.UsageError(f"The plan says which model answers: leave out {first!r}, or give a --prompt.")


def _asked(flags: Content, planned: Content | None, given: Content) -> AskedRun:
    said = _request(flags)
    return AskedRun({**said, **given} if planned is None else planned_request(planned, said, given))


def _input_of(planned: Content, flags: Content, text: str | None) -> Content:
    """The words as the plan takes them: a whole plan says whether it is of a chat."""
    if text is None:
        raise click.UsageError("Give a TEXT, or a --prompt.")
    is_chat = chat_flags(flags) or planned.get("plan", {}).get("prompt_format", "raw") != "raw"
    return chat_content(flags, text) if is_chat and flags["chat"] is not False else {"prompt": text}


def _whole_request(path: str, flags: Content) -> Content:
    """The request in a file. An energy source may stand beside it if the file names none, since a refusal suggests that
    flag. Paths of models are relative to here, like that of ``--model``.
    """
    source = flags.pop("energy_source")
    if words := flags.pop("words"):
        raise click.UsageError(f"--request holds the whole request: leave out {' '.join(words)!r}.")
    if beside := [name for name, value in flags.items() if value not in (None, (), False)]:
        listed = ", ".join(f"-{'-' * (len(name) > 1)}{name.replace('_', '-')}" for name in sorted(beside))
        raise click.UsageError(f"--request holds the whole request: leave out {listed}, or write it into the file.")
    speak_in_fields()
    content = read_json(path, "--request")
    if not isinstance(content, dict):
        raise click.BadParameter(f"{path} does not hold a JSON object", param_hint="--request")
    if source is not None:
        content = _with_energy_source(content, source)
    return _with_full_paths(content, ("execution", "speculation"))


def _with_full_paths(content: Content, within: tuple[str, ...]) -> Content:
    """The content with full paths of the files that ``model`` names, in it and in the objects ``within`` leads to."""
    found = dict(content)
    if isinstance(model := content.get("model"), str):
        found["model"] = Model().convert(model, None, None)
    if within and isinstance(inner := content.get(within[0]), dict):
        found[within[0]] = _with_full_paths(inner, within[1:])
    return found


def _with_energy_source(content: Content, source: str) -> Content:
    execution = content.get("execution", {})
    if not isinstance(execution, dict):
        return content  # refused for that
    named = execution.get("energy_source")
    if named not in (None, source):
        raise click.UsageError(f"--request names the energy source {named!r}: leave out --energy-source.")
    return {**content, "execution": {**execution, "energy_source": source}}


def _opening(flags: Content) -> Content:
    flags = dict(flags)
    word = flags.pop("word")
    if (word is None) == (flags["model"] is None):
        raise click.UsageError("Give one MODEL; engine-ctl models ls lists them.")
    return opening_of({**flags, "model": word or flags["model"]})


def opening_of(flags: Content) -> Content:
    """A conversation's request before anything is said."""
    return {**_request(flags), "messages": system_messages(flags)}


def _request(flags: Content) -> Content:
    execution = {field: flags[flag] for flag, field in _EXECUTION.items() if flags[flag] is not None}
    if sampling := sampling_content(flags):
        execution["sampling"] = sampling
    if limits := {name: flags[name] for name in _LIMITS if flags[name] is not None}:
        execution["limits"] = limits
    if flags["speculate"] is not None:
        execution["speculation"] = flags["speculate"]
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


def settings_content(arguments: list[str]) -> Content:
    """What flags of a conversation, as a command line has them, set in a request's ``execution``.

    Raises click.UsageError: there is no such flag, or its value is not of its form.
    """
    params = [param for flag in _FLAGS for param in flag(click.Command("/set")).params]
    flags = click.Command("/set", params=params, add_help_option=False).make_context("/set", arguments).params
    content: Content = _request({**flags, "model": ""}).get("execution", {})
    return content
