"""``engine-ctl chat``: a conversation at the terminal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from engine_ctl.options import socket_option, tdp_watts_option
from engine_ctl.request_options import conversation_options


@click.command(name="chat")
@conversation_options
@click.option("--markdown", is_flag=True, help="Draw answers as Markdown, where stdout is a terminal.")
@tdp_watts_option
@socket_option
def command(opening: dict[str, Any], markdown: bool, tdp_watts: float | None, socket: Path | None) -> None:
    """Hold a conversation with a model.

    Each answer takes the whole conversation into account. Answers stream to stdout, everything else goes to stderr.
    /help lists the commands. Ctrl-C stops an answer, Ctrl-D or Ctrl-C twice leaves. What is piped in is said line by
    line. The prefix cache is on unless --prefix-cache off, so that a turn computes only what is new. The engine on the
    socket is used or, where none runs, one in this process.
    """
    converse(opening, tdp_watts, socket, markdown=markdown)


def converse(opening: dict[str, Any], tdp_watts: float | None, socket: Path | None, *, markdown: bool = False) -> None:
    """Hold a conversation that begins with ``opening``, to its end."""
    from engine_ctl.asked_run import AskedRun, settle
    from engine_ctl.chat_lines import entries
    from engine_ctl.chat_screen import ChatScreen
    from engine_ctl.chat_session import ChatSession
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.conversation import Conversation
    from protocol.requests import ModelAdvice

    with connect_or_embed(socket, tdp_watts) as client:
        advice = client.ask(ModelAdvice(model=opening["model"]))
        settled = settle(AskedRun(opening, words="", chat=True), advice)
        conversation = Conversation({**settled.content, "messages": opening["messages"]})
        session = ChatSession(client, conversation, ChatScreen(markdown=markdown))
        session.run(entries(_history_file(), session.commands))


def _history_file() -> Path:
    """The file of earlier lines, beside the engine's records."""
    data = os.environ.get("ENGINE_DATA_DIR", "")
    home = os.environ.get("XDG_DATA_HOME", "")
    folder = Path(data).expanduser() if data else (Path(home) if home else Path.home() / ".local" / "share") / "engine"
    return folder / "chat-history"
