"""Judges what a check-up found: what is well, what is not, and how to change that. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from engine.doctor.doctor_facts import Facts, FolderFacts, SocketFacts
from engine.energy.source_state import SourceState
from engine.host.landlock import SCOPES_VERSION
from protocol.build import Build
from protocol.sandbox import Wall

GIB = 2**30
LITTLE_DISK = 5 * GIB
"""About what a model of seven billion parameters takes at four bits."""
LITTLE_MEMORY = 2 * GIB
"""A model of a billion parameters at eight bits, and room to compute."""


@dataclass(frozen=True, slots=True)
class Check:
    """The verdict on one thing, and the remedy where there is one."""

    name: str
    status: Literal["ok", "warning", "problem"]
    """``warning``: it works, and not as well as it could. ``problem``: something asked of the engine will fail."""
    found: str
    remedy: str = ""
    """What to do, where something can be done."""


def examine(facts: Facts) -> tuple[Check, ...]:
    """Every check, in the order of what depends on what."""
    return (
        check_versions(facts),
        check_backends(facts),
        check_cpus(facts),
        check_governor(facts),
        check_memory(facts),
        check_huge_pages(facts),
        *check_energy(facts),
        check_socket("socket", facts.socket, facts.user),
        check_socket("http socket", facts.http_socket, facts.user),
        check_engine(facts.socket, facts.engine_version, facts.build),
        check_sandbox(facts),
        *check_folders(facts),
    )


def check_versions(facts: Facts) -> Check:
    """Python and the engine's two halves are of versions that fit."""
    found = f"Python {facts.python_version}, engine {facts.engine_version}{_build(facts.build)}"
    if facts.extension_failure:
        return Check("versions", "problem", f"{found}; its compiled part: {facts.extension_failure}", _REINSTALL)
    if facts.extension_version != facts.engine_version:
        told = f"{found}; its compiled part is of {facts.extension_version}"
        return Check("versions", "problem", told, _REINSTALL)
    minimum = facts.python_required.removeprefix(">=")
    if _numbers(facts.python_version) < _numbers(minimum):
        return Check("versions", "problem", found, f"run it with Python {minimum} or newer")
    if facts.stale_sources is not None:
        told = f"{found}; the compiled part was made of other sources than those in {facts.stale_sources}"
        return Check("versions", "warning", told, "build it again: make develop")
    return Check("versions", "ok", found)


def _build(build: Build | None) -> str:
    return "" if build is None else f", build {build.id} ({build.compiler}), arithmetic {build.arithmetic_or_reason}"


_REINSTALL = "install the engine again, with the Python that runs it: pip install --force-reinstall weos-engine"


def check_backends(facts: Facts) -> Check:
    """The machine runs a backend with vector instructions."""
    if facts.cpu_features_failure:
        return Check("backends", "problem", facts.cpu_features_failure, "correct ENGINE_CPU_FEATURES, or unset it")
    usable = [name for name, reason in facts.kernel_tables.items() if not reason]
    missing = "; ".join(f"{name}: {reason}" for name, reason in facts.kernel_tables.items() if reason)
    found = f"{facts.cpu_model}: {', '.join(usable) or 'no backend'}{f' ({missing})' if missing else ''}"
    if not usable:
        return Check("backends", "problem", found, _REINSTALL)
    if facts.masked_cpu_features:
        return Check("backends", "warning", found, "unset ENGINE_CPU_FEATURES, unless that is meant")
    if usable == ["reference"]:
        remedy = (
            "use a processor with AVX2, or let the virtual machine show it: the reference is made to be exact, not fast"
        )
        return Check("backends", "warning", found, remedy)
    return Check("backends", "ok", found)


def check_cpus(facts: Facts) -> Check:
    """The process may use the machine's CPUs."""
    quota = "no quota" if facts.cpu_quota is None else f"a quota of {facts.cpu_quota:g}"
    found = f"{facts.affinity} of {facts.online_cpus or 'an unknown number of'} CPUs allowed, {quota}"
    if facts.cpu_quota is not None and facts.cpu_quota < facts.affinity:
        remedy = (
            f"allow {facts.affinity} CPUs' time (docker --cpus, CPUQuota= of the unit), or pin the engine to "
            f"{max(1, int(facts.cpu_quota))}: threads that are held up in the middle of a step hold up the others"
        )
        return Check("cpus", "warning", found, remedy)
    return Check("cpus", "ok", found)


def check_governor(facts: Facts) -> Check:
    """The frequency governor does not slow computing down."""
    if not facts.governors:
        return Check("frequency governor", "ok", "the kernel does not tell: the host of a virtual machine decides")
    found = ", ".join(facts.governors)
    if "powersave" in facts.governors and len(facts.governors) > 1:
        return Check("frequency governor", "warning", f"{found}: not the same on all CPUs", _GOVERNOR)
    if facts.governors == ("powersave",):
        told = f"{found}: with some drivers this keeps the lowest frequency"
        return Check("frequency governor", "warning", told, _GOVERNOR)
    return Check("frequency governor", "ok", found)


_GOVERNOR = "for steady and comparable times: cpupower frequency-set --governor performance (as root)"


def check_memory(facts: Facts) -> Check:
    """There is memory for a model."""
    limit = facts.memory_limit_bytes
    free = facts.available_bytes
    found = (
        f"{_gib(facts.physical_bytes)} in the machine, {'an unknown part' if free is None else _gib(free)} available"
    )
    if limit is not None and limit < facts.physical_bytes:
        found += f", {_gib(limit)} allowed by the control group"
    if free is not None and free < LITTLE_MEMORY:
        remedy = "end what else takes memory, or raise the limit of the control group (docker --memory, MemoryMax=)"
        return Check("memory", "warning", found, remedy)
    return Check("memory", "ok", found)


def check_huge_pages(facts: Facts) -> Check:
    """Weights can lie in huge pages."""
    if facts.huge_pages is None:
        return Check("huge pages", "ok", "the kernel does not tell")
    if facts.huge_pages == "never":
        remedy = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)"
        return Check("huge pages", "warning", "never: weights lie on pages of 4 KiB", remedy)
    return Check("huge pages", "ok", facts.huge_pages)


def check_energy(facts: Facts) -> tuple[Check, ...]:
    """A source of energy measures, or is declared."""
    enough = bool(facts.energy_declared) or any(source.kind == "measured" for source in facts.energy)
    return (
        *(_check_energy_source(source, enough=enough) for source in facts.energy),
        *(_check_energy_declaration(facts) if facts.energy_declared else ()),
    )


def _check_energy_declaration(facts: Facts) -> tuple[Check, ...]:
    name = "energy: declared"
    if facts.energy_undeclarable:
        found = f"{facts.energy_declared}; it does not work here: {facts.energy_undeclarable}"
        return (Check(name, "problem", found, "mend it, or unset ENGINE_ENERGY_SOURCE: the engine does not start"),)
    return (Check(name, "ok", facts.energy_declared),)


def _check_energy_source(source: SourceState, *, enough: bool) -> Check:
    """``enough``: one of the sources measures, or was declared, and no other is missed."""
    name = f"energy: {source.name}"
    if source.works:
        return Check(name, "ok", "; ".join((f"{source.kind}: {', '.join(source.domains)}", *source.notes)))
    if enough:
        return Check(name, "ok", source.reason)
    remedy = "metrics of energy stay null, and limits in watts are refused; they need hardware that measures"
    return Check(name, "warning", source.reason, source.remedy or remedy)


def check_socket(name: str, socket: SocketFacts, user: int) -> Check:
    """The socket's directory is the user's own, and the socket is nobody else's."""
    directory = socket.path.rpartition("/")[0] or "."
    fault: tuple[str, str] | None = None
    if socket.directory_kind == "other":
        fault = (f"{directory} is no directory of its own", f"name another socket, or remove {directory}")
    elif socket.directory_owner not in (None, user):
        fault = (f"{directory} belongs to user {socket.directory_owner}", "name a socket in a directory of yours")
    elif (socket.directory_mode or 0) & 0o077:
        fault = (f"{directory} has the mode {socket.directory_mode:03o}", f"chmod 700 {directory}")
    elif socket.kind == "other":
        fault = (f"{socket.path} is no socket", "name another socket, or remove what lies there")
    elif socket.kind == "socket" and socket.owner != user:
        fault = (f"{socket.path} belongs to user {socket.owner}", "name a socket of yours")
    elif socket.kind == "socket" and (socket.mode or 0) & 0o077:
        fault = (f"{socket.path} has the mode {socket.mode:03o}", f"chmod 600 {socket.path}")
    if fault is not None:
        return Check(name, "problem", *fault)
    return Check(name, "ok", f"{socket.path}, {'for you alone' if socket.kind == 'socket' else 'not there yet'}")


def check_engine(socket: SocketFacts, own_version: str, own_build: Build | None) -> Check:
    """The engine that answers at the socket is of this build."""
    if socket.engine_version is not None:
        theirs, ours = socket.engine_version, own_version
        if theirs == ours and socket.engine_build != own_build:
            theirs += _build(socket.engine_build) or ", of an unknown build,"
            ours += _build(own_build)
        if theirs == ours:
            return Check("engine", "ok", f"{theirs} answers, of this build")
        remedy = "start the engine again: engine-ctl shutdown, then engine-ctl serve"
        return Check("engine", "warning", f"{theirs} answers, and this is {ours}", remedy)
    if socket.kind == "socket" and "refused" in socket.failure.lower():
        found = "none: the socket was left behind by an engine that was killed"
        return Check("engine", "ok", f"{found}; the next one replaces it")
    if socket.kind == "socket":
        remedy = "look at the engine's stderr, or its journal; where it hangs, end its process"
        return Check("engine", "problem", socket.failure, remedy)
    return Check("engine", "ok", "none runs; commands start one of their own")


def check_sandbox(facts: Facts) -> Check:
    """The engine's process has given up what it does not need; where none runs, the kernel lets it."""
    lacking = _lacking_walls(facts)
    walls = facts.socket.engine_walls
    if walls is None:
        found = f"Landlock {facts.landlock_version}, filters of system calls" if not lacking else "; ".join(lacking)
        return Check("sandbox", "warning" if lacking else "ok", found, _NEWER_KERNEL if lacking else "")
    missing = [wall for wall in get_args(Wall) if wall not in walls]
    given_up = f"the engine gave up: {', '.join(walls) or 'nothing'}"
    if not missing:
        return Check("sandbox", "ok", given_up)
    why = "; ".join(lacking) or "it was started with --no-sandbox"
    remedy = _NEWER_KERNEL if lacking else "start it without --no-sandbox"
    return Check("sandbox", "warning", f"{given_up}; still open: {', '.join(missing)} ({why})", remedy)


_NEWER_KERNEL = "run a kernel of version 6.12 or later, with landlock among its security modules (lsm=) and seccomp"


def _lacking_walls(facts: Facts) -> list[str]:
    lacking = []
    if facts.landlock_version == 0:
        lacking.append("the kernel has no Landlock, or it is switched off")
    elif facts.landlock_version < SCOPES_VERSION:
        lacking.append(f"the kernel's Landlock {facts.landlock_version} leaves other processes open")
    if not facts.system_call_filters:
        lacking.append("the kernel has no filters of system calls")
    return lacking


def check_folders(facts: Facts) -> tuple[Check, ...]:
    """The folders of models, cache and records can be used."""
    if facts.models is None or facts.cache is None or facts.data is None or facts.cache_limit_bytes is None:
        return (Check("configuration", "problem", facts.config_failure, "correct the variable that it names"),)
    limit = f" of {_gib(facts.cache_limit_bytes)} allowed"
    return (
        _check_folder("models", facts.models, "ENGINE_MODELS_DIR", f"{facts.models.files} models"),
        _check_cache(facts.cache, facts.cache_limit_bytes, f"{_gib(facts.cache.used_bytes)}{limit}"),
        _check_folder("records", facts.data, "ENGINE_DATA_DIR", _gib(facts.data.used_bytes)),
    )


def _check_cache(cache: FolderFacts, limit_bytes: int, content: str) -> Check:
    check = _check_folder("weights cache", cache, "ENGINE_CACHE_DIR", content)
    room = limit_bytes - cache.used_bytes
    if check.status == "ok" and cache.free_bytes is not None and cache.free_bytes < min(room, LITTLE_DISK):
        return Check(check.name, "warning", check.found, "free the disk, or: engine-ctl cache rm")
    return check


def _check_folder(name: str, folder: FolderFacts, variable: str, content: str) -> Check:
    free = "an unknown part" if folder.free_bytes is None else _gib(folder.free_bytes)
    found = f"{folder.path}: {content if folder.exists else 'not there yet'}, {free} of its disk free"
    if folder.exists and not folder.is_directory:
        return Check(name, "problem", f"{folder.path} is no directory", f"remove it, or set {variable}")
    if not folder.usable:
        remedy = f"give yourself the right to write to {folder.nearest}, or set {variable}"
        return Check(name, "problem", f"{found}; you may not write to {folder.nearest}", remedy)
    if folder.free_bytes == 0:
        return Check(name, "problem", found, "free the disk")
    return Check(name, "ok", found)


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: of "3.11.7rc1" 3 and 11."""
    parts: list[int] = []
    for part in version.split("."):
        if not part.isdigit():
            break
        parts.append(int(part))
    return tuple(parts)


def _gib(size: int) -> str:
    return f"{size / GIB:,.1f} GiB"
