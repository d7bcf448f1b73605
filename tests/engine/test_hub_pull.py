"""Pulling from a hub on this machine, with everything that a network does to it."""

from __future__ import annotations

import hashlib

import pytest

from engine.artifact.content_hash import ContentHashes
from engine.fetch.pull_watch import PullWatch
from engine.models.models_directory import ModelsDirectory
from protocol.errors import AmbiguousModel, DownloadFailed, ExecutionCancelled, UnknownModel
from tests.engine.hub_server import COMMIT
from tests.engine.hub_stage import CONTENT, HubStage, in_background


class Recorder(PullWatch):
    """Keeps what it is told, and may be told to stop at a number of bytes."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.told: list[tuple[str, int, int | None]] = []
        self._stop_at = stop_at

    def tell(self, stage: str, done: int, total: int | None) -> None:
        self.told.append((stage, done, total))
        if self._stop_at is not None and stage == "download" and done >= self._stop_at:
            self.cancel()
        super().tell(stage, done, total)


# --- what arrives ---------------------------------------------------------------------------------------------------


def test_the_only_model_of_a_repository_arrives_whole_with_progress_and_nothing_else(stage: HubStage) -> None:
    stage.offer(files={"model.gguf": CONTENT, "README.md": b"hello", "model.safetensors": b"x"})
    watch = Recorder()
    path = stage.pull("hf:owner/repo", watch)
    assert path == stage.models_dir / "hf/owner/repo/model.gguf"
    assert path.read_bytes() == CONTENT
    assert stage.files() == {"hf/owner/repo/model.gguf": len(CONTENT)}
    assert watch.told[0] == ("download", 0, len(CONTENT))
    assert watch.told[-1] == ("download", len(CONTENT), len(CONTENT))


def test_its_content_hash_is_known_without_reading_it_again(stage: HubStage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.offer()
    path = stage.pull()
    monkeypatch.setattr("engine.artifact.content_hash._hash", None)
    expected = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert ContentHashes(stage.directory / "cache" / "content-hashes.json").of(path) == expected


def test_a_file_is_named_in_a_folder_of_the_repository(stage: HubStage) -> None:
    stage.offer(files={"a.gguf": b"a", "q4/b.gguf": CONTENT})
    assert stage.pull("hf:owner/repo/q4/b.gguf") == stage.models_dir / "hf/owner/repo/q4/b.gguf"
    assert list(stage.files()) == ["hf/owner/repo/q4/b.gguf"]


def test_a_quantization_is_named_in_place_of_its_file(stage: HubStage) -> None:
    names = ("tiny-Q4_K_M.gguf", "tiny-Q4_K_S.gguf", "tiny-q8_0.gguf", "mmproj-tiny-q8_0.gguf", "BF16/tiny.gguf")
    stage.offer(files=dict.fromkeys(names, CONTENT))
    for label, name in (("Q4_K_M", names[0]), ("q4_k_s", names[1]), ("Q8_0", names[2]), ("bf16", names[4])):
        place = stage.pull(f"hf:owner/repo:{label}")
        assert place == stage.models_dir / "hf/owner/repo" / name
        found = ModelsDirectory(stage.models_dir).find(f"hf:owner/repo:{label}")
        assert found is not None
        assert found.path == place
    with pytest.raises(UnknownModel, match=r"no model in Q4_K\. It has"):
        stage.pull("hf:owner/repo:Q4_K")


def test_a_quantization_that_several_files_have_needs_a_name(stage: HubStage) -> None:
    stage.offer(files={"a-Q8_0.gguf": b"a", "b-Q8_0.gguf": b"b", "a-Q4_0.gguf": b"c"})
    with pytest.raises(AmbiguousModel) as raised:
        stage.pull("hf:owner/repo:Q8_0")
    assert raised.value.params["files"] == {"a-Q8_0.gguf": 1, "b-Q8_0.gguf": 1}


def test_revisions_are_asked_for_and_lie_apart(stage: HubStage) -> None:
    stage.offer(revisions=("main", "v1", "refs/pr/1"))
    for text in ("hf:owner/repo", "hf:owner/repo@v1", "hf:owner/repo/model.gguf@refs/pr/1"):
        stage.pull(text)
    assert sorted(stage.files()) == [
        "hf/owner/repo/model.gguf",
        "hf/owner/repo@refs%2Fpr%2F1/model.gguf",
        "hf/owner/repo@v1/model.gguf",
    ]
    # What was listed is what is fetched, whatever is pushed meanwhile.
    fetched = [request.path for request in stage.hub.requests if "/resolve/" in request.path]
    assert fetched == [f"/owner/repo/resolve/{COMMIT}/model.gguf"] * 3


def test_of_a_split_model_any_part_brings_all(stage: HubStage) -> None:
    parts = {f"m-0000{number}-of-00003.gguf": CONTENT[: 100_000 * number] for number in (1, 2, 3)}
    stage.offer(files=parts | {"other.gguf": b"x"})
    watch = Recorder()
    path = stage.pull("hf:owner/repo/m-00002-of-00003.gguf", watch)
    assert path.name == "m-00001-of-00003.gguf"
    assert {(path.parent / name).read_bytes() for name in parts} == set(parts.values())
    assert watch.told[-1] == ("download", 600_000, 600_000)


def test_a_repository_with_one_split_model_needs_no_file_named(stage: HubStage) -> None:
    stage.offer(files={"m-00001-of-00002.gguf": b"one", "m-00002-of-00002.gguf": b"two"})
    assert stage.pull().name == "m-00001-of-00002.gguf"


def test_a_small_file_that_git_itself_keeps_is_checked_too(stage: HubStage) -> None:
    stage.offer(in_git=("model.gguf",))
    assert stage.pull().read_bytes() == CONTENT
    stage.offer(in_git=("model.gguf",), checksums={"model.gguf": "0" * 40}, files={"model.gguf": CONTENT + b"!"})
    with pytest.raises(DownloadFailed, match="checksum"):
        stage.pull()


def test_the_hub_spells_the_name(stage: HubStage) -> None:
    stage.offer("Owner/Repo-GGUF")
    assert stage.pull("hf:owner/repo-gguf") == stage.models_dir / "hf/Owner/Repo-GGUF/model.gguf"


def test_what_is_here_and_whole_is_not_fetched_again(stage: HubStage) -> None:
    stage.offer()
    stage.pull()
    stage.pull()
    assert stage.hub.sent["model.gguf"] == len(CONTENT)


def test_a_new_version_takes_the_place_of_the_old_one(stage: HubStage) -> None:
    stage.offer()
    stage.pull()
    stage.offer(files={"model.gguf": CONTENT[::-1]})
    assert stage.pull().read_bytes() == CONTENT[::-1]
    assert len(stage.files()) == 1


# --- what the network does ------------------------------------------------------------------------------------------


def test_a_cut_connection_is_taken_up_where_it_broke(stage: HubStage) -> None:
    stage.offer()
    stage.hub.mishaps.cut_after = [100_000, 50_000]
    assert stage.pull().read_bytes() == CONTENT
    assert stage.hub.ranges() == [None, "bytes=100000-", "bytes=150000-"]
    assert stage.hub.sent["model.gguf"] == len(CONTENT)


def test_a_pull_that_is_given_up_is_gone_on_with_by_the_next_one(stage: HubStage) -> None:
    stage.offer()
    stage.hub.mishaps.cut_after = [100_000] + [0] * 9
    with pytest.raises(DownloadFailed, match="the incomplete file is kept") as raised:
        stage.pull()
    assert raised.value.params["reason"] == "unreachable"
    assert stage.partial_sizes() == [100_000]
    assert not (stage.models_dir / "hf/owner/repo/model.gguf").exists()
    stage.hub.mishaps.cut_after = []
    watch = Recorder()
    assert stage.pull(watch=watch).read_bytes() == CONTENT
    assert watch.told[:2] == [("check", 100_000, 100_000), ("download", 100_000, len(CONTENT))]
    assert stage.hub.sent["model.gguf"] == len(CONTENT)
    assert stage.partial_sizes() == []


def test_a_hub_without_ranges_sends_all_again(stage: HubStage) -> None:
    stage.offer()
    stage.hub.mishaps.cut_after = [100_000]
    stage.hub.mishaps.ignore_ranges = True
    assert stage.pull().read_bytes() == CONTENT
    assert stage.hub.sent["model.gguf"] == 100_000 + len(CONTENT)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_asks_to_come_back_is_asked_again(stage: HubStage, status: int) -> None:
    stage.offer()
    stage.hub.mishaps.statuses = [status, status]
    assert stage.pull().read_bytes() == CONTENT


def test_a_hub_that_never_recovers_is_given_up(stage: HubStage) -> None:
    stage.offer()
    stage.hub.mishaps.statuses = [503] * 9
    with pytest.raises(DownloadFailed, match="answers 503 for hf:owner/repo") as raised:
        stage.pull()
    assert raised.value.params["reason"] == "refused"


def test_a_wrong_checksum_leaves_nothing_and_says_so(stage: HubStage) -> None:
    stage.offer(checksums={"model.gguf": "0" * 64})
    with pytest.raises(DownloadFailed, match="Pull again") as raised:
        stage.pull()
    assert raised.value.params["reason"] == "checksum"
    assert raised.value.params["expected"] == "sha256:" + "0" * 64
    assert stage.files() == {}


def test_a_damaged_beginning_is_found_at_the_end(stage: HubStage) -> None:
    stage.offer()
    stage.hub.mishaps.cut_after = [100_000] + [0] * 9
    with pytest.raises(DownloadFailed):
        stage.pull()
    (partial,) = (stage.models_dir / "hf/owner/repo").iterdir()
    partial.write_bytes(b"?" + partial.read_bytes()[1:])
    stage.hub.mishaps.cut_after = []
    with pytest.raises(DownloadFailed, match="checksum"):
        stage.pull()
    assert stage.pull().read_bytes() == CONTENT


def test_what_had_arrived_of_an_older_version_is_not_gone_on_with(stage: HubStage) -> None:
    stage.offer()
    stage.hub.mishaps.cut_after = [100_000] + [0] * 9
    with pytest.raises(DownloadFailed):
        stage.pull()
    stage.hub.mishaps.cut_after = []
    stage.offer(files={"model.gguf": CONTENT[::-1]})
    assert stage.pull().read_bytes() == CONTENT[::-1]
    assert stage.hub.ranges()[-1] is None
    assert len(stage.files()) == 1


def test_a_split_model_is_seen_whole_or_not_at_all(stage: HubStage) -> None:
    stage.offer(files={"m-00001-of-00002.gguf": CONTENT, "m-00002-of-00002.gguf": CONTENT[::-1]})
    stage.hub.mishaps.cut_after = [len(CONTENT), 1000] + [0] * 9
    with pytest.raises(DownloadFailed):
        stage.pull()
    assert sorted(stage.partial_sizes()) == [1000, len(CONTENT)]
    assert len(stage.files()) == 2
    stage.hub.mishaps.cut_after = []
    stage.pull()
    assert list(stage.hub.sent.values()) == [len(CONTENT)] * 2


def test_a_cancelled_pull_stops_and_keeps_what_has_arrived(stage: HubStage) -> None:
    stage.offer()
    with pytest.raises(ExecutionCancelled):
        stage.pull(watch=Recorder(stop_at=100_000))
    (size,) = stage.partial_sizes()
    assert 100_000 <= size < len(CONTENT)
    stage.pull()
    assert stage.hub.ranges()[-1] == f"bytes={size}-"


def test_a_pull_cancelled_before_it_begins_asks_for_no_file(stage: HubStage) -> None:
    stage.offer()
    stage.watch.cancel()
    with pytest.raises(ExecutionCancelled):
        stage.pull()
    assert stage.hub.ranges() == []


def test_two_engines_do_not_write_the_same_file(stage: HubStage) -> None:
    stage.offer()
    stage.hub.mishaps.hold_after = 100_000
    watch = PullWatch()
    thread, raised = in_background(lambda: stage.pull(watch=watch))
    while (progress := watch.progress()) is None or progress.done < 50_000:
        pass
    with pytest.raises(DownloadFailed, match="another engine is fetching") as refused:
        stage.pull()
    assert refused.value.params["reason"] == "busy"
    stage.hub.mishaps.may_go_on.set()
    thread.join()
    assert raised == []
    assert (stage.models_dir / "hf/owner/repo/model.gguf").read_bytes() == CONTENT
