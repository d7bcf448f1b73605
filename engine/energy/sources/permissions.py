"""The files that give an engine without root's rights its counters of energy, and how they are put into place.

``packaging/`` ships the same files; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permission:
    """One way to let the engine read counters."""

    sources: tuple[str, ...]
    """Which it opens."""
    title: str
    path: str
    """Where the file belongs."""
    packaged: str
    """Where it is in ``packaging/``."""
    content: str
    commands: tuple[str, ...]
    """What makes it take effect, as root."""


GROUP = "power"

_RULES = """\
# Lets the group "power" read the energy counters of the CPU packages (RAPL; AMD's by zenergy or amd_energy), which only
# root may read otherwise: they tell enough about other processes' work to be kept from everybody.
SUBSYSTEM=="powercap", KERNEL=="intel-rapl*:*", RUN+="/bin/sh -c 'cd /sys%p; chgrp power energy_uj max_energy_range_uj; chmod g+r energy_uj max_energy_range_uj'"
SUBSYSTEM=="hwmon", ATTR{name}=="zenergy|amd_energy", RUN+="/bin/sh -c 'cd /sys%p; chgrp power energy*_input; chmod g+r energy*_input'"
"""  # noqa: E501  udev has no continued strings
_PARANOID = """\
# Lets every user count events of the whole machine, the energy of the CPU packages among them. Where not all users are
# trusted, the udev rule or the service's capability opens less.
kernel.perf_event_paranoid = 0
"""
_CAPABILITY = """\
# For an engine that runs as a service of the system, under User=: it may then count events of the whole machine, the
# energy of the CPU packages among them. A user's own service manager has no capability to give: the service would fail
# to start (218/CAPABILITIES). There the udev rule or the sysctl serves.
[Service]
PrivateUsers=no
CapabilityBoundingSet=CAP_PERFMON
AmbientCapabilities=CAP_PERFMON
"""

UDEV_RULE = Permission(
    sources=("rapl", "hwmon"),
    title=f'the group "{GROUP}" may read RAPL and hwmon counters; recommended',
    path="/etc/udev/rules.d/90-engine-energy.rules",
    packaged="udev/90-engine-energy.rules",
    content=_RULES,
    commands=(
        f"groupadd -f {GROUP}",
        f"usermod -aG {GROUP} USER",
        "udevadm control --reload",
        "udevadm trigger --subsystem-match=powercap --subsystem-match=hwmon --action=add",
        "# then log in again: a process has the groups of its login",
    ),
)
CAPABILITY = Permission(
    sources=("perf",),
    title="an engine that is a service of the system may count events of the power PMU",
    path="/etc/systemd/system/engine.service.d/energy.conf",
    packaged="systemd/engine.service.d/energy.conf",
    content=_CAPABILITY,
    commands=("systemctl daemon-reload", "systemctl restart engine.service"),
)
PARANOID = Permission(
    sources=("perf",),
    title="every user may count events of the power PMU",
    path="/etc/sysctl.d/90-engine-energy.conf",
    packaged="sysctl/90-engine-energy.conf",
    content=_PARANOID,
    commands=("sysctl --load=/etc/sysctl.d/90-engine-energy.conf",),
)
PERMISSIONS = (UDEV_RULE, CAPABILITY, PARANOID)
"""The narrowest first."""

RULE_REMEDY = (
    f"let the group {GROUP} read the counters, and be in it: engine-ctl energy setup prints the udev rule and how "
    "it is installed, as root"
)
"""The remedy for counters that are files."""
PERF_REMEDY = (
    "give the engine CAP_PERFMON (AmbientCapabilities=CAP_PERFMON in its unit) or lower the bar for all: as root, "
    "sysctl kernel.perf_event_paranoid=0; engine-ctl energy setup prints the files for both"
)
