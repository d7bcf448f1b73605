"""Names of models in Ollama's registry, and where each lies once it is here.

ollama:[NAMESPACE/]NAME[:TAG]              the namespace is "library" and the tag "latest" where none is named
registry.ollama.ai/NAMESPACE/NAME[:TAG]    the same, as Ollama itself may print it
MODELS/ollama/NAMESPACE/NAME/TAG.gguf
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from typing_extensions import Self

from protocol.errors import InvalidRequest

DIRECTORY: Final = "ollama"
"""In the models directory."""
_LIBRARY: Final = "library"
_REFERENCE = re.compile(
    r"(?:ollama:(?://)?|registry\.ollama\.ai/)(?:(?P<namespace>[^/:]+)/)?(?P<model>[^/:]+)(?::(?P<tag>[^/:]+))?",
    re.IGNORECASE,
)
_COMPONENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True, slots=True)
class OllamaReference:
    """A model of the registry, in one of its versions."""

    namespace: str
    model: str
    tag: str

    def __post_init__(self) -> None:
        """Raises InvalidRequest for what is no name there, or could lie outside its own directory."""
        for part in (self.namespace, self.model, self.tag):
            if _COMPONENT.fullmatch(part) is None or ".." in part:
                raise _refusal(part)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InvalidRequest."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise _refusal(text)
        return cls(found["namespace"] or _LIBRARY, found["model"], found["tag"] or "latest")

    @property
    def name(self) -> str:
        """What :meth:`parse` makes the same reference of."""
        namespace = "" if self.namespace == _LIBRARY else f"{self.namespace}/"
        return f"ollama:{namespace}{self.model}:{self.tag}"

    @property
    def place(self) -> Path:
        """Where its file lies, relative to the models directory."""
        return Path(DIRECTORY, self.namespace, self.model, f"{self.tag}.gguf")


def is_ollama(text: str) -> bool:
    """Whether a model's name asks for the registry."""
    return text.lower().startswith(("ollama:", "registry.ollama.ai/"))


def ollama_name_at(place: Path) -> str | None:
    """The name of the model whose file lies there, relative to the models directory; ``None`` where none may."""
    try:
        _, namespace, model, file = place.parts
        return OllamaReference(namespace, model, file[: -len(".gguf")]).name
    except (ValueError, InvalidRequest):
        return None


def _refusal(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"{text[:200]!r} names nothing in Ollama's registry; the form is ollama:[NAMESPACE/]NAME[:TAG]", field="model"
    )
