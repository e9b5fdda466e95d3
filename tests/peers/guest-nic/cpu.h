/* SPDX-License-Identifier: BSD-3-Clause */
/** cpu - the machine: I/O ports, interrupts, a timer, the serial line. No device of ours. */
#ifndef GUEST_CPU_H
#define GUEST_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TICK_NS 4000000u

/* Vectors of devices: VECTOR_DEVICE + n. */
#define VECTOR_TIMER  0x30u
#define VECTOR_DEVICE 0x40u
#define N_VECTORS     32u

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/** What an interrupt message is to say, to raise VECTOR_DEVICE + @n on this processor. */
#define MSI_ADDRESS 0xfee00000u
#define MSI_DATA(n) (VECTOR_DEVICE + (n))

extern volatile uint32_t ticks;                 /* of the timer, TICK_NS apart */
extern volatile uint32_t interrupts[N_VECTORS]; /* that have come, by device vector */

/** Interrupts and the timer on. */
void cpu_init(void);
/** Sleep until the timer or a device interrupts; not at all if ticks or cpu_interrupts() is not what has been seen. */
void cpu_wait(uint32_t seen_ticks, uint32_t seen_interrupts);
/** All device interrupts that have come. */
uint32_t cpu_interrupts(void);

void serial_init(void);
/** -1: none waits. */
int serial_get(void);
void serial_put(const char *text);
void serial_put_number(uint64_t value, unsigned int base);

#endif
