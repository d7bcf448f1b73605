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
@tdp_watts_option
@socket_option
def command(opening: dict[str, Any], tdp_watts: float | None, socket: Path | None) -> None:
    """Hold a conversation with a model.

    Each answer takes the whole conversation into account. Answers stream to stdout, everything else goes to stderr.
    /help lists the commands. Ctrl-C stops an answer, Ctrl-D leaves. The prefix cache is on unless --prefix-cache off,
    so that a turn computes only what is new. The engine on the socket is used or, where none runs, one in this process.
    """
    from engine_ctl.chat_session import ChatSession
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.conversation import Conversation

    conversation = Conversation(opening)
    with connect_or_embed(socket, tdp_watts) as client:
        ChatSession(client, conversation, _history_file()).run()


def _history_file() -> Path:
    """The file of earlier lines, beside the engine's records."""
    data = os.environ.get("ENGINE_DATA_DIR", "")
    home = os.environ.get("XDG_DATA_HOME", "")
    folder = Path(data).expanduser() if data else (Path(home) if home else Path.home() / ".local" / "share") / "engine"
    return folder / "chat-history"
