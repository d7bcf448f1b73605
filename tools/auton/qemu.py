"""Kernels in QEMU: a machine for each architecture, whose serial line is what it prints."""

from __future__ import annotations

from auton.settings import Architecture

_COMMON = ("-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none", "-m", "128M")
_MACHINES: dict[Architecture, tuple[str, ...]] = {
    "x86_64": ("qemu-system-x86_64", "-machine", "q35", "-cpu", "max"),
    "aarch64": ("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72"),
    "riscv64": ("qemu-system-riscv64", "-machine", "virt"),
}
"""Programs of Debian's ``qemu-system-x86``, ``qemu-system-arm`` and ``qemu-system-misc`` (with ``opensbi``)."""


def boot_command(arch: Architecture, kernel: str) -> tuple[str, ...]:
    """The command that boots a kernel, by its path in the folder; without KVM, which isolation leaves out."""
    return (*_MACHINES[arch], "-accel", "tcg", *_COMMON, "-kernel", kernel)
