"""Files that change under a served engine: at most the execution that reads them ends, and every other goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.answers import Accepted, Finished, Progress, Tokens
from protocol.blocking import BlockingClient
from protocol.errors import EngineError, InvalidModel, UnknownModel
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.record import ExecutionRecord
from protocol.requests import Status
from tests.csrc.test_changed_files import write_large_model
from tests.support.changed_files import CHANGES, Change
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import serving

changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)

LONG = 500
"""Tokens of each answer of the stream beside."""


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model.gguf", seed=1, n_embd=256, n_ff=512, tensor_type="F16")


@pytest.fixture
def engine(tmp_path: Path, socket_path: Path) -> Iterator[Path]:
    """The socket of an engine that still lives at the end, and on which another client's answer was what it always is:
    of an untouched model, streaming all the while."""
    other = write_tiny_model(tmp_path / "other.gguf", seed=2, context_length=2 * LONG)
    with serving(socket_path) as process:
        expected = record(socket_path, other, max_tokens=LONG)
        beside = Beside(socket_path, other)
        yield socket_path
        beside.check(expected)
        assert record(socket_path, other, max_tokens=LONG).logits_digest == expected.logits_digest
        assert process.poll() is None


class Beside:
    """Streams again and again, one answer after another, until it is checked."""

    def __init__(self, socket: Path, model: Path) -> None:
        self._ending = threading.Event()
        self._first_token = threading.Event()
        self._records: list[ExecutionRecord] = []
        self._streamed: list[tuple[int, ...]] = []
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._stream, args=(socket, model))
        self._thread.start()
        assert self._first_token.wait(60)

    def check(self, expected: ExecutionRecord) -> None:
        self._ending.set()
        self._thread.join()
        assert self._errors == []
        assert len(self._records) > 0
        for each, streamed in zip(self._records, self._streamed, strict=True):
            assert (each.result, each.logits_digest) == (expected.result, expected.logits_digest)
            assert streamed == expected.token_ids

    def _stream(self, socket: Path, model: Path) -> None:
        try:
            while not self._ending.is_set():
                self._streamed.append(self._answer(socket, model))
        except Exception as error:
            self._errors.append(error)
        self._first_token.set()

    def _answer(self, socket: Path, model: Path) -> tuple[int, ...]:
        token_ids: tuple[int, ...] = ()
        with BlockingClient.connect(socket, timeout=120) as client:
            for message in client.run(request(model, LONG)):
                if isinstance(message, Tokens):
                    token_ids += message.token_ids
                    self._first_token.set()
                if isinstance(message, Finished):
                    self._records.append(message.record)
        return token_ids


def request(model: Path, max_tokens: int = 8, quantization: str = "native") -> RunRequest:
    execution = ExecutionRequest(limits=Limits(max_tokens=max_tokens), stop=Stop(eos=False), quantization=quantization)
    return RunRequest(model=str(model), prompt="Once upon a time", execution=execution)


def record(socket: Path, model: Path, max_tokens: int = 8, quantization: str = "native") -> ExecutionRecord:
    with BlockingClient.connect(socket, timeout=120) as client:
        (finished,) = [m for m in client.run(request(model, max_tokens, quantization)) if isinstance(m, Finished)]
    return finished.record


def sees_the_file_as_it_is(socket: Path, model: Path, before: ExecutionRecord, change: str) -> None:
    """A new request: never the old answer under the new file's name, nor the new file under the old hash."""
    try:
        now = record(socket, model)
    except (InvalidModel, UnknownModel) as error:
        assert change in ("truncate", "overwrite_with_less", "delete")
        assert isinstance(error, UnknownModel) == (change == "delete")  # noqa: PT017
        return
    assert change in ("overwrite_in_place", "replace_by_another", "append")
    assert now.plan.model_ref.content_hash != before.plan.model_ref.content_hash
    assert (now.logits_digest == before.logits_digest) == (change == "append")


# --- resident --------------------------------------------------------------------------------------------------------


@changes
def test_an_execution_goes_on_whose_models_file_changes(engine: Path, model: Path, change: Change) -> None:
    before, expected = record(engine, model), record(engine, model, max_tokens=200)
    with BlockingClient.connect(engine, timeout=120) as client:
        messages = client.run(request(model, max_tokens=200))
        seen = [next(messages) for _ in range(2)]
        change(model)()
        seen += list(messages)
    finished = seen[-1]
    assert isinstance(finished, Finished)
    assert finished.record.logits_digest == expected.logits_digest
    sees_the_file_as_it_is(engine, model, before, change.__name__)


@changes
def test_idle_weights_of_a_file_that_changed_disturb_nobody(
    engine: Path, model: Path, tmp_path: Path, change: Change
) -> None:
    before = record(engine, model)
    change(model)()
    third = write_tiny_model(tmp_path / "third.gguf", seed=3)
    assert record(engine, third).token_ids
    with BlockingClient.connect(engine, timeout=60) as client:
        assert {loaded.model for loaded in client.ask(Status()).models_loaded} >= {"model", "third"}
    sees_the_file_as_it_is(engine, model, before, change.__name__)


# --- on its way into memory ------------------------------------------------------------------------------------------


@changes
def test_a_change_around_a_load_is_the_error_of_that_execution(engine: Path, tmp_path: Path, change: Change) -> None:
    """At whatever moment it comes: before the file is hashed, while it is read, or when it was read."""
    expected = record(engine, write_large_model(tmp_path / "large.gguf"))
    for delay_ms in (0, 3, 30, 300):
        path = write_large_model(tmp_path / f"{delay_ms}.gguf")
        with BlockingClient.connect(engine, timeout=120) as client:
            timer = threading.Timer(delay_ms / 1000, change(path))
            timer.start()
            try:
                last = list(client.run(request(path)))[-1]
            except EngineError as error:
                assert isinstance(error, InvalidModel | UnknownModel)  # noqa: PT017
            else:
                assert isinstance(last, Finished)
                if last.record.plan.model_ref.content_hash == expected.plan.model_ref.content_hash:
                    assert last.record.logits_digest == expected.logits_digest
            timer.join()
        path.unlink(missing_ok=True)


@changes
def test_a_change_between_plan_and_load_is_the_error_of_that_execution(
    engine: Path, tmp_path: Path, change: Change
) -> None:
    path = write_large_model(tmp_path / "large.gguf")
    with BlockingClient.connect(engine, timeout=120) as client:
        messages = client.run(request(path))
        assert isinstance(next(messages), Accepted)
        change(path)()
        try:
            last = list(messages)[-1]
        except InvalidModel as error:
            assert error.params["reason"] == "file_changed"  # noqa: PT017
        else:  # the load was faster
            assert isinstance(last, Finished)


@changes
def test_a_change_while_a_model_is_quantized_is_the_error_of_that_execution(
    engine: Path, tmp_path: Path, change: Change
) -> None:
    """Tried until the change lands in the middle: a fast machine may have quantized the model before."""
    path = tmp_path / "slow.gguf"
    with BlockingClient.connect(engine, timeout=120) as client:
        for seed in range(30):
            path.unlink(missing_ok=True)
            write_tiny_model(path, n_layer=6 + seed // 2, n_embd=512, n_ff=4096, tensor_type="F16", seed=seed)
            act = change(path)  # some changes take as long to prepare as the quantization
            cached_before = names_of_cached(tmp_path)
            messages = client.run(request(path, quantization="q4_k_m"))
            seen = [next(messages)]
            while not (isinstance(seen[-1], Progress) and seen[-1].stage == "quantizing") and len(seen) < 3:
                seen.append(next(messages))
            act()
            try:
                list(messages)
            except InvalidModel as error:
                assert error.params["reason"] == "file_changed"  # noqa: PT017
                assert names_of_cached(tmp_path) == cached_before
                return
    pytest.fail("the model was always quantized before it changed")


def names_of_cached(folder: Path) -> set[str]:
    cache = folder / "cache" / "weights"
    return {path.name for path in cache.iterdir()} if cache.exists() else set()


def test_cached_weights_that_change_are_made_anew(engine: Path, model: Path, tmp_path: Path) -> None:
    expected = record(engine, model, quantization="q8_0")
    (cached,) = (tmp_path / "cache" / "weights").glob("*.gguf")
    for change in ("truncate", "overwrite_in_place", "append"):
        CHANGES[change](cached)()
        assert record(engine, model, quantization="q8_0").logits_digest == expected.logits_digest
