"""Fetches a model by the name that says where it comes from: the catalogue, or a reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typing_extensions import assert_never

from engine.artifact.content_hash import ContentHashes
from engine.fetch.catalogue import CATALOGUE, CatalogueEntry, entry_named
from engine.fetch.download import download_model
from engine.fetch.hub.known_models import KNOWN_MODELS
from engine.fetch.hub.reference import HubReference
from engine.fetch.model_transfer import ModelTransfer
from engine.fetch.offer import Offer
from engine.fetch.ollama.offer import ollama_offer
from engine.fetch.ollama.reference import OllamaReference
from engine.fetch.pull_watch import PullWatch
from engine.fetch.reference import FORMS, Reference, parse_reference
from engine.fetch.web.offer import web_offer
from engine.fetch.web.reference import WebReference
from protocol.errors import DownloadFailed, UnknownModel

Fetch = Callable[[str, PullWatch], Path]
"""Brings the model of that name and tells where it lies; raises what :func:`fetch_model` raises."""


def fetch_model(name: str, watch: PullWatch, *, models_dir: Path, hashes: ContentHashes) -> Path:
    """Fetch the model unless it is here already and whole; of several files the first. Blocking.

    Raises:
        UnknownModel: nobody has it.
        AmbiguousModel, InvalidRequest: a reference that means no single model.
        UnsupportedModel: it is none that the engine could run.
        DownloadFailed: it could not be fetched, checked or stored.
        DiskFull: there is no room for it.
        ExecutionCancelled: the watch was told to cancel.
    """
    entry = entry_named(name)
    if entry is not None:
        return _fetch_entry(entry, watch, models_dir, hashes)
    reference = parse_reference(name)
    if reference is None:
        known = [*(entry.name for entry in CATALOGUE), *(model.name for model in KNOWN_MODELS)]
        raise UnknownModel(
            f"no model {name!r} to pull; the catalogue has {', '.join(known)}, and models elsewhere are named {FORMS}",
            known=known,
        )
    return fetch_reference(reference, watch, models_dir=models_dir, hashes=hashes)


def fetch_reference(
    reference: Reference, watch: PullWatch, *, models_dir: Path, hashes: ContentHashes, first_pause_s: float = 1.0
) -> Path:
    """Fetch the model that a reference means; see :func:`fetch_model`, and :class:`Transfer` for ``first_pause_s``."""
    try:
        offer = _offer(reference)
    except (DownloadFailed, UnknownModel) as error:
        if reference.place is not None and (models_dir / reference.place).is_file():
            message = f"{error.message}. {reference.name} is here from an earlier pull, and runs"
            raise type(error)(message, **error.params) from error
        raise
    return ModelTransfer(offer, models_dir, hashes, watch, first_pause_s).run()


def _offer(reference: Reference) -> Offer:
    match reference:
        case HubReference():
            # The hub's library takes half a second to import, and most engines never pull.
            from engine.fetch.hub.offer import hub_offer  # noqa: PLC0415

            return hub_offer(reference)
        case OllamaReference():
            return ollama_offer(reference)
        case WebReference():
            return web_offer(reference)
        case unknown:
            assert_never(unknown)


def _fetch_entry(entry: CatalogueEntry, watch: PullWatch, models_dir: Path, hashes: ContentHashes) -> Path:
    path = models_dir / entry.file_name
    if not path.is_file() or hashes.of(path) != f"sha256:{entry.sha256}":
        hashes.of(download_model(entry, models_dir, watch))
    return path
