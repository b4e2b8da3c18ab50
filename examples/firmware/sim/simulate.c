/* Runs the firmware on simavr's ATmega328P, with its USART0 on a pseudo-terminal, as fast as a real one and no faster.
 *
 * usage: simulate FIRMWARE.elf
 * It prints `uart /dev/pts/5` when the pseudo-terminal is there, and runs until it is killed. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <simavr/avr_adc.h>
#include <simavr/avr_uart.h>
#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>

#define FREQUENCY 16000000
/* The clocks are compared this often. */
#define SLICE_NS 1000000

static int terminal;
static bool held_up;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* The other end stays open here, so that the terminal outlives those who open and close it. */
static void open_terminal(void)
{
    terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0 || grantpt(terminal) < 0 || unlockpt(terminal) < 0)
        fail("no pseudo-terminal");
    const char *name = ptsname(terminal);
    int other = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios raw;
    if (other < 0 || tcgetattr(other, &raw) < 0)
        fail(name);
    cfmakeraw(&raw);
    if (tcsetattr(other, TCSANOW, &raw) < 0 || fcntl(terminal, F_SETFL, O_NONBLOCK) < 0)
        fail(name);
    printf("uart %s\n", name);
    fflush(stdout);
}

/* What the board sends and nobody reads in time is lost, as on a wire. */
static void handle_output(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)param;
    unsigned char byte = (unsigned char)value;
    if (write(terminal, &byte, 1) < 0)
        return;
}

static void handle_xon(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)value;
    (void)param;
    held_up = false;
}

static void handle_xoff(struct avr_irq_t *irq, uint32_t value, void *param)
{
    (void)irq;
    (void)value;
    (void)param;
    held_up = true;
}

/* simavr clocks the bytes in at the baud rate; it is given as many as it takes. */
static void give_input(avr_irq_t *input)
{
    unsigned char byte;
    while (!held_up && read(terminal, &byte, 1) == 1)
        avr_raise_irq(input, byte);
}

/* In mV: half the supply on channel 0, a little less on each further one; the sensor of a chip at 25 degrees. */
static void set_analog_inputs(avr_t *avr)
{
    for (int channel = 0; channel < 8; channel++)
        avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0 + channel), 2500 - 300 * channel);
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_TEMP), 314);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* simavr would sleep by itself when the chip does; the main loop keeps the time. */
static void do_not_sleep(avr_t *avr, avr_cycle_count_t cycles)
{
    (void)avr;
    (void)cycles;
}

int main(int argc, char *argv[])
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FIRMWARE.elf\n", argv[0]);
        return 2;
    }
    elf_firmware_t firmware;
    memset(&firmware, 0, sizeof firmware);
    if (elf_read_firmware(argv[1], &firmware) != 0)
        return 1;
    firmware.frequency = FREQUENCY;
    avr_t *avr = avr_make_mcu_by_name("atmega328p");
    if (avr == NULL)
        return 1;
    avr_init(avr);
    avr_load_firmware(avr, &firmware);
    avr->sleep = do_not_sleep;
    avr->vcc = avr->avcc = avr->aref = 5000;

    uint32_t flags = 0;
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_t *input = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), handle_output, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XON), handle_xon, NULL);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUT_XOFF), handle_xoff, NULL);
    set_analog_inputs(avr);
    open_terminal();

    int64_t begin = now_ns();
    avr_cycle_count_t slice = (avr_cycle_count_t)FREQUENCY / 1000;
    for (avr_cycle_count_t until = slice;; until += slice) {
        while (avr->cycle < until) {
            int state = avr_run(avr);
            if (state == cpu_Done || state == cpu_Crashed) {
                fprintf(stderr, "the firmware has crashed\n");
                return 1;
            }
        }
        give_input(input);
        for (;;) {
            int64_t board = (int64_t)(avr->cycle / (FREQUENCY / 1000)) * SLICE_NS;
            int64_t ahead = begin + board - now_ns();
            if (ahead <= 0)
                break;
            struct pollfd wait = {.fd = terminal, .events = held_up ? 0 : POLLIN};
            struct timespec time = {.tv_nsec = ahead < SLICE_NS ? ahead : SLICE_NS};
            ppoll(&wait, 1, &time, NULL);
            give_input(input);
        }
    }
}
