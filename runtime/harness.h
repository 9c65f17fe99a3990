/* What harness.c offers. program.h, which image.py writes, includes the header of the program and defines
 * TINYIR_ARENA_BYTES, TINYIR_ARENA_ALIGN, TINYIR_PLACES(arena), which declares pointers to the planned buffers,
 * TINYIR_CALL(arena), which runs the program on them, and the lists TINYIR_INPUTS(X, arena) and
 * TINYIR_OUTPUTS(X, arena) of X(pointer, bytes). For a program that trains it defines TINYIR_PARAMS, the type of
 * tinyir_params. */
#ifndef TINYIR_HARNESS_H
#define TINYIR_HARNESS_H

#include <stdint.h>

#include "program.h"

extern uint8_t tinyir_arena[TINYIR_ARENA_BYTES];

void bench_begin(void);
void bench_end(void);
int tinyir_bench(void);
int main(void);

#endif
