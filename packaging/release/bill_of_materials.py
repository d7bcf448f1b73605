"""What the packages hold of others, with versions and licences, as CycloneDX has it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import NamedTuple

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL


class Part(NamedTuple):
    """A package, or a library that is linked into the extension."""

    name: str
    version: str
    licence: str
    """Its authors' word for it; empty where they have none."""
    kind: str
    """The first word of its package URL."""
    holds: str
    """What we ship that has it."""


def parts_of(packages: Path, linked: Sequence[Part]) -> list[Part]:
    """All that is installed in a folder of packages, and what is linked, by name."""
    installed = [
        Part(found.metadata["Name"], found.version, licence_of(found), "pypi", "Debian package")
        for found in distributions(path=[str(packages)])
    ]
    return sorted((*installed, *linked), key=lambda part: part.name.lower())


def licence_of(found: Distribution) -> str:
    """The expression, or what stood in its place before there were expressions, or the classifiers."""
    told = found.metadata
    if expression := told.get("License-Expression"):
        return str(expression)
    named = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    licence = str(told.get("License") or "")
    return licence if licence and "\n" not in licence else " AND ".join(named)


def cyclonedx_of(engine: Part, parts: Sequence[Part]) -> str:
    """The bill in CycloneDX 1.6, as JSON."""
    bill = Bom()
    bill.metadata.component = root = _component(engine, ComponentType.APPLICATION)
    components = [_component(part, ComponentType.LIBRARY) for part in parts if part.name != engine.name]
    for component in components:
        bill.components.add(component)
    bill.register_dependency(root, components)
    return str(JsonV1Dot6(bill).output_as_string(indent=2))


def _component(part: Part, kind: ComponentType) -> Component:
    licences = [LicenseFactory().make_from_string(part.licence)] if part.licence else []
    url = PackageURL(part.kind, None, part.name.lower() if part.kind == "pypi" else part.name, part.version)
    return Component(name=part.name, version=part.version, type=kind, purl=url, bom_ref=str(url), licenses=licences)
