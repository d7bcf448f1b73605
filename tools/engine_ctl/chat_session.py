"""The conversation of ``engine-ctl chat``: entries in, answers and commands out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from engine_ctl.chat_screen import ChatScreen
from engine_ctl.conversation import Conversation
from engine_ctl.execution import follow
from engine_ctl.failure import error_line
from engine_ctl.metrics_table import show_metrics
from engine_ctl.options import Model
from engine_ctl.request_options import settings_content
from protocol.blocking import BlockingClient
from protocol.errors import EngineError, EngineUnreachable, InvalidPlan
from protocol.plan import ExecutionPlan
from protocol.requests import Plan

HELP = """\
/set FLAG VALUE   change a setting from here on, by the name of its flag: /set temperature 0.7
/system TEXT      another system message; without TEXT none
/model MODEL      answers by another model from here on
/quant NAME       answers in another quantization: native, q8_0, q6_k, q5_k_m, q4_k_m, q4_k_s, q4_0, iq4_xs, q3_k_m
/undo             forget the latest turn
/new              forget what was said
/save FILE        write the conversation to a file
/load FILE        go on with one
/plan             how the next answer will be executed
/metrics          what the last answer cost
/help             this list
/bye, /quit       leave; so do Ctrl-D, and Ctrl-C twice
//TEXT            say /TEXT
\"\"\" begins and ends several lines; Alt-Enter begins another.
Ctrl-C stops an answer, or drops the line that is being written."""


class ChatSession:
    """Owns the conversation; the engine is the client's."""

    def __init__(self, client: BlockingClient, conversation: Conversation, screen: ChatScreen) -> None:
        self._client = client
        self._conversation = conversation
        self._screen = screen
        self._commands: dict[str, Callable[[str], None]] = {
            "/set": self._set,
            "/system": self._conversation.instruct,
            "/model": self._change_model,
            "/quant": self._change_quantization,
            "/undo": self._undo,
            "/new": self._begin_anew,
            "/save": self._save,
            "/load": self._load,
            "/plan": self._show_plan,
            "/metrics": self._show_metrics,
            "/help": self._show_help,
            "/bye": self._leave,
            "/quit": self._leave,
        }
        self._left = False

    @property
    def commands(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._commands)

    def run(self, entries: Iterable[str]) -> None:
        """Take entries to their end, or until ``/bye``.

        Raises:
            EngineError: the conversation cannot begin, or the engine is gone.
            KeyboardInterrupt: Ctrl-C twice within an answer.
        """
        self._tell(f"{_how(self._plan())} · /help lists the commands")
        for entry in entries:
            try:
                self._take(entry)
            except EngineUnreachable:
                raise
            except EngineError as error:
                self._tell(error_line(error))
            except click.ClickException as error:
                self._tell(error.format_message())
            if self._left:
                return

    def _take(self, entry: str) -> None:
        name, _, rest = entry.partition(" ")
        if entry.startswith("//"):
            self._say(entry[1:])
        elif name in self._commands:
            self._commands[name](rest.strip())
        elif entry.startswith("/"):
            self._tell(f"no command {name}; /help lists them, and // begins a line that is said with one /")
        elif entry:
            self._say(entry)

    def _say(self, text: str) -> None:
        request = self._conversation.request(text)
        with self._screen.answer() as answer:
            run = self._client.run(request)
            finished = follow(self._client, run, answer.show, answer.show_progress, answer.show_thought)
        record = finished.record
        self._conversation.answered(text, record)
        if record.stop_reason != "eos":
            self._tell(f"stopped: {record.stop_reason}")
        if finished.unrecorded:
            self._tell(f"warning: the record was not kept: {finished.unrecorded}")

    def _plan(self, settings: dict[str, object] | None = None, model: str = "") -> ExecutionPlan:
        """The prefix cache is given up where the model cannot use one, unless somebody has asked for it."""
        conversation = self._conversation
        given = conversation.asks_for_prefixes or "prefix_cache" in (settings or {})
        try:
            return self._client.ask(Plan(request=conversation.request(settings=settings, model=model))).plan
        except InvalidPlan as error:
            if given or conversation.prefix_cache == "off" or error.params.get("field") != "execution.prefix_cache":
                raise
        conversation.prefix_cache = "off"
        self._tell("this model cannot go on from an earlier prompt's end: every turn is read from its beginning")
        return self._client.ask(Plan(request=conversation.request(settings=settings, model=model))).plan

    def _set(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        if not name:
            raise click.UsageError("/set takes the name of a flag and its value, such as /set max-tokens 100")
        flag = f"{'-' if len(name) == 1 else '--'}{name.lstrip('-').replace('_', '-')}"
        settings = settings_content([flag, *([value.strip()] if value else [])])
        plan = self._plan(settings)
        self._conversation.change(settings)
        self._tell(_how(plan))

    def _change_model(self, model: str) -> None:
        named = Model().convert(model, None, None)
        before, self._conversation.prefix_cache = self._conversation.prefix_cache, "on"
        try:
            plan = self._plan(model=named)
        except EngineError:
            self._conversation.prefix_cache = before
            raise
        self._conversation.model = named
        self._tell(_how(plan))

    def _change_quantization(self, quantization: str) -> None:
        self._set(f"quant {quantization}")

    def _undo(self, rest: str) -> None:
        self._tell("forgotten" if self._conversation.undo() else "nothing was said yet")

    def _begin_anew(self, rest: str) -> None:
        self._conversation.begin_anew()

    def _save(self, rest: str) -> None:
        path = _path(rest)
        try:
            self._conversation.save(path)
        except OSError as error:
            raise click.FileError(str(path), hint=str(error.strerror)) from error
        self._tell(f"saved to {path}")

    def _load(self, rest: str) -> None:
        self._conversation.load(_path(rest))
        self._conversation.prefix_cache = "on"
        self._tell(f"{_how(self._plan())} · {self._conversation.turns} turns")

    def _show_plan(self, rest: str) -> None:
        from engine_ctl.commands.plan import flattened

        rows = list(flattened(self._plan().model_dump(mode="json")))
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self._tell(f"{name:{width}}  {value}")

    def _show_metrics(self, rest: str) -> None:
        if self._conversation.last is None:
            self._tell("nothing was answered yet")
        else:
            show_metrics(self._conversation.last)

    def _show_help(self, rest: str) -> None:
        self._tell(HELP)

    def _leave(self, rest: str) -> None:
        self._left = True

    def _tell(self, line: str) -> None:
        click.echo(line, err=True)


def _path(rest: str) -> Path:
    words = shlex.split(rest) if rest else []
    if len(words) != 1:
        raise click.UsageError("give one file")
    return Path(words[0]).expanduser()


def _how(plan: ExecutionPlan) -> str:
    return (
        f"{plan.model_ref.name} · {plan.backend} · {plan.quantization} · {plan.threads} threads · {plan.prompt_format}"
    )
