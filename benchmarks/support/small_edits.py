"""Twenty small edits of a small repository, each with the one text that is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FILES: Mapping[str, str] = {
    "kernel/main.c": """\
#include "console.h"
#include "version.h"

int main(void) {
    console_write("hello\\n");
    console_flush();
    return 0;
}
""",
    "kernel/console.h": """\
#pragma once

void console_write(const char *text);
void console_flush(void);
""",
    "kernel/console.c": """\
#include "console.h"

#define BUFFER_SIZE 64

static char buffer[BUFFER_SIZE];
static int used;

void console_write(const char *text) {
    for (int i = 0; text[i] != 0; i++) {
        buffer[used++] = text[i];
    }
}

void console_flush(void) {
    for (int i = 0; i <= used; i++) {
        put(buffer[i]);
    }
    used = 0;
}
""",
    "kernel/version.h": """\
#pragma once

#define MAJOR 1
#define MINOR 3
#define NAME "small"
""",
    "kernel/memory.c": """\
#define PAGE_SIZE 1024

int is_aligned(unsigned long address) {
    return address % PAGE_SIZE != 0;
}

unsigned long round_down(unsigned long address) {
    return address - address % PAGE_SIZE;
}
""",
    "tools/size.py": """\
LIMIT = 512


def kilobytes(size):
    return size / 1000


def fits(size):
    return kilobytes(size) < LIMIT
""",
    "Makefile": """\
CC := gcc
CFLAGS := -O2

kernel.bin: kernel/main.c kernel/console.c
\t$(CC) $(CFLAGS) -o $@ $^
""",
    "settings.toml": """\
[kernel]
log = "info"
timer_hz = 100

[console]
width = 80
""",
    "docs/kernel.md": """\
# The kernel

The console can recieve text and print it.
The timer ticks a hundred times a second.
""",
}


@dataclass(frozen=True, slots=True)
class Edit:
    """One of them."""

    name: str
    goal: str
    path: str
    old: str
    """Text that stands in the file once; empty where the file is new."""
    new: str

    def expected(self) -> dict[str, str]:
        """All files when it is done."""
        before = FILES[self.path] if self.old else ""
        return {**FILES, self.path: before.replace(self.old, self.new) if self.old else self.new}


EDITS: tuple[Edit, ...] = (
    Edit(
        "greeting", "In kernel/main.c, print good morning in place of hello.", "kernel/main.c", "hello", "good morning"
    ),
    Edit("status", "In kernel/main.c, return 1 in place of 0.", "kernel/main.c", "return 0;", "return 1;"),
    Edit(
        "flush",
        "In kernel/main.c, remove the line that calls console_flush.",
        "kernel/main.c",
        "    console_flush();\n",
        "",
    ),
    Edit("minor", "In kernel/version.h, raise MINOR to 4.", "kernel/version.h", "MINOR 3", "MINOR 4"),
    Edit("name", "In kernel/version.h, change NAME to tiny.", "kernel/version.h", '"small"', '"tiny"'),
    Edit(
        "patch",
        "In kernel/version.h, add the line `#define PATCH 0` behind the line of MINOR.",
        "kernel/version.h",
        "MINOR 3\n",
        "MINOR 3\n#define PATCH 0\n",
    ),
    Edit(
        "buffer", "In kernel/console.c, make the buffer 128 characters long.", "kernel/console.c", "SIZE 64", "SIZE 128"
    ),
    Edit(
        "bound",
        "The loop in console_flush of kernel/console.c goes one character too far: mend its condition.",
        "kernel/console.c",
        "i <= used",
        "i < used",
    ),
    Edit(
        "clear",
        "At the end of kernel/console.h, declare `void console_clear(void);`.",
        "kernel/console.h",
        "flush(void);\n",
        "flush(void);\nvoid console_clear(void);\n",
    ),
    Edit(
        "page",
        "In kernel/memory.c, pages have 4096 bytes: change PAGE_SIZE.",
        "kernel/memory.c",
        "SIZE 1024",
        "SIZE 4096",
    ),
    Edit(
        "aligned",
        "In kernel/memory.c, is_aligned says the opposite of what its name says: mend it with ==.",
        "kernel/memory.c",
        "!= 0",
        "== 0",
    ),
    Edit("limit", "In tools/size.py, raise LIMIT to 1024.", "tools/size.py", "512", "1024"),
    Edit("kilobyte", "In tools/size.py, divide by 1024 in place of 1000.", "tools/size.py", "1000", "1024"),
    Edit(
        "equal",
        "In tools/size.py, a size equal to LIMIT fits too: use <= in fits.",
        "tools/size.py",
        "< LIMIT",
        "<= LIMIT",
    ),
    Edit("warnings", "In the Makefile, add -Wall behind -O2.", "Makefile", "-O2", "-O2 -Wall"),
    Edit("log", "In settings.toml, set log to debug.", "settings.toml", '"info"', '"debug"'),
    Edit(
        "height",
        "In settings.toml, add the line `height = 25` behind the line of width.",
        "settings.toml",
        "width = 80\n",
        "width = 80\nheight = 25\n",
    ),
    Edit("spelling", "In docs/kernel.md, a word is misspelt: write receive.", "docs/kernel.md", "recieve", "receive"),
    Edit(
        "about",
        "Add the file docs/about.txt with one line: This kernel says hello.",
        "docs/about.txt",
        "",
        "This kernel says hello.\n",
    ),
    Edit(
        "halt",
        "Add the file kernel/halt.h with two lines, `#pragma once` and `void halt(void);`.",
        "kernel/halt.h",
        "",
        "#pragma once\nvoid halt(void);\n",
    ),
)
