"""What ``engine-ctl --version`` says: which version, which build, and what it computes."""

from __future__ import annotations

from importlib.metadata import version


def version_lines() -> list[str]:
    """The versions of the package and its build."""
    told = [f"engine-ctl, version {version('weos-engine')}"]
    try:
        from engine.identity.build import current_build
    except ImportError as error:
        return [*told, f"build unknown: {error}"]
    build = current_build()
    return [*told, f"build {build.id} ({build.compiler}, {build.flags})", f"arithmetic {build.arithmetic_or_reason}"]
