/* The UART interpreter of docs/interpreter.md: its line discipline, its commands, its telemetry. */
#ifndef INTERPRETER_H
#define INTERPRETER_H

/* Starts it: banner and prompt. What was received stays. */
void interpreter_start(void);

/* One turn of the main loop: at most one received byte, and what has fallen due. */
void interpreter_turn(void);

#endif
