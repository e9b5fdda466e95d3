/* SPDX-License-Identifier: BSD-3-Clause */
/** serial - where the registers of the serial port are. */
#ifndef MODELS_SERIAL_H
#define MODELS_SERIAL_H

#include "uart.h"

/* The ids by which the serial drivers of all systems know a single 16550 port on PCI. */
#define SERIAL_VENDOR 0x1b36
#define SERIAL_DEVICE 0x0002
/* irq=msi: those of a card with which Linux's driver uses MSI; with most it does not, whatever they can. */
#define SERIAL_MSI_VENDOR     0x9710
#define SERIAL_MSI_DEVICE     0x9900
#define SERIAL_MSI_SUB_VENDOR 0xa000
#define SERIAL_MSI_SUB_DEVICE 0x1000

#define SERIAL_BAR_UART  0u /* I/O, the eight registers */
#define SERIAL_BAR_LINE  1u /* the other end of the line; no driver looks there */
#define SERIAL_LINE_SIZE 4096u

/* BAR 1. */
#define SERIAL_LINE_COUNT 0x000u /* u64, read: characters that the port has sent */
#define SERIAL_LINE_WAITING                                                                                  \
	0x008u /* u32, read: characters that it has received and nobody has read, of UART_FIFO */
#define SERIAL_LINE_INPUT 0x010u /* write a byte: the port receives it */
#define SERIAL_LINE_SENT  0x400u /* the last UART_LINE of them: number i is at i mod UART_LINE */

#endif
