"""Kernels of a few instructions that say hello on the serial line, one for each architecture."""

from __future__ import annotations

MAKEFILE = """\
ARCH ?= x86_64
FORMAT_x86_64 := elf32-i386
FORMAT_aarch64 := elf64-littleaarch64
FORMAT_riscv64 := elf64-littleriscv
FLAGS := -ffreestanding -nostdlib -static -fno-pie -no-pie -Wl,--build-id=none -Wl,--no-warn-rwx-segments

build/$(ARCH)/kernel.elf: kernel/$(ARCH)/start.S kernel/$(ARCH)/link.ld
\tmkdir -p $(@D)
\t$(CROSS)gcc $(FLAGS) -T kernel/$(ARCH)/link.ld -o $(@D)/linked.elf $<
\t$(CROSS)objcopy -O $(FORMAT_$(ARCH)) $(@D)/linked.elf $@
"""

_LINK = """\
ENTRY(_start)
SECTIONS {
    . = %s;
    .text : { *(.multiboot) *(.text*) }
    .rodata : { *(.rodata*) }
    .bss : { *(.bss*) }
}
"""
LINK = {arch: _LINK % base for arch, base in (("x86_64", "1M"), ("aarch64", "0x40080000"), ("riscv64", "0x80200000"))}

START = {
    "x86_64": """\
.section .multiboot, "a"
.align 4
.long 0x1BADB002, 0, -0x1BADB002

.section .bss
.align 4096
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 4096

.section .rodata
.align 8
gdt: .quad 0, 0x00209A0000000000
pointer:
.word pointer - gdt - 1
.long gdt
message: .asciz "hello from x86_64\\n"

.section .text
.code32
.global _start
_start:
    movl $pdpt + 3, pml4
    movl $pd + 3, pdpt
    movl $0x83, pd
    mov $pml4, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax
    mov %eax, %cr4
    mov $0xC0000080, %ecx
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000000, %eax
    mov %eax, %cr0
    lgdt pointer
    ljmp $8, $long_mode
.code64
long_mode:
    lea message(%rip), %rsi
    mov $0x3f8, %edx
    cld
1:  lodsb
    test %al, %al
    jz 2f
    out %al, %dx
    jmp 1b
2:  hlt
    jmp 2b
""",
    "aarch64": """\
.global _start
_start:
    adr x0, message
    mov x1, #0x09000000
1:  ldrb w2, [x0], #1
    cbz w2, 2f
    str w2, [x1]
    b 1b
2:  wfi
    b 2b
message: .asciz "hello from aarch64\\n"
""",
    "riscv64": """\
.global _start
_start:
    la a1, message
    li a2, 0x10000000
1:  lbu a3, 0(a1)
    beqz a3, 2f
    sb a3, 0(a2)
    addi a1, a1, 1
    j 1b
2:  wfi
    j 2b
message: .asciz "hello from riscv64\\n"
""",
}
