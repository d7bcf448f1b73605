"""The words and flags that say what is answered."""

from __future__ import annotations

import sys
from typing import Any

import click

from engine_ctl.completions import complete_first_word
from engine_ctl.json_source import read_json
from engine_ctl.options import Model
from engine_ctl.text_source import STDIN, read_document

Content = dict[str, Any]

_CHAT_FLAGS = (
    "system", "messages", "tools", "tool_choice", "chat_template", "chat_date", "thinking", "thinking_tokens",
)  # fmt: skip
_PROMPTS = ("prompt", "prompt_file", "messages")

SYSTEM_FLAG = click.option("--system", help="System message, in a chat.")
PROMPT_FLAGS = (
    click.argument("words", nargs=-1, metavar="[MODEL] [TEXT]...", shell_complete=complete_first_word),
    click.option("--prompt", help="Text to pass on unchanged, or with --chat as a message; - is standard input."),
    click.option("--prompt-file", metavar="FILE", help="Read that text from a file; - is standard input."),
    click.option(
        "--chat/--raw",
        "chat",
        default=None,
        help="Put the text into the model's chat template, or pass it on unchanged.  "
        "[default: chat for TEXT where the model has a template, else raw]",
    ),
    click.option("--messages", metavar="FILE", help="Conversation as a JSON array of messages; needs --chat."),
    click.option("--tool-choice", help="auto, none, required, or the tool that must be called, with --tools."),
    click.option("--tools", metavar="FILE", help="Functions that the model may call, as a JSON array; in a chat."),
)


def split_words(flags: Content, *, model_is_named: bool) -> tuple[str | None, tuple[str, ...]]:
    """The model, and the words of TEXT: the first word is the model unless that is said otherwise."""
    model, words = flags["model"], flags["words"]
    if model is None and words and not model_is_named:
        return Model().convert(words[0], None, None), words[1:]
    return model, words


def has_prompt(flags: Content) -> bool:
    """Whether flags, and not words, say what is answered."""
    return any(flags[name] is not None for name in _PROMPTS)


def spoken(words: tuple[str, ...]) -> str | None:
    """TEXT as it is said: the words with a space between, where ``-`` stands for standard input; without any, what is
    piped in. ``None``: neither, and a person sits before the terminal.

    Raises:
        click.UsageError: what is piped in is empty.
        click.BadParameter: it cannot be read.
    """
    if words:
        return " ".join(read_document(STDIN).rstrip("\n") if word == STDIN else word for word in words)
    if sys.stdin.isatty():
        return None
    text = read_document(STDIN).rstrip("\n")
    if not text:
        raise click.UsageError("There is nothing to answer: give a TEXT, pipe one in, or give a --prompt.")
    return text


def prompt_content(flags: Content) -> Content:
    """The request's input that flags alone stand for.

    Raises:
        click.UsageError: not exactly one, or a flag comes without its ``--chat``.
        click.BadParameter: it cannot be read.
    """
    if not flags["chat"]:
        refuse_chat_flags(flags)
        return {"prompt": _prompt(flags["prompt"], flags["prompt_file"])}
    if flags["messages"] is None:
        said = _turn(_prompt(flags["prompt"], flags["prompt_file"]))
    elif flags["prompt"] is None and flags["prompt_file"] is None:
        said = _json_array("--messages", flags["messages"])
    else:
        raise click.UsageError("--messages holds the whole conversation: leave the prompt out.")
    return {"messages": (*system_messages(flags), *said), **tools_content(flags)}


def chat_flags(flags: Content) -> list[str]:
    """The flags of a chat that were given, as they are written."""
    return [f"--{flag.replace('_', '-')}" for flag in _CHAT_FLAGS if flags[flag] is not None]


def refuse_chat_flags(flags: Content) -> None:
    """Raises click.UsageError where a flag of a chat was given."""
    if given := chat_flags(flags):
        raise click.UsageError(f"{given[0]} needs --chat.")


def chat_content(flags: Content, text: str) -> Content:
    """The request's input that a turn of a chat stands for."""
    return {"messages": (*system_messages(flags), *_turn(text)), **tools_content(flags)}


def system_messages(flags: Content) -> tuple[Content, ...]:
    """The message of ``--system``, or none."""
    return () if flags["system"] is None else ({"role": "system", "content": flags["system"]},)


def tools_content(flags: Content) -> Content:
    """The request's tools. Raises click.BadParameter: the file holds none."""
    tools: Content = {} if flags["tools"] is None else {"tools": _json_array("--tools", flags["tools"])}
    if (choice := flags["tool_choice"]) is not None:
        tools["tool_choice"] = choice if choice in ("auto", "none", "required") else {"name": choice}
    return tools


def _turn(text: str) -> tuple[Content, ...]:
    return ({"role": "user", "content": text},)


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
