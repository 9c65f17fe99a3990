#include "conv.h"

#include <stdint.h>
#if defined(__ARM_FEATURE_DSP)
#include <arm_acle.h>
#endif

#if defined(__GNUC__)
#define TINYIR_ALIGNED __attribute__((aligned(8)))
#else
#define TINYIR_ALIGNED
#endif

extern const int8_t conv_w_packed[24] TINYIR_ALIGNED;
extern const int32_t conv_c_1[2] TINYIR_ALIGNED;

#if defined(__GNUC__) && !defined(__clang__)
#define TINYIR_KERNEL __attribute__((noinline, noclone))
#elif defined(__GNUC__)
#define TINYIR_KERNEL __attribute__((noinline))
#else
#define TINYIR_KERNEL
#endif

/* Called after each op; a build that wants to watch the program defines it. By default it only keeps the compiler from
 * dropping an op whose result no later one needs, so that the program does what report.json lists. */
#if !defined(TINYIR_AFTER_OP) && defined(__GNUC__)
#define TINYIR_AFTER_OP(index) __asm__ volatile("" ::: "memory")
#elif !defined(TINYIR_AFTER_OP)
#define TINYIR_AFTER_OP(index) ((void)0)
#endif

/* Four int8 or two int16 as a word. */
static inline uint32_t tinyir_load32(const void *from)
{
    uint32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return word;
}

/* Bytes 0 and 2, sign-extended. */
static inline uint32_t tinyir_sxtb16(uint32_t bytes)
{
#if defined(__ARM_FEATURE_DSP)
    return (uint32_t)__sxtb16((int8x4_t)bytes);
#else
    const uint32_t low = ((bytes & 0xFFu) ^ 0x80u) - 0x80u;
    const uint32_t high = (((bytes >> 16) & 0xFFu) ^ 0x80u) - 0x80u;
    return (low & 0xFFFFu) | (high << 16);
#endif
}

/* Bytes 1 and 3, sign-extended. */
static inline uint32_t tinyir_sxtb16_ror8(uint32_t bytes)
{
    return tinyir_sxtb16((bytes >> 8) | (bytes << 24));
}

/* acc + a[0] * b[0] + a[1] * b[1]. */
static inline int32_t tinyir_smlad(uint32_t a, uint32_t b, int32_t acc)
{
#if defined(__ARM_FEATURE_DSP)
    return __smlad((int16x2_t)a, (int16x2_t)b, acc);
#else
    const int32_t low = (int32_t)(int16_t)(uint16_t)a * (int32_t)(int16_t)(uint16_t)b;
    const int32_t high = (int32_t)(int16_t)(uint16_t)(a >> 16) * (int32_t)(int16_t)(uint16_t)(b >> 16);
    return (int32_t)((uint32_t)acc + (uint32_t)low + (uint32_t)high);
#endif
}

/* x limited to -128..127. */
static inline int32_t tinyir_ssat8(int32_t x)
{
#if defined(__ARM_FEATURE_DSP)
    return (int32_t)__builtin_arm_ssat(x, 8); /* the macro __ssat of GCC's header converts without a cast */
#else
    return x < -128 ? -128 : (x > 127 ? 127 : x);
#endif
}

/* x >> n limited to -128..127: one instruction where n is a constant. */
static inline int32_t tinyir_ssat_asr(int32_t x, int32_t n)
{
    return tinyir_ssat8(x >> n);
}

/* x * 2^n, modulo 2^32. */
static inline int32_t tinyir_shift_left(int32_t x, int32_t n)
{
    return (int32_t)((uint32_t)x << n);
}

/* The upper word of a * b, plus addend. GCC has neither an intrinsic for SMMLA nor a pattern that makes one. */
static inline int32_t tinyir_smmla(int32_t a, int32_t b, int32_t addend)
{
#if defined(__ARM_FEATURE_DSP) && !defined(__clang__)
    int32_t sum;
    __asm__("smmla %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(addend));
    return sum;
#else
    const uint64_t product = (uint64_t)((int64_t)a * b);
    return (int32_t)((uint32_t)addend + (uint32_t)(product >> 32));
#endif
}

/* int.conv2d(1x4x4x2xi8 NHWC, 2x3x1x2xi8 OHWI, 2xi32 C) -> 1x2x4x2xi32 NHWC
 * int.requantize(1x2x4x2xi32 NHWC, 1xi32 C, 1xi32 C) -> 1x2x4x2xi8 NHWC
 * schedule: stage(x, h, xs, i16), simplify(), reorder(xs_2, xs_1), simplify(), reorder(xs_1, xs_2)
 *   flatten(xs, 1), flatten(weights, 2), pad_sum(ic, 4), split(ic, 4, ico, ic4), split(ic4, 2, ica, icb)
 *   pack(weights, c, kh, ico, icb, ica), flatten(weights, 2), tensorize(icb, ica), split(c, 2, co, ci)
 *   split(w, 2, wo, wi), reorder(wo, co, wi, ci), jam(ci), jam(wi), simplify(), collapse(), share() */
static TINYIR_KERNEL void conv_c(
    const int8_t *x,
    const int8_t *restrict weights,
    const int32_t *restrict bias,
    int8_t *y,
    int16_t *restrict xs)
{
    for (int32_t h = 0; h < 2; h++) {
        for (int32_t xs_1 = 0; xs_1 < 3; xs_1++) {
            for (int32_t xs_2 = 0; xs_2 < 4; xs_2++) {
                for (int32_t xs_3 = 0; xs_3 < 2; xs_3++) {
                    xs[10 * xs_1 + 2 * xs_2 + xs_3] = (int16_t)x[8 * h + 8 * xs_1 + 2 * xs_2 + xs_3];
                }
            }
        }
        for (int32_t wo = 0; wo < 2; wo++) {
            const int32_t bias_0 = bias[0];
            int32_t acc_0_0 = bias_0;
            int32_t acc_0_1 = bias_0;
            const int32_t bias_1 = bias[1];
            int32_t acc_1_0 = bias_1;
            int32_t acc_1_1 = bias_1;
            for (int32_t kh = 0; kh < 3; kh++) {
                const uint32_t xs_4 = tinyir_load32(&xs[10 * kh + 4 * wo]);
                const uint32_t weights_5 = tinyir_load32(&weights[4 * kh]);
                const uint32_t sxtb16_0 = tinyir_sxtb16(weights_5);
                acc_0_0 = tinyir_smlad(xs_4, sxtb16_0, acc_0_0);
                const uint32_t xs_6 = tinyir_load32(&xs[10 * kh + 4 * wo + 2]);
                acc_0_1 = tinyir_smlad(xs_6, sxtb16_0, acc_0_1);
                const uint32_t weights_7 = tinyir_load32(&weights[4 * kh + 12]);
                const uint32_t sxtb16_1 = tinyir_sxtb16(weights_7);
                acc_1_0 = tinyir_smlad(xs_4, sxtb16_1, acc_1_0);
                acc_1_1 = tinyir_smlad(xs_6, sxtb16_1, acc_1_1);
                const uint32_t sxtb16_ror8_2 = tinyir_sxtb16_ror8(weights_5);
                acc_0_0 = tinyir_smlad(xs_6, sxtb16_ror8_2, acc_0_0);
                const uint32_t xs_8 = tinyir_load32(&xs[10 * kh + 4 * wo + 4]);
                acc_0_1 = tinyir_smlad(xs_8, sxtb16_ror8_2, acc_0_1);
                const uint32_t sxtb16_ror8_3 = tinyir_sxtb16_ror8(weights_7);
                acc_1_0 = tinyir_smlad(xs_6, sxtb16_ror8_3, acc_1_0);
                acc_1_1 = tinyir_smlad(xs_8, sxtb16_ror8_3, acc_1_1);
            }
            const int8_t requantize_0_0 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_0_0, 18), 1073741824, (-133627904)), 20);
            const int8_t requantize_0_1 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_0_1, 18), 1073741824, (-133627904)), 20);
            const int8_t requantize_1_0 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_1_0, 18), 1073741824, (-133627904)), 20);
            const int8_t requantize_1_1 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_1_1, 18), 1073741824, (-133627904)), 20);
            y[8 * h + 4 * wo] = requantize_0_0;
            y[8 * h + 4 * wo + 2] = requantize_0_1;
            y[8 * h + 4 * wo + 1] = requantize_1_0;
            y[8 * h + 4 * wo + 3] = requantize_1_1;
        }
    }
}

int8_t *conv_input0(void *arena) {
    return (void *)((uint8_t *)arena + 60);
}

int8_t *conv_output0(void *arena) {
    return (void *)((uint8_t *)arena + 60);
}

int conv_run(void *arena, const int8_t *input0, int8_t *output0) {
    if (arena == 0 || input0 == 0 || output0 == 0) {
        return 1;
    }
    if (((uintptr_t)arena & 7u) != 0u) {
        return 2;
    }
    uint8_t *const base = arena;
    (void)base;
    conv_c(input0, conv_w_packed, conv_c_1, output0, (void *)base);
    TINYIR_AFTER_OP(0);
    return 0;
}
