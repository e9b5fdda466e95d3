/* SPDX-License-Identifier: BSD-3-Clause */
#include "cpu.h"

#include <string.h>

volatile uint32_t ticks;
volatile uint32_t interrupts[N_VECTORS];

/* --- what the compiler takes for granted ------------------------------------------------------------ */

void *memcpy(void *to, const void *from, size_t n)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	while (n--)
		*t++ = *f++;
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	if (t <= f)
		return memcpy(to, from, n);
	while (n--)
		t[n] = f[n];
	return to;
}

void *memset(void *to, int c, size_t n)
{
	uint8_t *t = to;

	while (n--)
		*t++ = (uint8_t)c;
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;

	for (; n--; x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

/* --- interrupts --------------------------------------------------------------------------------------- */

#define APIC_BASE        0xfee00000u
#define APIC_EOI         0x0b0u
#define APIC_SPURIOUS    0x0f0u
#define APIC_LVT_TIMER   0x320u
#define APIC_TIMER_COUNT 0x380u
#define APIC_TIMER_DIV   0x3e0u
#define APIC_ENABLE      0x100u
#define TIMER_PERIODIC   0x20000u
#define DIVIDE_BY_1      0xbu /* QEMU's APIC counts nanoseconds */

struct frame; /* what the processor pushes; not looked at */

static struct {
	uint16_t low, selector;
	uint8_t zero, type;
	uint16_t high;
} __attribute__((packed)) idt[256];

static void apic_write(uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)(APIC_BASE + offset) = value;
}

__attribute__((interrupt)) static void on_timer(struct frame *frame)
{
	(void)frame;
	ticks++;
	apic_write(APIC_EOI, 0);
}

__attribute__((interrupt)) static void on_spurious(struct frame *frame)
{
	(void)frame;
}

/* A fault of the guest itself: say so, and stop, so that the harness sees it and not a silence. */
__attribute__((interrupt)) static void on_fault(struct frame *frame)
{
	(void)frame;
	serial_put("\nfault\n");
	for (;;)
		__asm__ volatile("cli; hlt");
}

#define HANDLER(n)                                                                                           \
	__attribute__((interrupt)) static void on_device_##n(struct frame *frame)                            \
	{                                                                                                    \
		(void)frame;                                                                                 \
		interrupts[n]++;                                                                             \
		apic_write(APIC_EOI, 0);                                                                     \
	}
#define EIGHT(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7)
#define ALL(X)      EIGHT(X, 0) EIGHT(X, 01) EIGHT(X, 02) EIGHT(X, 03) /* octal */
ALL(HANDLER)

static void set_gate(unsigned int vector, void (*handler)(struct frame *))
{
	uint32_t at = (uint32_t)handler;

	idt[vector].low = (uint16_t)at;
	idt[vector].high = (uint16_t)(at >> 16);
	idt[vector].selector = 8;
	idt[vector].type = 0x8e;
}

#define ADDRESS(n) on_device_##n,
static void (*const device_handlers[N_VECTORS])(struct frame *) = { ALL(ADDRESS) };

static void init_pic(void)
{
	/* All lines of the old controllers masked, both of them. */
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
}

void cpu_init(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint32_t)idt };

	for (unsigned int i = 0; i < 256; i++)
		set_gate(i, i < 32 ? on_fault : on_spurious);
	set_gate(VECTOR_TIMER, on_timer);
	for (unsigned int i = 0; i < N_VECTORS; i++)
		set_gate(VECTOR_DEVICE + i, device_handlers[i]);
	__asm__ volatile("lidt %0" ::"m"(pointer));
	init_pic();
	apic_write(APIC_SPURIOUS, APIC_ENABLE | 0xff);
	apic_write(APIC_TIMER_DIV, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, TIMER_PERIODIC | VECTOR_TIMER);
	apic_write(APIC_TIMER_COUNT, TICK_NS);
	__asm__ volatile("sti");
}

uint32_t cpu_interrupts(void)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < N_VECTORS; i++)
		sum += interrupts[i];
	return sum;
}

void cpu_wait(uint32_t seen_ticks, uint32_t seen_interrupts)
{
	__asm__ volatile("cli");
	/* sti takes effect after the instruction that follows it: no interrupt is missed between the two. */
	if (ticks == seen_ticks && cpu_interrupts() == seen_interrupts)
		__asm__ volatile("sti; hlt");
	else
		__asm__ volatile("sti");
}

/* --- the serial line ------------------------------------------------------------------------------------ */

#define COM 0x3f8

void serial_init(void)
{
	out8(COM + 1, 0x00); /* no interrupts */
	out8(COM + 3, 0x80); /* 115200, 8n1 */
	out8(COM + 0, 1);
	out8(COM + 1, 0);
	out8(COM + 3, 0x03);
	out8(COM + 2, 0x07); /* FIFOs on and empty */
}

int serial_get(void)
{
	return in8(COM + 5) & 1 ? in8(COM) : -1;
}

static void put(char c)
{
	while (!(in8(COM + 5) & 0x20))
		;
	out8(COM, (uint8_t)c);
}

void serial_put(const char *text)
{
	while (*text)
		put(*text++);
}

void serial_put_number(uint64_t value, unsigned int base)
{
	char text[24], *p = text + sizeof(text) - 1;
	uint32_t high = (uint32_t)(value >> 32), low = (uint32_t)value, digit;

	*p = 0;
	/* Long division by hand: a 32-bit freestanding program has none for 64 bits. */
	do {
		uint32_t rest = high % base;

		high /= base;
		__asm__("divl %2" : "=a"(low), "=d"(digit) : "r"(base), "a"(low), "d"(rest));
		*--p = "0123456789abcdef"[digit];
	} while (high || low);
	serial_put(p);
}
