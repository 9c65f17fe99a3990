#include "sample.h"

#include <stddef.h>

#include "sample_weights.h"

#ifndef TINYIR_AFTER_OP
#define TINYIR_AFTER_OP(index) ((void)0)
#endif

#if defined(__GNUC__) && !defined(__clang__)
#define KERNEL static __attribute__((noinline, noclone))
#else
#define KERNEL static __attribute__((noinline))
#endif

/* Arena: input0 0..15, output1 (the second dense) 16..31, input1 32..95, output0 96..159, the first dense 160..175. */

/* out[o] = clamp((bias[o] + sum of in[i] * weight[o][i]) >> 4) */
KERNEL void sample_dense(const int8_t *in, int8_t *out)
{
    for (int32_t o = 0; o < 16; o++) {
        int32_t acc = sample_bias[o];
        for (int32_t i = 0; i < 16; i++) {
            acc += in[i] * sample_weight[o * 16 + i];
        }
        acc >>= 4;
        acc = acc < -128 ? -128 : acc;
        out[o] = (int8_t)(acc > 127 ? 127 : acc);
    }
}

/* out[i] = in[i] * 0.5 + b[i], in order */
KERNEL void sample_scale_add(const int8_t *in, const float *b, float *out)
{
    for (int32_t i = 0; i < 16; i++) {
        out[i] = (float)in[i] * 0.5f + b[i];
    }
}

/* Reverses through a local array, so that it needs stack and a call of memcpy. */
KERNEL void sample_reverse(float *inout)
{
    float copy[16];
    __builtin_memcpy(copy, inout, sizeof copy);
    for (int32_t i = 0; i < 16; i++) {
        inout[i] = copy[15 - i];
    }
}

int8_t *sample_input0(void *arena)
{
    return (int8_t *)arena;
}

float *sample_input1(void *arena)
{
    return (float *)(void *)((uint8_t *)arena + 32);
}

float *sample_output0(void *arena)
{
    return (float *)(void *)((uint8_t *)arena + 96);
}

int8_t *sample_output1(void *arena)
{
    return (int8_t *)arena + 16;
}

int sample_run(void *arena, const int8_t *input0, const float *input1, float *output0, int8_t *output1)
{
    if (arena == NULL || input0 == NULL || input1 == NULL || output0 == NULL || output1 == NULL) {
        return 1;
    }
    if (((uintptr_t)arena & (SAMPLE_ARENA_ALIGN - 1u)) != 0u) {
        return 2;
    }
    int8_t *const hidden = (int8_t *)arena + 160;
    sample_dense(input0, hidden);
    TINYIR_AFTER_OP(0);
    sample_dense(hidden, output1);
    TINYIR_AFTER_OP(1);
    sample_scale_add(output1, input1, output0);
    TINYIR_AFTER_OP(2);
    sample_reverse(output0);
    TINYIR_AFTER_OP(3);
    return 0;
}
