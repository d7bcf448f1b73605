"""All models: those of the catalogue, those that are here, and those on their way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from engine.fetch.catalogue import CATALOGUE, CatalogueEntry
from engine.fetch.hub.known_models import KNOWN_MODELS, KnownModel
from engine.fetch.hub.reference import HubReference
from engine.fetch.partial_file import whole_size
from engine.models.model_headers import ModelHeaders
from engine.models.models_directory import ModelFile, ModelsDirectory, is_meant, shown
from protocol.summaries import ModelHeader, ModelSummary


def list_models(
    directory: ModelsDirectory, headers: ModelHeaders, cached: Mapping[str, Collection[str]] = MappingProxyType({})
) -> tuple[ModelSummary, ...]:
    """The catalogue's, pulled or not, then others in the models directory, those pulled from elsewhere last, and of the
    well-known ones those that are not here. Reads headers alone. ``cached``: recipes whose weights are in the cache, by
    the name of their model."""
    here, unfinished = directory.models(), directory.unfinished()
    read = headers.of(here)
    # A copy of a catalogue model may lie elsewhere below; the catalogue's own is the one it pulls.
    pulled = {model.path.name: model for model in here if model.source == "catalogue"}
    own = {model.name.lower() for model in here if model.source == "file"}
    catalogue = [
        _installed(pulled[entry.file_name], read[pulled[entry.file_name].path])
        if entry.file_name in pulled
        else _not_pulled(entry, unfinished)
        for entry in CATALOGUE
        if entry.file_name in pulled or entry.name not in own  # a file under that name is what goes by it
    ]
    others = [_installed(model, read[model.path]) for model in here if model.source != "catalogue"]
    coming = [_unfinished(model) for model in unfinished if model.source != "catalogue"]
    missing = [_missing(model) for model in KNOWN_MODELS if not _is_here(model, here) and model.name not in own]
    listed = (*catalogue, *others, *coming, *missing)
    return tuple(model.model_copy(update={"cached": tuple(sorted(cached.get(model.name, ())))}) for model in listed)


def _installed(model: ModelFile, header: ModelHeader) -> ModelSummary:
    partials = model.partials
    return ModelSummary(
        **dict(header),
        name=model.name,
        path=shown(model.path),
        size_bytes=sum(map(_size, model.parts)),
        installed=True,
        source=model.source,
        files=len(model.parts),
        arrived_bytes=sum(map(_size, partials)) if partials else None,
    )


def _unfinished(model: ModelFile) -> ModelSummary:
    there = [part for part in model.parts if part.is_file()]
    return ModelSummary(
        name=model.name,
        path="",
        size_bytes=sum(map(whole_size, model.partials)) + sum(map(_size, there)),
        installed=False,
        source=model.source,
        files=len(model.parts),
        arrived_bytes=sum(map(_size, model.partials)) + sum(map(_size, there)),
        reason="not all of it has arrived",
    )


def _not_pulled(entry: CatalogueEntry, unfinished: Iterable[ModelFile]) -> ModelSummary:
    partials = [partial for model in unfinished if model.name == entry.name for partial in model.partials]
    return ModelSummary(
        name=entry.name,
        path="",
        size_bytes=entry.size_bytes,
        installed=False,
        source="catalogue",
        architecture=entry.architecture,
        parameters=entry.parameters,
        licence=entry.licence,
        arrived_bytes=sum(map(_size, partials)) if partials else None,
        reason="not all of it has arrived" if partials else "not pulled",
    )


def _is_here(known: KnownModel, here: Iterable[ModelFile]) -> bool:
    reference = HubReference.parse(known.reference)
    return any(is_meant(model, reference) for model in here)


def _missing(model: KnownModel) -> ModelSummary:
    return ModelSummary(
        name=model.name,
        path="",
        size_bytes=model.size_bytes,
        installed=False,
        source="hub",
        architecture=model.architecture,
        parameters=model.parameters,
        licence=model.licence,
        reason="not pulled",
    )


def _size(path: Path) -> int:
    """0 where it is gone by now."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
