"""Writes the published JSON Schemas into a folder, and removes what is published no longer.

python tools/write_schemas.py protocol/schemas
"""

from __future__ import annotations

import sys
from pathlib import Path

from protocol.schema import SCHEMA_NAMES, make_schema


def main(folder: Path) -> None:
    """Write all schemas into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.json"):
        if path.stem not in SCHEMA_NAMES:
            path.unlink()
    for name in SCHEMA_NAMES:
        (folder / f"{name}.json").write_text(make_schema(name), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
