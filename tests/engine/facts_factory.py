"""Facts of a machine where all is well, to spoil one at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from engine.doctor.doctor import GIB
from engine.doctor.doctor_facts import Facts, FolderFacts, SocketFacts
from engine.energy.source_state import SourceState
from protocol.build import Build
from protocol.sandbox import Wall

USER = 1000
BUILD = Build(id="0" * 32, arithmetic="1" * 32, compiler="GNU 12.2.0", flags="-O3")


def make_socket(**changes: object) -> SocketFacts:
    socket = SocketFacts(
        path="/run/user/1000/engine/engine.sock",
        kind="socket",
        mode=0o600,
        owner=USER,
        directory_kind="directory",
        directory_mode=0o700,
        directory_owner=USER,
        engine_version="1.2.3",
        engine_build=BUILD,
        engine_walls=get_args(Wall),
        failure="",
    )
    return replace(socket, **changes)  # type: ignore[arg-type]


def make_folder(path: str = "/home/user/models", **changes: object) -> FolderFacts:
    folder = FolderFacts(path=path, exists=True, is_directory=True, usable=True, nearest=path, free_bytes=100 * GIB)
    return replace(folder, **changes)  # type: ignore[arg-type]


def make_facts(**changes: object) -> Facts:
    facts = Facts(
        user=USER,
        python_version="3.12.1",
        python_required=">=3.10",
        engine_version="1.2.3",
        extension_version="1.2.3",
        extension_failure="",
        build=BUILD,
        stale_sources=None,
        cpu_model="A CPU",
        kernel_tables={"cpu_avx2": "", "reference": ""},
        masked_cpu_features=(),
        cpu_features_failure="",
        online_cpus=8,
        affinity=8,
        cpu_quota=None,
        governors=("performance",),
        physical_bytes=32 * GIB,
        available_bytes=20 * GIB,
        memory_limit_bytes=None,
        huge_pages="madvise",
        landlock_version=6,
        system_call_filters=True,
        energy=(SourceState("rapl", "measured", ("package-0",), 1.0, 60.0),),
        energy_declared="",
        energy_undeclarable="",
        socket=make_socket(),
        http_socket=make_socket(),
        config_failure="",
        models=make_folder(),
        cache=make_folder("/home/user/cache/weights"),
        cache_limit_bytes=20 * GIB,
        data=make_folder("/home/user/data"),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]
