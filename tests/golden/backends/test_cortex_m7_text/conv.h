/* conv, compiled by tinyir VERSION
 * model sha256: 00ff */
#ifndef CONV_H
#define CONV_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Activations, scratch, inputs and outputs: one buffer, given by the caller. */
#define CONV_ARENA_BYTES 80
#define CONV_ARENA_ALIGN 8
#define CONV_MACS 96

/* image: i8 1 x 4 x 4 x 2 NHWC, real = scale * (stored - zero point) */
#define CONV_INPUT0_BYTES 32
#define CONV_INPUT0_ELEMENTS 32
#define CONV_INPUT0_SHAPE {1, 4, 4, 2}
#define CONV_INPUT0_SCALE 0.5f
#define CONV_INPUT0_ZERO_POINT (-5)

/* c: i8 1 x 2 x 4 x 2 NHWC, real = scale * (stored - zero point) */
#define CONV_OUTPUT0_BYTES 16
#define CONV_OUTPUT0_ELEMENTS 16
#define CONV_OUTPUT0_SHAPE {1, 2, 4, 2}
#define CONV_OUTPUT0_SCALE 2.0f
#define CONV_OUTPUT0_ZERO_POINT (-128)

/* Where the planner keeps the input `image` in the arena. */
int8_t *conv_input0(void *arena);
/* Where the planner keeps the output `c` in the arena. */
int8_t *conv_output0(void *arena);

/* One inference. Pass the places above, or buffers of your own that do not overlap the arena. The places of
 * inputs are overwritten while the program runs. Returns 0; 1 for a null pointer; 2 for an arena that is
 * not aligned to CONV_ARENA_ALIGN. Keeps no state: calls with different arenas may run side by side. */
int conv_run(void *arena, const int8_t *input0, int8_t *output0);

#ifdef __cplusplus
}
#endif

#endif
