/* USART0 behind two ring buffers that interrupts fill and empty. Not what the bytes mean. */
#ifndef UART_H
#define UART_H

#include <stdbool.h>
#include <stdint.h>

/* Ctrl-C: also what a break on the line is taken for. */
#define CTRL_C 0x03

/* 115200 baud, 8N1. Interrupts must be enabled afterwards. */
void uart_init(void);

/* The next received byte, or -1. */
int16_t uart_get(void);

/* How many bytes were lost since the receive buffer was last empty, if it is empty now; else 0. Receiving begins again. */
uint32_t uart_take_lost(void);

/* Waits until there is room for the byte. */
void uart_put(uint8_t byte);

/* Whether uart_put would have to wait. */
bool uart_is_full(void);

/* Whether a received byte waits. Call it with interrupts off, before going to sleep. */
bool uart_has_input(void);

#endif
