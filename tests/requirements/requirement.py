"""A requirement: what a document asks for, where, and the name that its tests bear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Document = Literal[
    "Stack Tecnológico",
    "Requisitos",
    "Documentação Completa",
    "Integração com WeOS",
]
"""The documents by their titles, each of version 0.1."""


@dataclass(frozen=True, slots=True)
class Place:
    document: Document
    section: str

    def __str__(self) -> str:
        return f"{self.document} §{self.section}"


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    """Name in its tests, which are called ``test_`` and this, and then what they show."""
    says: str
    """What the documents ask for, in a sentence."""
    places: tuple[Place, ...]

    @property
    def code(self) -> str:
        """The documents' name for it (``RF-01``); where they give it no name, its key's first word."""
        family, _, rest = self.key.partition("_")
        number = rest.partition("_")[0]
        return f"{family.upper()}-{number}" if number.isdigit() else family


def stack(section: str) -> Place:
    return Place("Stack Tecnológico", section)


def requisitos(section: str) -> Place:
    return Place("Requisitos", section)


def whole(section: str) -> Place:
    return Place("Documentação Completa", section)


def weos(section: str) -> Place:
    return Place("Integração com WeOS", section)
