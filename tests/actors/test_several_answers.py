"""Executions of several choices, from the backend's events to their record; and the real engine's."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from actors.system import running
from engine.backend import ComputeTime, SequenceEvents
from engine.records.comparison import compare_output
from protocol.answers import Tokens
from protocol.errors import InternalError
from protocol.logprobs import MAX_RECORDED_LOGPROBS, recorded_tokens
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.requests import Cancel, Status
from protocol.sampling import Sampling
from tests.actors.engine_factory import Stream, collect, make_client, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_records import FakeRecords
from tests.actors.real_engine import real_client
from tests.support.gguf_factory import write_tiny_model


class BreakableBackend(FakeBackend):
    broken = False

    def drain(self) -> list[SequenceEvents]:
        if self.broken:
            raise RuntimeError("the run loop is gone")
        return super().drain()


def several(n: int, max_sequences: int = 16) -> RunRequest:
    request = make_request(max_sequences=max_sequences)
    return request.model_copy(update={"execution": request.execution.model_copy(update={"n": n})})


async def test_each_choice_streams_and_ends_and_the_record_has_them_all() -> None:
    backend, stream = FakeBackend(), Stream()
    backend.compute_times[1] = ComputeTime(300, 1000)
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        nursery.start_soon(stream.follow, client, several(2))
        await until(lambda: bool(backend.live))
        backend.emit(1, "a", "b")
        backend.emit(1, "x", choice=1)
        backend.emit(1, stop="eos")
        await until(lambda: any(isinstance(each, Tokens) and each.choice == 1 for each in stream.messages))
        assert not stream.ended.is_set()
        backend.emit(1, "y", "z", choice=1, stop="max_tokens")
    record = stream.record
    assert (record.result, record.stop_reason) == ("ab", "eos")
    assert [(other.result, other.stop_reason) for other in record.other_choices] == [("xyz", "max_tokens")]
    assert len(record.other_choices[0].token_ids) == 3
    assert (record.metrics.tokens_total, record.metrics.latency_gaps) == (5, 1 + 2)
    streamed = [(each.choice, each.text) for each in stream.messages if isinstance(each, Tokens)]
    for choice, text in ((0, "ab"), (1, "xyz")):
        assert "".join(part for of, part in streamed if of == choice) == text


async def test_a_cancel_ends_the_choices_that_have_not_ended() -> None:
    backend, stream = FakeBackend(), Stream()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        nursery.start_soon(stream.follow, client, several(3))
        await until(lambda: bool(backend.live))
        backend.emit(1, "a", choice=1, stop="eos")
        await until(lambda: len(stream.messages) > 1)
        await client.ask(Cancel(execution_id=stream.execution_id))
    assert stream.record.stop_reason == "cancelled"
    assert [other.stop_reason for other in stream.record.other_choices] == ["eos", "cancelled"]


async def test_a_choice_that_fails_fails_the_execution_once_all_have_ended() -> None:
    backend, stream = FakeBackend(), Stream()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        nursery.start_soon(stream.follow, client, several(2))
        await until(lambda: bool(backend.live))
        backend.emit(1, choice=1, stop="error", error="no memory")
        await trio.testing.wait_all_tasks_blocked()
        assert not stream.ended.is_set()
        backend.emit(1, "a", stop="eos")
    assert isinstance(stream.error, InternalError)
    assert "no memory" in stream.error.message


async def test_choices_take_as_many_places_in_a_batch() -> None:
    backend = FakeBackend()
    streams = [Stream() for _ in range(3)]
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        for stream, n in zip(streams, (3, 2, 1), strict=True):
            nursery.start_soon(stream.follow, client, several(n, max_sequences=4))
            await until(lambda stream=stream: bool(stream.messages))  # type: ignore[misc]
        await until(lambda: len(backend.prompts) == 1)
        for choice in range(3):
            backend.emit(1, "a", choice=choice, stop="eos")
        await until(lambda: len(backend.prompts) == 3)
        for sequence_id, choice in ((2, 0), (2, 1), (3, 0)):
            backend.emit(sequence_id, "a", choice=choice, stop="eos")


async def test_a_backend_that_fails_ends_the_choices_it_still_had() -> None:
    backend, records, stream = BreakableBackend(), FakeRecords(), Stream()
    system = make_system(backend, records=records, replace_backend=FakeBackend)
    async with running(system) as system, system.client() as client, trio.open_nursery() as nursery:
        nursery.start_soon(stream.follow, client, several(3))
        await until(lambda: bool(backend.live))
        backend.emit(1, "a", choice=1, stop="eos")
        await until(lambda: len(stream.messages) > 1)
        backend.broken = True
        backend.emit(1, "lost")
    assert isinstance(stream.error, InternalError)
    (record,) = records.finished
    assert record.stop_reason == "error"
    assert [other.stop_reason for other in record.other_choices] == ["eos", "error"]


# --- the real engine -------------------------------------------------------------------------------------------------


def asking(path: Path, n: int = 1, **execution: object) -> RunRequest:
    fields = {
        "backend": "reference",
        "threads": 1,
        "stop": Stop(eos=False),
        "limits": Limits(max_tokens=6),
        **execution,
    }
    fields["sampling"] = Sampling(temperature=1.0, seed=3)
    return RunRequest(model=str(path), prompt="Hello", execution=ExecutionRequest(n=n, **fields))  # type: ignore[arg-type]


async def test_several_real_answers_begin_with_the_one_that_comes_alone(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf")
    async with real_client(tmp_path) as client:
        alone = await record_of(client, asking(model))
        record = await record_of(client, asking(model, n=3))
        again = await record_of(client, asking(model, n=3))
        assert (record.token_ids, record.logits_digest) == (alone.token_ids, alone.logits_digest)
        assert len({record.token_ids, *(other.token_ids for other in record.other_choices)}) == 3
        assert again.other_choices == record.other_choices
        assert record.metrics.tokens_total == 18
        assert compare_output(record, again).same
        status = await client.ask(Status())
        assert status.memory_bytes["kv_cache"] == 0


async def test_log_probabilities_stream_whole_and_are_recorded_up_to_a_bound(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.gguf")
    async with real_client(tmp_path) as client:
        messages = await collect(client, asking(model, n=2, logprobs=2))
        record = await record_of(client, asking(model, n=2, logprobs=2))
    for choice, of_record in enumerate((record, *record.other_choices)):
        streamed = [each for each in messages if isinstance(each, Tokens) and each.choice == choice]
        logprobs = tuple(logprob for each in streamed for logprob in each.logprobs)
        assert of_record.logprobs == logprobs
        assert tuple(each.token_id for each in logprobs) == of_record.token_ids
        assert {len(each.top) for each in logprobs} == {2}
    for count, n in ((0, 1), (20, 1), (5, 4), (20, 256)):
        assert recorded_tokens(count, n) * (1 + count) * n <= MAX_RECORDED_LOGPROBS
