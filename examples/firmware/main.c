/* The program: starts what there is, and then takes turns for ever. */

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>
#include <avr/wdt.h>

#include "board.h"
#include "interpreter.h"
#include "uart.h"

/* After a reset by the watchdog it is still on, and with its shortest time; switched off before anything else takes longer. */
__attribute__((naked, used, section(".init3"))) static void stop_watchdog(void)
{
    MCUSR = 0;
    wdt_disable();
}

int main(void)
{
    board_start_clock();
    uart_init();
    wdt_enable(WDTO_2S);
    sei();
    interpreter_start();
    set_sleep_mode(SLEEP_MODE_IDLE);
    for (;;) {
        wdt_reset();
        interpreter_turn();
        /* Until the next byte or millisecond. The instruction after sei() is executed before any interrupt, so none
         * is slept through. */
        cli();
        if (!uart_has_input()) {
            sleep_enable();
            sei();
            sleep_cpu();
            sleep_disable();
        }
        sei();
    }
}
