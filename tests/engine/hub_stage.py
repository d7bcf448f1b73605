"""A stand-in hub, an engine's directories, and pulls between them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.artifact.content_hash import ContentHashes
from engine.fetch.fetch import fetch_reference
from engine.fetch.hub.reference import HubReference
from engine.fetch.pull_watch import PullWatch
from tests.engine.hub_server import HubServer, Repository

CONTENT = random.Random(0).randbytes(300_000)


@dataclass
class HubStage:
    hub: HubServer
    directory: Path
    watch: PullWatch = field(default_factory=PullWatch)

    @property
    def models_dir(self) -> Path:
        return self.directory / "models"

    def offer(self, name: str = "owner/repo", **repository: object) -> Repository:
        files = repository.pop("files", {"model.gguf": CONTENT})
        self.hub.repositories[name] = Repository(files, **repository)  # type: ignore[arg-type]
        return self.hub.repositories[name]

    def pull(self, text: str = "hf:owner/repo", watch: PullWatch | None = None) -> Path:
        hashes = ContentHashes(self.directory / "cache" / "content-hashes.json")
        self.models_dir.mkdir(exist_ok=True)
        return fetch_reference(
            HubReference.parse(text),
            watch or self.watch,
            models_dir=self.models_dir,
            hashes=hashes,
            first_pause_s=0.001,
        )

    def files(self) -> dict[str, int]:
        """Sizes of everything in the models directory, by path in it."""
        found = (path for path in self.models_dir.rglob("*") if path.is_file())
        return {path.relative_to(self.models_dir).as_posix(): path.stat().st_size for path in found}

    def partial_sizes(self) -> list[int]:
        return [size for name, size in self.files().items() if name.endswith(".part")]


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """The thread, and what the work raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def point_at(endpoint: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's library see this hub, and nothing of the user's."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("HF_HOME", str(directory / "huggingface"))
