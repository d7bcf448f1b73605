"""Names that say where a model comes from, and the names of what such a pull has left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from engine.fetch.hub.known_models import known_model
from engine.fetch.hub.reference import DIRECTORY as HUB_DIRECTORY
from engine.fetch.hub.reference import HubReference, is_hub, name_of
from engine.fetch.ollama.reference import DIRECTORY as OLLAMA_DIRECTORY
from engine.fetch.ollama.reference import OllamaReference, is_ollama, ollama_name_at
from engine.fetch.web.reference import DIRECTORY as WEB_DIRECTORY
from engine.fetch.web.reference import WebReference, is_address, web_name_at
from protocol.summaries import ModelSource

Reference: TypeAlias = HubReference | OllamaReference | WebReference

FORMS: Final = "hf:OWNER/REPO[/FILE.gguf | :QUANTIZATION], ollama:NAME[:TAG] or https://HOST/PATH/FILE.gguf"
"""The forms of references, for errors."""
_NAMES: Final[dict[str, tuple[ModelSource, Callable[[Path], str | None]]]] = {
    HUB_DIRECTORY: ("hub", name_of),
    OLLAMA_DIRECTORY: ("ollama", ollama_name_at),
    WEB_DIRECTORY: ("web", web_name_at),
}
DIRECTORIES: Final = tuple(_NAMES)
"""In the models directory, of what was pulled."""


def is_reference(text: str) -> bool:
    """Whether a name says where the model comes from, well or ill: then it is no path."""
    return is_hub(text) or is_ollama(text) or is_address(text)


def parse_reference(text: str) -> Reference | None:
    """What a name says about where the model comes from; ``None`` where it does not say. Raises InvalidRequest where it
    cannot be meant."""
    known = known_model(text)
    if known is not None:
        return HubReference.parse(known.reference)
    if is_hub(text):
        return HubReference.parse(text)
    if is_ollama(text):
        return OllamaReference.parse(text)
    return WebReference.parse(text) if is_address(text) else None


def name_at(place: Path) -> tuple[ModelSource, str] | None:
    """Where the model whose file lies there came from, and its name; ``None`` for a place where no pull puts one.

    ``place`` is relative to the models directory.
    """
    source, name_of_place = _NAMES.get(place.parts[0], ("file", lambda _: None))
    name = name_of_place(place)
    return None if name is None else (source, name)
