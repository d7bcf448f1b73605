"""The terminal's side of ``engine-ctl chat``: lines in, answers and commands out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory

from engine_ctl.commands.plan import flattened
from engine_ctl.conversation import Conversation
from engine_ctl.execution import follow
from engine_ctl.failure import error_line
from engine_ctl.metrics_table import show_metrics
from engine_ctl.model_text import write_text, write_thought
from engine_ctl.progress_bar import ProgressBar
from protocol.blocking import BlockingClient
from protocol.errors import EngineError, EngineUnreachable
from protocol.plan import ExecutionPlan
from protocol.requests import Plan

HELP = """\
/plan         how the next answer will be executed
/metrics      what the last answer cost
/quant NAME   answer in another quantization from here on: native, q8_0, q6_k, q4_k_m
/new          forget what was said
/help         this list
/quit         leave; so does Ctrl-D
//TEXT        say /TEXT
Ctrl-C stops an answer, or drops the line that is being written."""


class ChatSession:
    """Owns the line editor and the conversation; the engine is the client's."""

    def __init__(self, client: BlockingClient, conversation: Conversation, history: Path) -> None:
        """``history`` is the file of the lines that were written, readable by this user alone.

        Raises:
            click.FileError: it cannot be written to.
        """
        self._client = client
        self._conversation = conversation
        self._commands: dict[str, Callable[[str], None]] = {
            "/plan": self._show_plan,
            "/metrics": self._show_metrics,
            "/quant": self._change_quantization,
            "/new": self._begin_anew,
            "/help": self._show_help,
            "/quit": self._leave,
        }
        self._left = False
        self._lines: PromptSession[str] = PromptSession(
            history=_private_history(history), completer=WordCompleter(list(self._commands), sentence=True)
        )

    def run(self) -> None:
        """Talk until ``/quit`` or Ctrl-D.

        Raises:
            EngineError: the conversation cannot begin, or the engine is gone.
            KeyboardInterrupt: Ctrl-C twice within an answer.
        """
        plan = self._client.ask(Plan(request=self._conversation.request())).plan
        click.echo(f"{_how(plan)} · /help lists the commands", err=True)
        while not self._left:
            try:
                line = self._lines.prompt("> ").strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            try:
                self._take(line)
            except EngineUnreachable:
                raise
            except EngineError as error:
                click.echo(error_line(error), err=True)

    def _take(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if line.startswith("//"):
            self._say(line[1:])
        elif name in self._commands:
            self._commands[name](rest.strip())
        elif line.startswith("/"):
            click.echo(f"no command {name}; /help lists them, and // begins a line that is said with one /", err=True)
        elif line:
            self._say(line)

    def _say(self, text: str) -> None:
        request = self._conversation.request(text)
        with ProgressBar(quiet=False) as bar:

            def show(piece: str) -> None:
                bar.close()
                write_text(piece)

            def show_thought(piece: str) -> None:
                bar.close()
                write_thought(piece)

            finished = follow(self._client, self._client.run(request), show, bar.show, show_thought)
        record = finished.record
        self._conversation.answered(text, record)
        click.echo()
        if record.stop_reason != "eos":
            click.echo(f"stopped: {record.stop_reason}", err=True)
        if finished.unrecorded:
            click.echo(f"warning: the record was not kept: {finished.unrecorded}", err=True)

    def _show_plan(self, rest: str) -> None:
        planned = self._client.ask(Plan(request=self._conversation.request()))
        rows = list(flattened(planned.plan.model_dump(mode="json")))
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            click.echo(f"{name:{width}}  {value}", err=True)

    def _show_metrics(self, rest: str) -> None:
        if self._conversation.last is None:
            click.echo("nothing was answered yet", err=True)
        else:
            show_metrics(self._conversation.last)

    def _change_quantization(self, quantization: str) -> None:
        plan = self._client.ask(Plan(request=self._conversation.request(quantization=quantization))).plan
        self._conversation.change(quantization=quantization)
        click.echo(_how(plan), err=True)

    def _begin_anew(self, rest: str) -> None:
        self._conversation.begin_anew()

    def _show_help(self, rest: str) -> None:
        click.echo(HELP, err=True)

    def _leave(self, rest: str) -> None:
        self._left = True


def _how(plan: ExecutionPlan) -> str:
    return (
        f"{plan.model_ref.name} · {plan.backend} · {plan.quantization} · {plan.threads} threads · {plan.prompt_format}"
    )


def _private_history(path: Path) -> FileHistory:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise click.FileError(str(path), hint=str(error.strerror)) from error
    return FileHistory(str(path))
