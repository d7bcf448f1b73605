"""What a check-up looks at, probed in one place: nothing here judges, needs root, or raises."""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from engine.energy.ladder import open_ladder
from engine.energy.source_state import SourceState
from engine.host import landlock
from engine.host.cgroup import cpu_quota, memory_limit
from engine.identity.version import ENGINE_VERSION
from protocol.address import HTTP_SOCKET_NAME
from protocol.answers import Welcome
from protocol.blocking import BlockingClient
from protocol.build import Build
from protocol.errors import EngineError

if TYPE_CHECKING:
    from engine.config import EngineConfig

_CPUS = Path("/sys/devices/system/cpu")
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_SECCOMP = Path("/proc/sys/kernel/seccomp")
_WALL = "sandbox:"
_CONNECT_S = 2.0
"""A live engine says its Welcome within milliseconds."""


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What is known of one folder."""

    path: str
    exists: bool
    is_directory: bool
    usable: bool
    """Readable, writable and searchable; where it does not exist, the nearest folder above that does."""
    nearest: str
    """That folder; the path itself where it exists."""
    free_bytes: int | None
    """On its disk, for this user."""
    used_bytes: int = 0
    """Bytes that the files looked for take."""
    files: int = 0


@dataclass(frozen=True, slots=True)
class SocketFacts:
    """What is known of the socket and its directory."""

    path: str
    kind: str
    """``socket``, ``other`` or ``absent``."""
    mode: int | None
    owner: int | None
    directory_kind: str
    """``directory``, ``other`` or ``absent``."""
    directory_mode: int | None
    directory_owner: int | None
    engine_version: str | None
    """The version of the engine that answers there."""
    engine_build: Build | None
    """The same; ``None`` too where it does not tell."""
    engine_walls: tuple[str, ...] | None
    """What its process has given up: see :data:`protocol.sandbox.Wall`. ``None`` where none answers."""
    failure: str
    """Why none does."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the doctor judges."""

    user: int
    python_version: str
    python_required: str
    engine_version: str
    extension_version: str | None
    extension_failure: str
    """Why the compiled part cannot be used; empty where it can."""
    build: Build | None
    """``None`` where it cannot."""
    stale_sources: str | None
    """The folder of sources beside the package, where the compiled part was made of others."""
    cpu_model: str
    kernel_tables: Mapping[str, str]
    """Every backend, the best first: ``""`` where it runs here, else why not."""
    masked_cpu_features: tuple[str, ...]
    """What the processor has and ``ENGINE_CPU_FEATURES`` leaves out."""
    cpu_features_failure: str
    """Why that variable cannot be followed; empty where it can."""
    online_cpus: int | None
    affinity: int
    cpu_quota: float | None
    governors: tuple[str, ...]
    """Those of the allowed CPUs, each once; none where the kernel does not tell."""
    physical_bytes: int
    available_bytes: int | None
    memory_limit_bytes: int | None
    """The least limit of the control groups."""
    huge_pages: str | None
    """``always``, ``madvise`` or ``never``; ``None`` where the kernel does not tell."""
    landlock_version: int
    """0 where the kernel has none."""
    system_call_filters: bool
    """Whether the kernel has them."""
    energy: tuple[SourceState, ...]
    """Every source of joules, the best first."""
    energy_declared: str
    """What the configuration declares for plans that leave their source open; empty where nothing."""
    energy_undeclarable: str
    """Why the declared source does not work; empty where it does."""
    socket: SocketFacts
    http_socket: SocketFacts
    """The socket of HTTP beside the other; it is looked at and not spoken to."""
    config_failure: str
    models: FolderFacts | None
    cache: FolderFacts | None
    cache_limit_bytes: int | None
    data: FolderFacts | None
    """The three are ``None`` where the configuration could not be read."""


def probe_facts(socket: Path) -> Facts:
    """Blocking, for up to some seconds: the counters are seen to move, the engine on ``socket`` is spoken to."""
    version, failure, cpu_model, available = _probe_extension()
    build, stale = (None, None) if failure else _probe_build()
    tables, masked, mask_failure = ({}, (), "") if failure else _probe_kernels()
    config, config_failure = _read_config()
    ladder = None if config is None else open_ladder(config)
    return Facts(
        user=os.geteuid(),
        python_version=platform.python_version(),
        python_required=metadata("weos-engine")["Requires-Python"] or "",
        engine_version=ENGINE_VERSION,
        extension_version=version,
        extension_failure=failure,
        build=build,
        stale_sources=stale,
        cpu_model=cpu_model,
        kernel_tables=tables,
        masked_cpu_features=masked,
        cpu_features_failure=mask_failure,
        online_cpus=os.cpu_count(),
        affinity=len(os.sched_getaffinity(0)),
        cpu_quota=cpu_quota(),
        governors=_governors(),
        physical_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        available_bytes=available,
        memory_limit_bytes=memory_limit(),
        huge_pages=_chosen(_text(_HUGE_PAGES)),
        landlock_version=landlock.version(),
        system_call_filters=_status(_SECCOMP) is not None,
        energy=() if ladder is None else ladder.states(),
        energy_declared="" if ladder is None else ladder.declaration,
        energy_undeclarable="" if ladder is None else ladder.why_not_declared,
        socket=_socket(socket, greeted=True),
        http_socket=_socket(socket.with_name(HTTP_SOCKET_NAME), greeted=False),
        config_failure=config_failure,
        models=None if config is None else _folder(config.models_dir, "*.gguf"),
        cache=None if config is None else _folder(config.cache_dir / "weights", "*.gguf"),
        cache_limit_bytes=None if config is None else config.weights_cache_mb * 10**6,
        data=None if config is None else _folder(config.data_dir, "records.sqlite*"),
    )


def _probe_extension() -> tuple[str | None, str, str, int | None]:
    """Version, failure, CPU model, memory that is available."""
    try:
        from engine import _core  # noqa: PLC0415  that it cannot be loaded is one of the findings
        from engine.host.available_memory import available_memory  # noqa: PLC0415
    except ImportError as error:
        return None, str(error), platform.processor() or platform.machine(), None
    return _core.__version__, "", _core.cpu_model(), available_memory()


def _probe_build() -> tuple[Build | None, str | None]:
    """The extension's build, if it is known, and the folder of sources that have changed since, if any."""
    from engine.identity.build import current_build, stale_sources  # noqa: PLC0415  it needs the extension

    stale = stale_sources()
    try:
        return current_build(), stale
    except (EngineError, OSError, MemoryError):
        return None, stale


def _probe_kernels() -> tuple[Mapping[str, str], tuple[str, ...], str]:
    """Kernel tables, features of the CPU that are masked, and why neither is known; of an extension that loads."""
    from engine.host.machine import probe_machine  # noqa: PLC0415  it needs the extension

    try:
        machine = probe_machine()
    except EngineError as error:
        return {}, (), error.message
    return machine.kernel_tables, machine.masked_cpu_features, ""


def _read_config() -> tuple[EngineConfig | None, str]:
    try:
        from engine.config import default_config  # noqa: PLC0415  it needs the extension

        return default_config(), ""
    except (ImportError, EngineError) as error:
        return None, str(error)


def _governors() -> tuple[str, ...]:
    texts = (_text(_CPUS / f"cpu{cpu}" / "cpufreq" / "scaling_governor") for cpu in os.sched_getaffinity(0))
    return tuple(sorted({text.strip() for text in texts if text is not None}))


def _chosen(text: str | None) -> str | None:
    """The word in brackets: how the kernel marks the setting of several."""
    words = [word.strip("[]") for word in (text or "").split() if word.startswith("[")]
    return words[0] if words else None


def _socket(path: Path, *, greeted: bool) -> SocketFacts:
    found, directory = _status(path), _status(path.parent)
    welcome, failure = _greet(path) if greeted else (None, "")
    return SocketFacts(
        path=str(path),
        kind="absent" if found is None else "socket" if stat.S_ISSOCK(found.st_mode) else "other",
        mode=None if found is None else stat.S_IMODE(found.st_mode),
        owner=None if found is None else found.st_uid,
        directory_kind="absent" if directory is None else "directory" if stat.S_ISDIR(directory.st_mode) else "other",
        directory_mode=None if directory is None else stat.S_IMODE(directory.st_mode),
        directory_owner=None if directory is None else directory.st_uid,
        engine_version=None if welcome is None else welcome.engine_version,
        engine_build=None if welcome is None else welcome.build,
        engine_walls=None if welcome is None else _walls(welcome.capabilities),
        failure=failure,
    )


def _walls(capabilities: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.removeprefix(_WALL) for name in capabilities if name.startswith(_WALL))


def _greet(path: Path) -> tuple[Welcome | None, str]:
    """What the engine there says of itself, or why none answers."""
    try:
        with BlockingClient.connect(path, timeout=_CONNECT_S) as client:
            return client.welcome, ""
    except EngineError as error:
        return None, error.message


def _folder(path: Path, pattern: str) -> FolderFacts:
    nearest = path
    while _target(nearest) is None and nearest != nearest.parent:
        nearest = nearest.parent
    found = _target(path)
    free_bytes = None
    with suppress(OSError):
        disk = os.statvfs(nearest)
        free_bytes = disk.f_bavail * disk.f_frsize
    sizes = [status.st_size for file in _matches(path, pattern) if (status := _status(file)) is not None]
    return FolderFacts(
        path=str(path),
        exists=found is not None,
        is_directory=found is not None and stat.S_ISDIR(found.st_mode),
        usable=os.access(nearest, os.R_OK | os.W_OK | os.X_OK),
        nearest=str(nearest),
        free_bytes=free_bytes,
        used_bytes=sum(sizes),
        files=len(sizes),
    )


def _matches(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _target(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
