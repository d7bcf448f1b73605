"""`engine-ctl chat`, at a terminal made of a pipe."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from engine_ctl.model_text import write_text
from protocol.answers import Done, EngineMessage, Failed, Finished, Planned
from protocol.errors import InvalidPlan, UnknownModel, UnsupportedQuantization
from protocol.plan import RunRequest
from protocol.prediction import Prediction
from protocol.requests import Cancel, ClientMessage, ModelAdvice, Plan, Run
from protocol.summaries import PlanEstimate
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import PIECES, accepted, advised, answers_in_full, make_plan, make_record, refusing, tokens
from tests.tools.fake_engine import FakeEngine

ANSWER = "".join(PIECES)
Chat = Callable[..., Result]


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        yield keys


@pytest.fixture
def chat(keys: PipeInput, socket_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chat:
    """Types lines, each ended by Enter, then Ctrl-D; gives what came of it."""
    monkeypatch.setenv("ENGINE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("engine_ctl.chat_lines.at_terminal", lambda: True)

    def type_lines(*lines: str, flags: Sequence[str] = ()) -> Result:
        keys.send_text("".join(f"{line}\r" for line in lines) + "\x04")
        return engine_ctl("chat", "--socket", str(socket_path), "--model", "tiny", *flags)

    return type_lines


def planned(request_id: int, request: RunRequest) -> Planned:
    plan = make_plan().model_copy(update={"quantization": request.execution.quantization})
    return Planned(
        request_id=request_id,
        plan=plan,
        plan_fingerprint=plan.fingerprint,
        estimate=PlanEstimate(**dict.fromkeys(PlanEstimate.model_fields, 1)),
        prediction=Prediction(executions=0, reason="nothing was recorded"),
    )


def answers(message: ClientMessage) -> Sequence[EngineMessage]:
    match message:
        case Plan(request=request) if request.execution.quantization == "q3":
            error = UnsupportedQuantization("no quantization 'q3'")
            return [Failed(request_id=message.request_id, code=error.code, message=error.message, params={})]
        case Plan():
            return [planned(message.request_id, message.request)]
        case _:
            return answers_in_full(message)


def asked(engine: FakeEngine) -> list[list[tuple[str, str]]]:
    """The messages of each run, as (role, content)."""
    runs: list[Any] = engine.requests(Run)
    return [[(each.role, each.content) for each in run.request.messages] for run in runs]


def test_each_turn_holds_all_that_was_said(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    result = chat("Why?", "And then?", flags=("--system", "Be brief."))
    assert result.exit_code == 0
    assert result.stdout == f"{ANSWER}\n{ANSWER}\n"
    first = [("system", "Be brief."), ("user", "Why?")]
    assert asked(engine) == [first, [*first, ("assistant", ANSWER), ("user", "And then?")]]


def test_the_prefix_cache_is_on_unless_turned_off(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    for flags in ((), ("--prefix-cache", "off")):
        result = chat("Why?", flags=flags)
        assert (result.exit_code, result.stdout) == (0, f"{ANSWER}\n"), result.stderr
    runs: list[Any] = engine.requests(Run)
    assert [run.request.execution.prefix_cache for run in runs] == ["on", "off"]


def refuses_prefixes(message: ClientMessage) -> Sequence[EngineMessage]:
    """A model with recurrent layers."""
    if (
        isinstance(message, Plan | Run)
        and message.request.execution.prefix_cache == "on"
        and message.request.model == "tiny"
    ):
        error = InvalidPlan("tiny has recurrent layers", field="execution.prefix_cache")
        return [Failed(request_id=message.request_id, code=error.code, message=error.message, params=error.params)]
    return answers(message)


def test_a_model_that_cannot_go_on_from_a_prefix_is_talked_to_without(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(refuses_prefixes)
    result = chat("Why?", "And then?", "/model other", "Why?", "/model tiny", "Why?")
    assert result.stdout == f"{ANSWER}\n" * 4, result.stderr
    runs: list[Any] = engine.requests(Run)
    assert [run.request.execution.prefix_cache for run in runs] == ["off", "off", "on", "off"]
    assert result.stderr.count("every turn is read from its beginning") == 2


def test_a_prefix_cache_that_was_asked_for_is_not_given_up(chat: Chat, start_engine: StartEngine) -> None:
    start_engine(refuses_prefixes)
    result = chat("Why?", flags=("--prefix-cache", "on"))
    assert (result.exit_code, result.stdout) != (0, f"{ANSWER}\n")
    assert "recurrent layers" in result.stderr


def test_flags_reach_every_turn(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    chat("Why?", "Why?", flags=("--temperature", "0.5", "--max-tokens", "9", "--chat-template", "chatml"))
    runs: list[Any] = engine.requests(Run)
    executions = [run.request.execution for run in runs]
    assert [each.sampling.temperature for each in executions] == [0.5, 0.5]
    assert [each.chat_template for each in executions] == ["chatml", "chatml"]


def test_plan_and_metrics_are_shown_and_not_said(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    result = chat("/metrics", "/plan", "Why?", "/metrics")
    assert len(asked(engine)) == 1
    assert "nothing was answered yet" in result.stderr
    assert "sampling.temperature" in result.stderr
    assert "tokens_per_watt" in result.stderr
    assert result.stdout == f"{ANSWER}\n"


def test_another_quantization_answers_from_the_next_turn_on(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    result = chat("Why?", "/quant q6_k", "/quant q3", "Why?")
    runs: list[Any] = engine.requests(Run)
    assert [run.request.execution.quantization for run in runs] == ["native", "q6_k"]
    assert "error[unsupported_quantization]" in result.stderr


def test_new_forgets_what_was_said(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    chat("Why?", "/new", "Who?", flags=("--system", "Be brief."))
    assert asked(engine)[-1] == [("system", "Be brief."), ("user", "Who?")]


def test_settings_go_by_the_names_of_their_flags(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    result = chat("/set temperature 0.5", "/set max-tokens 9", "/set quant q3", "/set nonsense 1", "/set", "Why?")
    (run,) = engine.requests(Run)
    execution = run.request.execution
    assert (execution.sampling.temperature, execution.limits.max_tokens) == (0.5, 9)
    assert execution.quantization == "native"
    assert "No such option" in result.stderr
    assert "/set max-tokens 100" in result.stderr


def test_the_system_message_the_model_and_the_latest_turn_may_change(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    chat("Who?", "/undo", "/undo", "/system Be brief.", "/model other", "Why?", "/system", "Why?", "/bye", "never said")
    runs: list[Any] = engine.requests(Run)
    assert [run.request.model for run in runs] == ["tiny", "other", "other"]
    assert asked(engine)[1:] == [
        [("system", "Be brief."), ("user", "Why?")],
        [("user", "Why?"), ("assistant", ANSWER), ("user", "Why?")],
    ]


def test_a_saved_conversation_goes_on_elsewhere(chat: Chat, start_engine: StartEngine, tmp_path: Path) -> None:
    engine = start_engine(answers)
    file = tmp_path / "said so far.json"
    chat("Why?", "/set temperature 0.5", f"/save '{file}'", flags=("--system", "Be brief."))
    chat(f"/load '{file}'", "And then?", f"/load {tmp_path / 'nowhere'}", "/save", flags=("--temperature", "0"))
    first = [("system", "Be brief."), ("user", "Why?")]
    assert asked(engine)[-1] == [*first, ("assistant", ANSWER), ("user", "And then?")]
    runs: list[Any] = engine.requests(Run)
    assert runs[-1].request.execution.sampling.temperature == 0.5


@pytest.mark.parametrize("content", ["{}", "[]", '{"model": "tiny", "messages": 1}', '{"model": 1, "messages": []}'])
def test_what_is_no_conversation_is_not_loaded(
    content: str, chat: Chat, start_engine: StartEngine, tmp_path: Path
) -> None:
    engine = start_engine(answers)
    (tmp_path / "file.json").write_text(content)
    result = chat("Why?", f"/load {tmp_path / 'file.json'}", "Why?")
    assert result.exit_code == 0
    assert asked(engine)[-1] == [("user", "Why?"), ("assistant", ANSWER), ("user", "Why?")]


def test_several_lines_are_one_turn(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    chat('"""one', "", 'two"""', '"""a"""', "b")
    assert [turn[-1] for turn in asked(engine)] == [("user", "one\n\ntwo"), ("user", "a"), ("user", "b")]


def test_ctrl_c_twice_leaves(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    result = chat("\x03\x03never said")
    assert result.exit_code == 0
    assert "Ctrl-C once more leaves" in result.stderr
    assert asked(engine) == []


def test_what_is_piped_in_is_said_to_its_last_line(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers)
    result = engine_ctl("chat", "tiny", "--socket", str(socket_path), stdin="Why?\n\n/new\nAnd then?")
    assert (result.exit_code, result.stdout) == (0, f"{ANSWER}\n{ANSWER}\n")
    assert asked(engine) == [[("user", "Why?")], [("user", "And then?")]]


def test_tokens_are_drawn_as_the_models_file_advises_unless_flags_say_otherwise(
    chat: Chat, start_engine: StartEngine
) -> None:
    def advises(message: ClientMessage) -> Sequence[EngineMessage]:
        if isinstance(message, ModelAdvice):
            return [advised(message.request_id, sampling={"temperature": 0.6, "top_k": 20})]
        return answers(message)

    engine = start_engine(advises)
    chat("Why?")
    chat("Why?", flags=("--top-p", "0.5"))
    runs: list[Any] = engine.requests(Run)
    drawn = [run.request.execution.sampling for run in runs]
    assert [(each.temperature, each.top_k, each.top_p) for each in drawn] == [(0.6, 20, 1.0), (0.0, 0, 0.5)]


def test_slashes_empty_lines_and_unknown_commands(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    result = chat("", "   ", "/nonsense", "//etc is a folder", "/help", "/quit", "never read")
    assert asked(engine) == [[("user", "/etc is a folder")]]
    assert "no command /nonsense" in result.stderr
    assert "Ctrl-C stops an answer" in result.stderr


def test_ctrl_c_drops_the_line(chat: Chat, start_engine: StartEngine) -> None:
    engine = start_engine(answers)
    assert chat("Wh\x03Who?").exit_code == 0
    assert asked(engine) == [[("user", "Who?")]]


def answers_until_cancelled(message: ClientMessage) -> Sequence[EngineMessage]:
    match message:
        case Run(request=request) if request.messages is not None and len(request.messages) == 1:
            return [accepted(message.request_id), tokens(message.request_id, 7, PIECES[0])]
        case Cancel():
            record = make_record(stop_reason="cancelled", result=PIECES[0], token_ids=(7,))
            return [Done(request_id=message.request_id), Finished(request_id=3, record=record)]
        case _:
            return answers(message)


def test_ctrl_c_stops_the_answer_and_not_the_conversation(
    chat: Chat, start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start_engine(answers_until_cancelled)
    pressed: list[bool] = []

    def write_and_interrupt_once(text: str) -> None:
        write_text(text)
        if text == PIECES[0] and not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("engine_ctl.chat_screen.write_text", write_and_interrupt_once)
    result = chat("Why?", "And then?")
    assert result.exit_code == 0
    assert "stopped: cancelled" in result.stderr
    assert asked(engine)[-1] == [("user", "Why?"), ("assistant", PIECES[0]), ("user", "And then?")]


def test_a_refused_turn_is_told_and_was_never_said(chat: Chat, start_engine: StartEngine) -> None:
    def refuses_long_ones(message: ClientMessage) -> Sequence[EngineMessage]:
        if isinstance(message, Run) and message.request.messages and len(message.request.messages[-1].text) > 9:
            return [Failed(request_id=message.request_id, code="prompt_too_long", message="too long", params={})]
        return answers(message)

    engine = start_engine(refuses_long_ones)
    result = chat("far too long", "Why?")
    assert "error[prompt_too_long]" in result.stderr
    assert asked(engine)[-1] == [("user", "Why?")]


def test_a_conversation_that_cannot_begin_ends_with_its_exit_code(chat: Chat, start_engine: StartEngine) -> None:
    start_engine(refusing(UnknownModel("no model 'tiny'")))
    assert chat().exit_code == 4


def test_lines_are_kept_for_this_user_alone(chat: Chat, start_engine: StartEngine, tmp_path: Path) -> None:
    start_engine(answers)
    chat("Why?")
    history = tmp_path / "chat-history"
    assert "Why?" in history.read_text(encoding="utf-8")
    assert history.stat().st_mode & 0o777 == 0o600


def test_a_history_that_cannot_be_written_is_told(
    chat: Chat, start_engine: StartEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_engine(answers)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ENGINE_DATA_DIR", str(tmp_path / "file"))
    result = chat()
    assert result.exit_code == 1
    assert "chat-history" in result.stderr


def test_a_real_engine_in_this_process_keeps_what_turns_have_in_common(
    keys: PipeInput, tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine_ctl.chat_lines.at_terminal", lambda: True)
    for name in ("MODELS", "CACHE", "DATA"):
        monkeypatch.setenv(f"ENGINE_{name}_DIR", str(tmp_path))
    model = write_tiny_model(tmp_path / "tiny.gguf", context_length=1024)
    keys.send_text(f"{'a long beginning ' * 20}\rWhy?\r/metrics\r\x04")
    flags = ("--model", str(model), "--max-tokens", "2")
    result = engine_ctl("chat", "--socket", str(socket_path), *flags)
    assert result.exit_code == 0, result.stderr
    (cached,) = [line for line in result.stderr.splitlines() if "cached_prompt_tokens" in line]
    assert int("".join(filter(str.isdigit, cached))) >= 64
