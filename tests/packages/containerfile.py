"""A Containerfile's steps, carried out in a clean root: no container engine is needed to know that they work."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.packages.clean_root import CleanRoot

READ = frozenset({"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"})


@dataclass(slots=True)
class Image:
    """What the steps so far come to."""

    root: CleanRoot
    user: str = "root"
    folder: str = "/"
    variables: dict[str, str] = field(default_factory=dict)
    entry: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)

    def run(self, script: str) -> str:
        """Stdout of a script, as a container's user has it."""
        return self.root.run(f"cd {self.folder}; {script}", self.user, **self.variables)


def steps(text: str) -> list[tuple[str, str]]:
    """Each instruction and what it is given."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [line.partition(" ")[::2] for line in lines if line.strip() and not line.startswith("#")]
    unknown = {name for name, _ in found} - READ
    assert not unknown, f"no step of these is known here: {unknown}"
    return found


def build(image: Image, text: str, context: Path) -> None:
    """Carry out the steps. ``FROM`` is the root as it is."""
    for name, given in steps(text):
        match name:
            case "COPY":
                *sources, target = shlex.split(given)
                copied = [path for source in sources for path in context.glob(source)]
                assert copied, f"nothing is {given}"
                for path in copied:
                    shutil.copy(path, image.root.folder / target.strip("/"))
            case "RUN":
                image.run(given)
            case "ENV":
                image.variables |= dict(pair.split("=", 1) for pair in shlex.split(given))
            case "USER":
                image.user = given
            case "WORKDIR":
                image.folder = given
            case "ENTRYPOINT":
                image.entry = json.loads(given)
            case "CMD":
                image.arguments = json.loads(given)
