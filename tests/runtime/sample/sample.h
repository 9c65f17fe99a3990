/* A program of four ops, written by hand with the interface of a compiled model. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <stdint.h>

#define SAMPLE_ARENA_BYTES 180u
#define SAMPLE_ARENA_ALIGN 8u

int8_t *sample_input0(void *arena);
float *sample_input1(void *arena);
float *sample_output0(void *arena);
int8_t *sample_output1(void *arena);

int sample_run(void *arena, const int8_t *input0, const float *input1, float *output0, int8_t *output1);

#endif
