#include "board.h"

#include <avr/eeprom.h>
#include <avr/interrupt.h>
#include <avr/io.h>
#include <util/atomic.h>

/* The LED of an Arduino Uno. */
#define LED PB5

/* What measures: the supply as reference, or the 1.1 V one, which the temperature needs. */
#define OF_SUPPLY _BV(REFS0)
#define OF_1V1 (_BV(REFS1) | _BV(REFS0))
#define TEMPERATURE 8

static volatile uint32_t milliseconds;

ISR(TIMER0_COMPA_vect)
{
    milliseconds++;
}

void board_start_clock(void)
{
    TCCR0A = _BV(WGM01);
    OCR0A = F_CPU / 64 / 1000 - 1;
    TIMSK0 = _BV(OCIE0A);
    TCCR0B = _BV(CS01) | _BV(CS00);
}

uint32_t board_now(void)
{
    uint32_t now = 0;
    ATOMIC_BLOCK(ATOMIC_RESTORESTATE) {
        now = milliseconds;
    }
    return now;
}

void board_init(void)
{
    DDRB |= _BV(LED);
    board_led(false);
    for (uint8_t pin = 0; pin < PINS; pin++)
        board_pin_input(pin);
    ADCSRA = _BV(ADEN) | _BV(ADPS2) | _BV(ADPS1) | _BV(ADPS0);
}

void board_led(bool on)
{
    if (on)
        PORTB |= _BV(LED);
    else
        PORTB &= (uint8_t)~_BV(LED);
}

bool board_led_is_on(void)
{
    return PORTB & _BV(LED);
}

/* Pins 0 to 5 are PD2 to PD7, 6 to 10 are PB0 to PB4, 11 to 13 are PC3 to PC5: all that the UART, the LED, the crystal and
 * analog inputs 0 to 2 leave. PIN, DDR and PORT of a port are neighbours. */
struct place {
    volatile uint8_t *pin_register;
    uint8_t mask;
};

static struct place place_of(uint8_t pin)
{
    if (pin < 6)
        return (struct place){&PIND, (uint8_t)(1 << (pin + 2))};
    if (pin < 11)
        return (struct place){&PINB, (uint8_t)(1 << (pin - 6))};
    return (struct place){&PINC, (uint8_t)(1 << (pin - 8))};
}

#define PIN_OF(place) ((place).pin_register[0])
#define DDR_OF(place) ((place).pin_register[1])
#define PORT_OF(place) ((place).pin_register[2])

void board_pin_input(uint8_t pin)
{
    struct place place = place_of(pin);
    DDR_OF(place) &= (uint8_t)~place.mask;
    PORT_OF(place) |= place.mask;
}

void board_pin_output(uint8_t pin, bool level)
{
    struct place place = place_of(pin);
    if (level)
        PORT_OF(place) |= place.mask;
    else
        PORT_OF(place) &= (uint8_t)~place.mask;
    DDR_OF(place) |= place.mask;
}

bool board_pin_is_output(uint8_t pin)
{
    struct place place = place_of(pin);
    return DDR_OF(place) & place.mask;
}

bool board_pin_level(uint8_t pin)
{
    struct place place = place_of(pin);
    return PIN_OF(place) & place.mask;
}

static uint16_t convert(uint8_t mux)
{
    ADMUX = mux;
    /* The first conversion after a change of the reference is wrong. */
    for (uint8_t n = 0; n < 2; n++) {
        ADCSRA |= _BV(ADSC);
        while (ADCSRA & _BV(ADSC)) {
        }
    }
    return ADC;
}

uint16_t board_adc(uint8_t channel)
{
    return convert(OF_SUPPLY | channel);
}

int16_t board_temperature(void)
{
    /* The datasheet's typical sensor: 314 mV at 25 degrees, 1.06 mV more for each. A real chip is off by up to 10 degrees. */
    int32_t tenths_of_mv = (int32_t)convert(OF_1V1 | TEMPERATURE) * 11000 / 1024;
    return (int16_t)(250 + (tenths_of_mv - 3140) * 100 / 106);
}

uint32_t board_serial_number(void)
{
    uint32_t number = eeprom_read_dword(0);
    return number == UINT32_MAX ? 0 : number;
}
