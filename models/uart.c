/* SPDX-License-Identifier: BSD-3-Clause */
#include "uart.h"

#include <errno.h>

#include "bytes.h"

#define IER_DATA  0x01u
#define IER_EMPTY 0x02u
#define IER_LINE  0x04u
#define IER_MODEM 0x08u
#define IER_ALL   0x0fu

#define IIR_MODEM   0x00u
#define IIR_EMPTY   0x02u
#define IIR_DATA    0x04u
#define IIR_LINE    0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFOS   0xc0u

#define FCR_ENABLE         0x01u
#define FCR_CLEAR_RECEIVER 0x02u

#define MCR_ALL       0x1fu
#define MSR_DELTAS    0x0fu
#define MSR_RING      0x40u
#define MSR_CONNECTED 0xb0u /* CTS, DSR, DCD: somebody is at the other end */

void uart_reset(struct uart *uart)
{
	*uart = (struct uart){ .lsr = UART_LSR_EMPTY, .msr = MSR_CONNECTED, .dll = 1 };
}

static unsigned int fifo_size(const struct uart *uart)
{
	return uart->fcr & FCR_ENABLE ? UART_FIFO : 1;
}

static unsigned int trigger(const struct uart *uart)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return uart->fcr & FCR_ENABLE ? levels[uart->fcr >> 6] : 1;
}

/* The cause of the highest priority. */
static uint8_t cause(const struct uart *uart)
{
	if (uart->ier & IER_LINE && uart->lsr & UART_LSR_OVERRUN)
		return IIR_LINE;
	if (uart->ier & IER_DATA && uart->n >= trigger(uart))
		return IIR_DATA;
	/* Time does not pass here: what waits below the trigger has waited long enough. */
	if (uart->ier & IER_DATA && uart->n)
		return IIR_TIMEOUT;
	if (uart->ier & IER_EMPTY && uart->sent)
		return IIR_EMPTY;
	if (uart->ier & IER_MODEM && uart->msr & MSR_DELTAS)
		return IIR_MODEM;
	return UART_IIR_NONE;
}

bool uart_interrupt(const struct uart *uart)
{
	return cause(uart) != UART_IIR_NONE;
}

/* --- the line ------------------------------------------------------------------------------------- */

void uart_receive(struct uart *uart, uint8_t value)
{
	if (uart->n == fifo_size(uart)) {
		uart->lsr |= UART_LSR_OVERRUN;
		return;
	}
	uart->fifo[(uart->first + uart->n++) % UART_FIFO] = value;
	uart->lsr |= UART_LSR_DATA;
}

static uint8_t take(struct uart *uart)
{
	uint8_t value = uart->fifo[uart->first];

	if (!uart->n)
		return 0;
	uart->first = (uint8_t)((uart->first + 1) % UART_FIFO);
	if (!--uart->n)
		uart->lsr &= (uint8_t)~UART_LSR_DATA;
	return value;
}

static void send(struct uart *uart, uint8_t value)
{
	if (uart->mcr & UART_MCR_LOOP)
		uart_receive(uart, value);
	else
		uart->line[uart->n_sent++ % UART_LINE] = value;
	uart->sent = true;
}

/* The modem's lines: in loopback they are our own outputs. */
static void set_modem(struct uart *uart)
{
	static const uint8_t looped[] = { 0x20, 0x10, 0x40,
					  0x80 }; /* DTR, RTS, OUT1, OUT2 to DSR, CTS, RI, DCD */
	uint8_t now = MSR_CONNECTED, changed;

	if (uart->mcr & UART_MCR_LOOP) {
		now = 0;
		for (unsigned int i = 0; i < ARRAY_SIZE(looped); i++)
			now |= uart->mcr >> i & 1 ? looped[i] : 0;
	}
	changed = (uart->msr ^ now) & 0xf0u;
	/* Ring has only a trailing edge. */
	if (changed & now & MSR_RING)
		changed &= (uint8_t)~MSR_RING;
	uart->msr = (uint8_t)(now | (uart->msr & MSR_DELTAS) | changed >> 4);
}

/* --- registers ------------------------------------------------------------------------------------ */

static uint8_t read_iir(struct uart *uart)
{
	uint8_t iir = cause(uart);

	if (iir == IIR_EMPTY)
		uart->sent = false;
	return iir | (uart->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

uint8_t uart_read(struct uart *uart, unsigned int reg)
{
	bool divisor = uart->lcr & UART_LCR_DLAB;
	uint8_t value;

	switch (reg) {
	case UART_DATA:
		return divisor ? uart->dll : take(uart);
	case UART_IER:
		return divisor ? uart->dlm : uart->ier;
	case UART_IIR:
		return read_iir(uart);
	case UART_LCR:
		return uart->lcr;
	case UART_MCR:
		return uart->mcr;
	case UART_LSR:
		value = uart->lsr;
		uart->lsr &= (uint8_t)~UART_LSR_OVERRUN;
		return value;
	case UART_MSR:
		value = uart->msr;
		uart->msr &= (uint8_t)~MSR_DELTAS;
		return value;
	}
	return uart->scr;
}

static void write_fcr(struct uart *uart, uint8_t value)
{
	if ((value ^ uart->fcr) & FCR_ENABLE || value & FCR_CLEAR_RECEIVER) {
		uart->n = 0;
		uart->lsr &= (uint8_t)~UART_LSR_DATA;
	}
	uart->fcr = value & (IIR_FIFOS | FCR_ENABLE);
}

static void write_ier(struct uart *uart, uint8_t value)
{
	/* The transmitter is empty all the time: who asks to be told is told at once. */
	if (value & ~uart->ier & IER_EMPTY)
		uart->sent = true;
	uart->ier = value & IER_ALL;
}

void uart_write(struct uart *uart, unsigned int reg, uint8_t value)
{
	bool divisor = uart->lcr & UART_LCR_DLAB;

	if (reg == UART_DATA && divisor) {
		uart->dll = value;
	} else if (reg == UART_DATA) {
		send(uart, value);
	} else if (reg == UART_IER && divisor) {
		uart->dlm = value;
	} else if (reg == UART_IER) {
		write_ier(uart, value);
	} else if (reg == UART_FCR) {
		write_fcr(uart, value);
	} else if (reg == UART_LCR) {
		uart->lcr = value;
	} else if (reg == UART_MCR) {
		uart->mcr = value & MCR_ALL;
		set_modem(uart);
	} else if (reg == UART_SCR) {
		uart->scr = value;
	}
}

/* --- the state ------------------------------------------------------------------------------------ */

enum {
	AT_IER,
	AT_FCR,
	AT_LCR,
	AT_MCR,
	AT_LSR,
	AT_MSR,
	AT_SCR,
	AT_DLL,
	AT_DLM,
	AT_SENT,
	AT_FIRST,
	AT_N,
	AT_FIFO = 16
};

void uart_save(const struct uart *uart, uint8_t *buf)
{
	memset(buf, 0, AT_FIFO);
	buf[AT_IER] = uart->ier;
	buf[AT_FCR] = uart->fcr;
	buf[AT_LCR] = uart->lcr;
	buf[AT_MCR] = uart->mcr;
	buf[AT_LSR] = uart->lsr;
	buf[AT_MSR] = uart->msr;
	buf[AT_SCR] = uart->scr;
	buf[AT_DLL] = uart->dll;
	buf[AT_DLM] = uart->dlm;
	buf[AT_SENT] = uart->sent;
	buf[AT_FIRST] = uart->first;
	buf[AT_N] = uart->n;
	memcpy(buf + AT_FIFO, uart->fifo, UART_FIFO);
	put_le64(buf + AT_FIFO + UART_FIFO, uart->n_sent);
	memcpy(buf + AT_FIFO + UART_FIFO + 8, uart->line, UART_LINE);
}

int uart_check(const uint8_t *buf)
{
	bool data = buf[AT_LSR] & UART_LSR_DATA;

	if (buf[AT_IER] & ~IER_ALL || buf[AT_FCR] & ~(IIR_FIFOS | FCR_ENABLE) || buf[AT_MCR] & ~MCR_ALL)
		return -EINVAL;
	if (buf[AT_SENT] > 1 || buf[AT_FIRST] >= UART_FIFO || data != !!buf[AT_N])
		return -EINVAL;
	return buf[AT_N] > (buf[AT_FCR] & FCR_ENABLE ? UART_FIFO : 1) ? -EINVAL : 0;
}

void uart_load(struct uart *uart, const uint8_t *buf)
{
	*uart = (struct uart){
		.ier = buf[AT_IER],
		.fcr = buf[AT_FCR],
		.lcr = buf[AT_LCR],
		.mcr = buf[AT_MCR],
		.lsr = buf[AT_LSR],
		.msr = buf[AT_MSR],
		.scr = buf[AT_SCR],
		.dll = buf[AT_DLL],
		.dlm = buf[AT_DLM],
		.sent = buf[AT_SENT],
		.first = buf[AT_FIRST],
		.n = buf[AT_N],
		.n_sent = get_le64(buf + AT_FIFO + UART_FIFO),
	};
	memcpy(uart->fifo, buf + AT_FIFO, UART_FIFO);
	memcpy(uart->line, buf + AT_FIFO + UART_FIFO + 8, UART_LINE);
}
