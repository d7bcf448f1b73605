"""Fetches a model by the name that says where it comes from: the catalogue, or the hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.artifact.content_hash import ContentHashes
from engine.fetch.catalogue import CATALOGUE, CatalogueEntry, entry_named
from engine.fetch.download import download_model
from engine.fetch.hub.reference import HubReference, is_reference
from engine.fetch.pull_watch import PullWatch
from protocol.errors import UnknownModel

Fetch = Callable[[str, PullWatch], Path]
"""Brings the model of that name and tells where it lies; raises what :func:`fetch_model` raises."""


def fetch_model(name: str, watch: PullWatch, *, models_dir: Path, hashes: ContentHashes) -> Path:
    """Fetch the model unless it is here already and whole; of several files the first. Blocking.

    Raises:
        UnknownModel: neither the catalogue nor the hub has it.
        AmbiguousModel, InvalidRequest: a name of the hub that means no single model.
        DownloadFailed: it could not be fetched, checked or stored.
        DiskFull: there is no room for it.
        ExecutionCancelled: the watch was told to cancel.
    """
    entry = entry_named(name)
    if entry is not None:
        return _fetch_entry(entry, watch, models_dir, hashes)
    if not is_reference(name):
        known = [entry.name for entry in CATALOGUE]
        raise UnknownModel(
            f"no model {name!r} to pull; the catalogue has {', '.join(known)}, and models on the hub are named "
            "hf:OWNER/REPO[/FILE.gguf]",
            known=known,
        )
    # The hub's library takes half a second to import, and most engines never pull.
    from engine.fetch.hub.pull import HubPull  # noqa: PLC0415

    return HubPull(HubReference.parse(name), models_dir, hashes, watch).run()


def _fetch_entry(entry: CatalogueEntry, watch: PullWatch, models_dir: Path, hashes: ContentHashes) -> Path:
    path = models_dir / entry.file_name
    if not path.is_file() or hashes.of(path) != f"sha256:{entry.sha256}":
        hashes.of(download_model(entry, models_dir, watch))
    return path
