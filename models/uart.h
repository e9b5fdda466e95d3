/* SPDX-License-Identifier: BSD-3-Clause */
/** uart - a 16550A: its eight registers, two FIFOs, one interrupt line. Pure: no lock, no thread. */
#ifndef MODELS_UART_H
#define MODELS_UART_H

#include <stdbool.h>
#include <stdint.h>

#define UART_REGISTERS 8u
#define UART_FIFO      16u
#define UART_LINE      1024u /* the last characters sent, a power of two */

/* Registers; with the divisor latch (LCR bit 7) the first two are the divisor. */
enum { UART_DATA, UART_IER, UART_IIR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };
#define UART_FCR UART_IIR /* when written */

#define UART_LCR_DLAB    0x80u
#define UART_MCR_LOOP    0x10u
#define UART_LSR_DATA    0x01u
#define UART_LSR_OVERRUN 0x02u
#define UART_LSR_EMPTY   0x60u
#define UART_IIR_NONE    0x01u

struct uart {
	uint8_t ier, fcr, lcr, mcr, lsr, msr, scr, dll, dlm;
	bool sent; /* the transmitter has run empty and nobody has been told */
	uint8_t fifo[UART_FIFO], first, n;
	/* What went out on the line: character number i is at i mod UART_LINE. */
	uint64_t n_sent;
	uint8_t line[UART_LINE];
};

#define UART_SAVED_LEN (16 + UART_FIFO + 8 + UART_LINE)

void uart_reset(struct uart *uart);
uint8_t uart_read(struct uart *uart, unsigned int reg);
void uart_write(struct uart *uart, unsigned int reg, uint8_t value);
/** A character comes in on the line. */
void uart_receive(struct uart *uart, uint8_t value);
/** Is the interrupt line up? */
bool uart_interrupt(const struct uart *uart);

/** To and from UART_SAVED_LEN bytes. */
void uart_save(const struct uart *uart, uint8_t *buf);
/** -EINVAL: no state that a uart can be in. */
int uart_check(const uint8_t *buf);
void uart_load(struct uart *uart, const uint8_t *buf);

#endif
