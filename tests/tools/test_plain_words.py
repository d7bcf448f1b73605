"""`engine-ctl run MODEL TEXT`: what a person says without saying how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from protocol.answers import EngineMessage, Progress
from protocol.errors import UnknownModel
from protocol.plan import RunRequest
from protocol.requests import ClientMessage, ModelAdvice, Plan, PullModel, Run
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import PIECES, advised, answers_in_full, refusing
from tests.tools.fake_engine import Answer, FakeEngine
from tests.tools.test_engine_ctl_commands import description

ANSWER = "".join(PIECES)


def advising(**advice: Any) -> Answer:
    """An engine whose model's file advises this."""

    def answer(message: ClientMessage) -> Sequence[EngineMessage]:
        if isinstance(message, ModelAdvice):
            return [advised(message.request_id, **advice)]
        return answers_in_full(message)

    return answer


def request_of(engine: FakeEngine) -> RunRequest:
    (message,) = engine.requests(Run)
    assert isinstance(message, Run)
    return message.request


def said_to(engine: FakeEngine) -> list[tuple[str, object]]:
    return [(each.role, each.content) for each in request_of(engine).messages or ()]


@pytest.mark.parametrize(
    "words", [("tiny", "Why is it?"), ("tiny", "Why", "is", "it?"), ("--model", "tiny", "Why is it?")]
)
def test_text_is_said_to_the_model(words: tuple[str, ...], start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising())
    result = engine_ctl("run", "--socket", str(socket_path), *words)
    assert (result.exit_code, result.stdout) == (0, ANSWER)
    assert said_to(engine) == [("user", "Why is it?")]
    note, figures = result.stderr.splitlines()
    assert note == "answered as a chat; --raw completes the text instead"
    assert figures.startswith("3 tokens")


def test_what_is_piped_in_is_said_where_there_is_no_text(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising())
    engine_ctl("run", "tiny", "--socket", str(socket_path), stdin="Why\nis it?\n")
    assert said_to(engine) == [("user", "Why\nis it?")]


def test_a_dash_in_the_text_is_what_is_piped_in(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising())
    engine_ctl("run", "tiny", "Sum up:", "-", "--socket", str(socket_path), stdin="all of it\n")
    assert said_to(engine) == [("user", "Sum up: all of it")]


def test_text_beside_a_pipe_leaves_the_pipe_alone(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising())
    engine_ctl("run", "tiny", "Why?", "--socket", str(socket_path), stdin="the rest of a script")
    assert said_to(engine) == [("user", "Why?")]


def test_without_a_template_the_text_is_completed_and_that_is_said(
    start_engine: StartEngine, socket_path: Path
) -> None:
    engine = start_engine(advising(chat_template=False))
    result = engine_ctl("run", "tiny", "Once upon", "--socket", str(socket_path))
    assert request_of(engine) == RunRequest(model="tiny", prompt="Once upon")
    assert result.stderr.splitlines()[0] == "tiny has no chat template: the text is completed as it stands"


def test_raw_completes_without_a_word(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising())
    result = engine_ctl("run", "tiny", "Once upon", "--raw", "--socket", str(socket_path))
    assert request_of(engine) == RunRequest(model="tiny", prompt="Once upon")
    assert len(result.stderr.splitlines()) == 1


def test_flags_of_a_chat_need_no_other_flag(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising(chat_template=False))
    engine_ctl("run", "tiny", "Why?", "--system", "Be brief.", "--socket", str(socket_path))
    assert said_to(engine) == [("system", "Be brief."), ("user", "Why?")]


def test_what_the_file_advises_is_written_into_the_request(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising(sampling={"temperature": 0.6, "top_k": 20}, ignored=("general.sampling.min_p",)))
    result = engine_ctl("run", "tiny", "Why?", "--seed", "7", "--socket", str(socket_path))
    execution = request_of(engine).execution
    assert (execution.sampling.temperature, execution.sampling.top_k, execution.sampling.seed) == (0.6, 20, 7)
    assert execution.limits.max_tokens == 2048
    assert "the file advises temperature 0.6, top_k 20" in result.stderr
    assert "general.sampling.min_p of the file is out of range and left out" in result.stderr


def test_a_flag_of_sampling_replaces_the_files_advice_as_a_whole(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising(sampling={"temperature": 0.6, "top_k": 20}))
    engine_ctl("run", "tiny", "Why?", "--temperature", "0", "--max-tokens", "9", "--socket", str(socket_path))
    execution = request_of(engine).execution
    assert (execution.sampling.temperature, execution.sampling.top_k) == (0.0, 0)
    assert execution.limits.max_tokens == 9


def test_a_prompt_is_passed_on_as_ever(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising(sampling={"temperature": 0.6}))
    engine_ctl("run", "tiny", "--prompt", "Once upon", "--socket", str(socket_path))
    assert request_of(engine) == RunRequest(model="tiny", prompt="Once upon")
    assert engine.requests(ModelAdvice) == []


def test_quiet_leaves_the_answer_alone(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(advising())
    result = engine_ctl("run", "tiny", "Why?", "-q", "--socket", str(socket_path))
    assert (result.stdout, result.stderr) == (ANSWER, "")


def test_the_plan_of_words_is_that_of_their_run(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(advising(sampling={"temperature": 0.6}))
    engine_ctl("plan", "tiny", "Why?", "--socket", str(socket_path))
    engine_ctl("run", "tiny", "Why?", "--socket", str(socket_path))
    (planned,) = engine.requests(Plan)
    assert isinstance(planned, Plan)
    assert planned.request == request_of(engine)


class Lacking:
    """An engine that has a model once it was told to pull it."""

    def __init__(self) -> None:
        self.has = False

    def __call__(self, message: ClientMessage) -> Sequence[EngineMessage]:
        match message:
            case ModelAdvice() if not self.has:
                told: Sequence[EngineMessage] = refusing(UnknownModel("run: engine-ctl models pull tiny", pull="tiny"))(
                    message
                )
                return told
            case PullModel(request_id=request_id):
                self.has = True
                return [Progress(request_id=request_id, stage="download", done=1, total=2), description(request_id)]
            case _:
                return answers_in_full(message)


@pytest.mark.parametrize(("flags", "pulled"), [((), False), (("--pull",), True)])
def test_a_model_that_is_not_here_is_fetched_where_that_is_wanted(
    flags: tuple[str, ...], pulled: bool, start_engine: StartEngine, socket_path: Path
) -> None:
    engine = start_engine(Lacking())
    result = engine_ctl("run", "tiny", "Why?", *flags, "--socket", str(socket_path))
    assert [each.model for each in engine.requests(PullModel)] == (["tiny"] if pulled else [])
    assert (result.exit_code, result.stdout) == ((0, ANSWER) if pulled else (4, ""))
    assert ("models pull tiny" in result.stderr) is not pulled


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("run", "tiny", "Why?", "--prompt", "Why?"),
        ("run", "tiny", "Why?", "--raw", "--system", "Be brief."),
        ("run", "tiny", "Why?", "--request", "-"),
        ("plan", "tiny"),
        ("chat",),
        ("chat", "tiny", "--model", "tiny"),
        ("tokenize", "--text", "a"),
        ("tokenize", "tiny", "--model", "tiny", "--text", "a"),
    ],
)
def test_words_that_contradict_each_other_are_wrong_usage(words: tuple[str, ...]) -> None:
    assert engine_ctl(*words).exit_code == 2
