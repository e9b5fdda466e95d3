/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a multiboot loader (qemu -kernel) enters: 32 bits, no paging, segments of 4 GiB that must be replaced. */
	.section .multiboot, "a"
	.align 4
	.long 0x1badb002, 0, -0x1badb002

	.text
	.globl _start
_start:
	cli
	mov $stack_top, %esp
	lgdt gdt_pointer
	ljmp $0x08, $1f
1:	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	call guest_main
2:	hlt
	jmp 2b

	.section .rodata
	.align 8
gdt:	.quad 0
	.quad 0x00cf9a000000ffff
	.quad 0x00cf92000000ffff
gdt_pointer:
	.word . - gdt - 1
	.long gdt

	.bss
	.align 16
	.skip 16384
stack_top:

	.section .note.GNU-stack, "", @progbits
