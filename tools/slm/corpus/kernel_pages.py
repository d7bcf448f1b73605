"""Pages for the demonstration that read like a kernel's documentation, and questions about it with their answers.

The kernel is made up; what is said of processors and devices is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from slm.corpus.documents import Document, Turn
from slm.corpus.draw import Draw


@dataclass(frozen=True)
class Subsystem:
    """A part of the kernel."""

    prefix: str
    name: str
    does: str
    objects: tuple[str, ...]
    verbs: tuple[str, ...]


SUBSYSTEMS = (
    Subsystem(
        "sched", "scheduler", "decides which task runs next on each processor", ("task", "queue"), ("enqueue", "yield")
    ),
    Subsystem(
        "page",
        "page allocator",
        "hands out physical memory in pages of 4096 bytes",
        ("page", "zone"),
        ("alloc", "free"),
    ),
    Subsystem("vm", "virtual memory manager", "maps virtual addresses to pages", ("region", "table"), ("map", "unmap")),
    Subsystem(
        "irq", "interrupt controller", "routes interrupts to their handlers", ("line", "vector"), ("mask", "ack")
    ),
    Subsystem("timer", "timer", "counts ticks and wakes tasks that sleep", ("tick", "alarm"), ("arm", "cancel")),
    Subsystem("pci", "PCI bus driver", "finds devices and their registers", ("device", "bar"), ("probe", "read")),
    Subsystem("uart", "serial driver", "writes characters to the serial line", ("port", "buffer"), ("write", "flush")),
    Subsystem(
        "vfs", "virtual file system", "gives every file system one interface", ("inode", "file"), ("open", "sync")
    ),
    Subsystem("ipc", "message passing", "carries messages between tasks", ("channel", "message"), ("send", "receive")),
    Subsystem(
        "slab", "slab allocator", "keeps small objects of one size together", ("cache", "slab"), ("alloc", "trim")
    ),
)

DRIVERS = (
    ("8086:100e", "Intel 82540EM", "e1000"), ("8086:10d3", "Intel 82574L", "e1000e"),
    ("1af4:1000", "virtio network device", "virtio-net"), ("1af4:1001", "virtio block device", "virtio-blk"),
    ("10ec:8139", "Realtek RTL8139", "8139cp"), ("8086:2922", "Intel ICH9 AHCI", "ahci"),
    ("1b36:000d", "QEMU XHCI", "xhci"), ("1234:1111", "QEMU VGA", "bochs-display"),
)  # fmt: skip
_BOOT = {
    "x86_64": "Multiboot2 loads the kernel, which enters long mode and writes to COM1 at port 0x3f8",
    "aarch64": "the device tree is passed in x0, and the PL011 serial line is at 0x09000000 on the virt machine",
    "riscv64": "OpenSBI starts the kernel in supervisor mode with the hart's number in a0",
}
_RETURNS = (
    "0 on success", "a negative error number", "a pointer to the {noun}", "the number of {noun}s", "nothing",
    "true if the {noun} changed",
)  # fmt: skip
_ERRORS = (
    ("-ENOMEM", "no memory is left"), ("-EINVAL", "an argument is out of range"), ("-EBUSY", "the {noun} is in use"),
    ("-ENODEV", "there is no such {noun}"), ("-ETIMEDOUT", "the {noun} did not answer in {time} milliseconds"),
)  # fmt: skip
_LOCKS = (
    "The caller holds the {prefix} lock.", "It may sleep, so it must not be called from an interrupt.",
    "It is safe to call from an interrupt.", "It takes the {prefix} lock and releases it before it returns.",
)  # fmt: skip
_NOTES = (
    "On {arch}, {boot}.",
    "Memory for the {noun} comes from the slab allocator.",
    "Each processor has a {noun} of its own.",
    "At most {count} {noun}s exist at a time.",
    "The {noun} is freed with the last reference to it.",
    "A {noun} is {count} bytes long, aligned to {align}.",
)


def page(draw: Draw) -> Document:
    """A page about one function."""
    part = draw.one(SUBSYSTEMS)
    noun, verb, arch = draw.one(part.objects), draw.one(part.verbs), draw.one(tuple(_BOOT))
    function = f"{part.prefix}_{verb}_{noun}"
    error, reason = draw.one(_ERRORS)
    words = {
        "noun": noun, "prefix": part.prefix, "arch": arch, "boot": _BOOT[arch], "count": 2 ** draw.number(2, 10),
        "align": 2 ** draw.number(3, 6), "time": 10 * draw.number(1, 50),
    }  # fmt: skip
    notes = " ".join(draw.some(_NOTES, 2))
    text = (
        f"NAME\n    {function} - {verb} a {noun} of the {part.name}\n\nSYNOPSIS\n"
        f"    int {function}(struct {part.prefix}_{noun} *{noun}, unsigned int flags);\n\nDESCRIPTION\n"
        f"    The {part.name} {part.does}. {function}() {verb}s the {noun}. {draw.one(_LOCKS)} {notes}\n\n"
        f"RETURN VALUE\n    {function}() returns {draw.one(_RETURNS)}. It returns {error} if {reason}."
    )
    return Document(text.format(**words))


def conversation(draw: Draw) -> Document:
    """A few questions, each with its answer."""
    turns = []
    for _ in range(draw.number(1, 4)):
        question, answer = draw.one((_of_subsystem, _of_driver, _of_boot))(draw)
        turns += [Turn("user", question), Turn("assistant", answer)]
    return Document(turns=tuple(turns))


def _of_subsystem(draw: Draw) -> tuple[str, str]:
    part = draw.one(SUBSYSTEMS)
    if draw.happens(0.5):
        asked = draw.one(("What does the {} do?", "Tell me about the {}.", "What is the {} for?", "Explain the {}."))
        return asked.format(part.name), f"The {part.name} {part.does}."
    verb, noun = draw.one(part.verbs), draw.one(part.objects)
    asked = draw.one(("How do I {} a {}?", "Which function {}s a {}?", "I want to {} a {}. How?"))
    return asked.format(verb, noun), f"Call {part.prefix}_{verb}_{noun}(), which belongs to the {part.name}."


def _of_driver(draw: Draw) -> tuple[str, str]:
    number, name, driver = draw.one(DRIVERS)
    asked = draw.one(("What is PCI {}?", "Which driver is for {}?", "Identify device {}.", "I have a {}. What now?"))
    return asked.format(number), f"{number} is the {name}. Load the driver {driver}."


def _of_boot(draw: Draw) -> tuple[str, str]:
    arch = draw.one(tuple(_BOOT))
    asked = draw.one(("How does {} boot?", "What happens at boot on {}?", "Describe the start of {}."))
    return asked.format(arch), f"On {arch}, {_BOOT[arch]}."
