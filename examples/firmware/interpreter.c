#include "interpreter.h"

#include <avr/pgmspace.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "board.h"
#include "uart.h"

#define MAX_LINE 127
#define BACKSPACE 0x08
#define DELETE 0x7F

/* How a line is damaged; a damaged line is not executed. */
enum damage { UNDAMAGED, TOO_LONG, OVERRUN };

/* All of it begins anew with RESET, but for the last byte's being CR. */
static struct {
    char line[MAX_LINE + 1];
    uint8_t length;
    enum damage damage;
    uint32_t lost;
    bool echo;
    bool prompt;
    uint32_t started;
    bool asleep;
    uint32_t wake_at;
    uint32_t period; /* of the telemetry; 0: off */
    uint32_t due;
    uint32_t count;
} state;

static bool after_cr;

/* --- sending --- */

static void put_text(const char *flash)
{
    for (char c; (c = (char)pgm_read_byte(flash)) != 0; flash++)
        uart_put((uint8_t)c);
}

static void put_line_end(void)
{
    put_text(PSTR("\r\n"));
}

static void put_prompt(void)
{
    if (state.prompt)
        put_text(PSTR("> "));
}

static void end_answer(void)
{
    put_line_end();
    put_prompt();
}

static void answer(const char *flash)
{
    put_text(flash);
    end_answer();
}

/* At least so many digits, with zeros in front. */
static void put_number(uint32_t number, uint8_t digits)
{
    char text[10];
    uint8_t length = 0;
    while (number != 0 || length < digits) {
        text[length++] = (char)('0' + number % 10);
        number /= 10;
    }
    while (length > 0)
        uart_put((uint8_t)text[--length]);
}

static void put_temperature(void)
{
    int16_t tenths = board_temperature();
    if (tenths < 0) {
        uart_put('-');
        tenths = (int16_t)-tenths;
    }
    put_number((uint16_t)tenths / 10, 1);
    uart_put('.');
    put_number((uint16_t)tenths % 10, 1);
}

/* --- words --- */

/* A word of the line: a part of it, without a zero at its end. */
struct word {
    const char *text;
    uint8_t length;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Takes the next word off the line; an empty one at the end. A question mark is a word wherever it stands. */
static struct word next_word(const char **line)
{
    const char *at = *line;
    while (is_space(*at))
        at++;
    struct word word = {at, 0};
    do {
        if (at[word.length] == 0)
            break;
        word.length++;
    } while (*at != '?' && at[word.length] != '?' && !is_space(at[word.length]));
    *line = at + word.length;
    return word;
}

static bool is(struct word word, const char *flash)
{
    return strlen_P(flash) == word.length && strncasecmp_P(word.text, flash, word.length) == 0;
}

/* 1 to 10 digits, from `least` to `most`. */
static bool is_number(struct word word, uint32_t least, uint32_t most, uint32_t *number)
{
    if (word.length == 0 || word.length > 10)
        return false;
    uint64_t value = 0;
    for (uint8_t at = 0; at < word.length; at++) {
        if (word.text[at] < '0' || word.text[at] > '9')
            return false;
        value = value * 10 + (uint8_t)(word.text[at] - '0');
    }
    *number = (uint32_t)value;
    return value >= least && value <= most;
}

/* --- commands --- */

static const char OK[] PROGMEM = "OK";
static const char ON[] PROGMEM = "ON";
static const char OFF[] PROGMEM = "OFF";
static const char QUERY[] PROGMEM = "?";

/* What a command does with its words; false: one of them is not right, and nothing was answered. */
typedef bool handler(struct word first, struct word second);

static handler help, hello, identity, uptime, echo, prompt, led, gpio, adc, temperature, stream, sleep, reset;

struct command {
    char name[7];
    uint8_t least; /* words behind the name */
    uint8_t most;
    handler *run;
    char usage[28];
    char summary[28];
};

#define ANY 255

static const struct command COMMANDS[] PROGMEM = {
    {"HELP", 0, 0, help, "HELP", "this list"},
    {"HELLO", 0, ANY, hello, "HELLO [text]", "a greeting"},
    {"ID", 1, 1, identity, "ID?", "what this is"},
    {"UPTIME", 1, 1, uptime, "UPTIME?", "time since the start"},
    {"ECHO", 1, 1, echo, "ECHO ON|OFF|?", "send typed characters back"},
    {"PROMPT", 1, 1, prompt, "PROMPT ON|OFF|?", "send a prompt"},
    {"LED", 1, 1, led, "LED ON|OFF|?", "the LED"},
    {"GPIO", 2, 2, gpio, "GPIO <0-13> IN|OUT|0|1|?", "a digital pin"},
    {"ADC", 2, 2, adc, "ADC? <0-7>", "an analog input, 0-1023"},
    {"TEMP", 1, 1, temperature, "TEMP?", "temperature"},
    {"STREAM", 1, 1, stream, "STREAM <10-60000 ms>|OFF|?", "telemetry lines"},
    {"SLEEP", 1, 1, sleep, "SLEEP <0-60000 ms>", "do nothing for so long"},
    {"RESET", 0, 0, reset, "RESET", "start again"},
};

#define COUNT (sizeof COMMANDS / sizeof COMMANDS[0])

static bool help(struct word first, struct word second)
{
    (void)first;
    (void)second;
    for (const struct command *command = COMMANDS; command < COMMANDS + COUNT; command++) {
        put_text(command->usage);
        for (size_t at = strlen_P(command->usage); at < 28; at++)
            uart_put(' ');
        put_text(command->summary);
        put_line_end();
    }
    answer(OK);
    return true;
}

static bool hello(struct word first, struct word second)
{
    (void)first;
    (void)second;
    answer(PSTR("Hello from the UART interpreter!"));
    return true;
}

static bool identity(struct word first, struct word second)
{
    (void)second;
    if (!is(first, QUERY))
        return false;
    put_text(PSTR("uart-interpreter 1.0 #"));
    uint32_t number = board_serial_number();
    for (int8_t shift = 28; shift >= 0; shift -= 4)
        uart_put(pgm_read_byte(&PSTR("0123456789ABCDEF")[(number >> shift) & 0xF]));
    end_answer();
    return true;
}

static bool uptime(struct word first, struct word second)
{
    (void)second;
    if (!is(first, QUERY))
        return false;
    uint32_t time = board_now() - state.started;
    put_number(time / 1000, 1);
    uart_put('.');
    put_number(time % 1000, 3);
    answer(PSTR(" s"));
    return true;
}

/* ON, OFF and ? of something that is on or off: whether it was one of them, and what it is then. */
static bool switch_to(struct word word, bool *on)
{
    if (is(word, QUERY)) {
        answer(*on ? ON : OFF);
        return true;
    }
    if (!is(word, ON) && !is(word, OFF))
        return false;
    *on = is(word, ON);
    answer(OK);
    return true;
}

static bool echo(struct word first, struct word second)
{
    (void)second;
    return switch_to(first, &state.echo);
}

static bool prompt(struct word first, struct word second)
{
    (void)second;
    return switch_to(first, &state.prompt);
}

static bool led(struct word first, struct word second)
{
    (void)second;
    bool on = board_led_is_on();
    bool right = switch_to(first, &on);
    board_led(on);
    return right;
}

static bool gpio(struct word first, struct word second)
{
    uint32_t number;
    if (!is_number(first, 0, PINS - 1, &number))
        return false;
    uint8_t pin = (uint8_t)number;
    bool output = board_pin_is_output(pin);
    bool one = is(second, PSTR("1"));
    if (is(second, QUERY)) {
        put_text(output ? PSTR("OUT ") : PSTR("IN "));
        answer(board_pin_level(pin) ? PSTR("1") : PSTR("0"));
        return true;
    }
    if (is(second, PSTR("IN"))) {
        board_pin_input(pin);
    } else if (is(second, PSTR("OUT"))) {
        if (!output)
            board_pin_output(pin, false);
    } else if (one || is(second, PSTR("0"))) {
        if (!output) {
            answer(PSTR("ERR 6 pin is an input"));
            return true;
        }
        board_pin_output(pin, one);
    } else {
        return false;
    }
    answer(OK);
    return true;
}

static bool adc(struct word first, struct word second)
{
    uint32_t channel;
    if (!is(first, QUERY) || !is_number(second, 0, 7, &channel))
        return false;
    put_number(board_adc((uint8_t)channel), 1);
    end_answer();
    return true;
}

static bool temperature(struct word first, struct word second)
{
    (void)second;
    if (!is(first, QUERY))
        return false;
    put_temperature();
    answer(PSTR(" C"));
    return true;
}

static bool stream(struct word first, struct word second)
{
    (void)second;
    uint32_t period;
    if (is(first, QUERY)) {
        if (state.period == 0) {
            answer(OFF);
            return true;
        }
        put_number(state.period, 1);
        answer(PSTR(" ms"));
        return true;
    }
    if (is(first, OFF)) {
        state.period = 0;
    } else if (is_number(first, 10, 60000, &period)) {
        state.period = period;
        state.due = board_now() + period;
        state.count = 0;
    } else {
        return false;
    }
    answer(OK);
    return true;
}

static bool sleep(struct word first, struct word second)
{
    (void)second;
    uint32_t time;
    if (!is_number(first, 0, 60000, &time))
        return false;
    state.asleep = true;
    state.wake_at = board_now() + time;
    return true;
}

static bool reset(struct word first, struct word second)
{
    (void)first;
    (void)second;
    interpreter_start();
    return true;
}

static void refuse(const char *reason, const struct command *command)
{
    put_text(reason);
    answer(command->usage);
}

static void execute(void)
{
    const char *rest = state.line;
    struct word name = next_word(&rest);
    if (name.length == 0) {
        put_prompt();
        return;
    }
    const struct command *command = COMMANDS;
    while (command < COMMANDS + COUNT && !is(name, command->name))
        command++;
    if (command == COMMANDS + COUNT) {
        answer(PSTR("ERR 1 unknown command, try HELP"));
        return;
    }
    struct word first = next_word(&rest);
    struct word second = next_word(&rest);
    uint8_t words = (uint8_t)((first.length > 0) + (second.length > 0));
    while (next_word(&rest).length > 0)
        words++;
    handler *run = (handler *)pgm_read_ptr(&command->run);
    if (words < pgm_read_byte(&command->least))
        refuse(PSTR("ERR 2 missing argument: "), command);
    else if (words > pgm_read_byte(&command->most))
        refuse(PSTR("ERR 4 too many arguments: "), command);
    else if (!run(first, second))
        refuse(PSTR("ERR 3 bad argument: "), command);
}

/* --- the line --- */

static void end_line(void)
{
    if (state.echo)
        put_line_end();
    enum damage damage = state.damage;
    state.line[state.length] = 0;
    state.length = 0;
    state.damage = UNDAMAGED;
    if (damage == TOO_LONG) {
        answer(PSTR("ERR 5 line too long"));
    } else if (damage == OVERRUN) {
        put_text(PSTR("ERR 7 input overrun, "));
        put_number(state.lost, 1);
        answer(PSTR(" bytes lost"));
    } else {
        execute();
    }
}

static void abandon_line(void)
{
    state.length = 0;
    state.damage = UNDAMAGED;
    if (state.echo) {
        put_text(PSTR("^C"));
        put_line_end();
    }
    put_prompt();
}

static void take_back(void)
{
    if (state.length == 0)
        return;
    state.length--;
    if (state.echo)
        put_text(PSTR("\b \b"));
}

static void take(uint8_t byte)
{
    if (state.length == MAX_LINE) {
        if (state.damage == UNDAMAGED)
            state.damage = TOO_LONG;
        return;
    }
    state.line[state.length++] = (char)byte;
    if (state.echo)
        uart_put(byte);
}

static void handle_byte(uint8_t byte)
{
    bool belongs_to_cr = after_cr && byte == '\n';
    after_cr = byte == '\r';
    if (belongs_to_cr)
        return;
    if (byte == '\r' || byte == '\n')
        end_line();
    else if (byte == CTRL_C)
        abandon_line();
    else if (byte == BACKSPACE || byte == DELETE)
        take_back();
    else if (byte >= ' ' || byte == '\t')
        take(byte);
}

static void handle_lost(uint32_t lost)
{
    state.lost = state.damage == OVERRUN ? state.lost + lost : lost;
    state.damage = OVERRUN;
}

/* --- time --- */

static bool is_past(uint32_t moment)
{
    return (int32_t)(board_now() - moment) >= 0;
}

static void telemetry(void)
{
    /* If several have fallen due, the program was held up by the transmit buffer: they are left out but the last. */
    uint32_t passed = (board_now() - state.due) / state.period + 1;
    state.due += passed * state.period;
    state.count += passed;
    if (state.asleep || state.length > 0 || state.damage != UNDAMAGED || uart_is_full())
        return;
    if (state.prompt)
        put_line_end();
    put_text(PSTR("T "));
    put_number(state.count, 1);
    uart_put(' ');
    put_temperature();
    uart_put(' ');
    put_number(board_adc(0), 1);
    end_answer();
}

void interpreter_start(void)
{
    board_init();
    memset(&state, 0, sizeof state);
    state.echo = true;
    state.prompt = true;
    state.started = board_now();
    put_line_end();
    answer(PSTR("UART interpreter 1.0, type HELP"));
}

void interpreter_turn(void)
{
    if (state.asleep && is_past(state.wake_at)) {
        state.asleep = false;
        answer(OK);
    }
    if (!state.asleep) {
        int16_t byte = uart_get();
        if (byte >= 0)
            handle_byte((uint8_t)byte);
    }
    uint32_t lost = uart_take_lost();
    if (lost > 0)
        handle_lost(lost);
    if (state.period != 0 && is_past(state.due))
        telemetry();
}
