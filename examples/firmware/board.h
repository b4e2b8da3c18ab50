/* What is on the board besides the UART: clock, LED, pins, analog inputs, serial number. Not the words for it. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

#define PINS 14

/* The clock, once: it goes on over a RESET. */
void board_start_clock(void);

/* Everything else as after power-up: LED off, all pins inputs with pull-ups. */
void board_init(void);

/* Milliseconds; begins again after 49 days, so only differences mean anything. */
uint32_t board_now(void);

void board_led(bool on);
bool board_led_is_on(void);

void board_pin_input(uint8_t pin);
void board_pin_output(uint8_t pin, bool level);
bool board_pin_is_output(uint8_t pin);
bool board_pin_level(uint8_t pin);

/* 0 to 1023, of the supply. */
uint16_t board_adc(uint8_t channel);

/* Tenths of a degree Celsius, of the chip itself and not calibrated. */
int16_t board_temperature(void);

/* The first four bytes of the EEPROM; an erased one is 0. */
uint32_t board_serial_number(void);

#endif
