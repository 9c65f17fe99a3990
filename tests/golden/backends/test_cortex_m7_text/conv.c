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

extern const int8_t conv_w_packed[12] TINYIR_ALIGNED;
extern const int32_t conv_c_1[2] TINYIR_ALIGNED;

/* On the core itself the instructions of inner loops stand in an order that suits its pipeline, and volatile assembly
 * of one instruction each keeps them there; registers and addresses are the compiler's business. */
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(TINYIR_NO_ASM)
#define TINYIR_IN_ORDER 1
#endif

#if defined(__GNUC__) && !defined(__clang__)
#define TINYIR_KERNEL __attribute__((noinline, noclone))
#elif defined(__GNUC__)
#define TINYIR_KERNEL __attribute__((noinline))
#else
#define TINYIR_KERNEL
#endif

/* Before a loop that stays one: the schedule has written out what pays. */
#if defined(__OPTIMIZE_SIZE__)
#define TINYIR_ROLLED
#elif defined(__clang__)
#define TINYIR_ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define TINYIR_ROLLED _Pragma("GCC unroll 1")
#else
#define TINYIR_ROLLED
#endif

/* Called after each op; a build that wants to watch the program defines it. By default it only keeps the compiler from
 * dropping an op whose result no later one needs, so that the program does what report.json lists. */
#if !defined(TINYIR_AFTER_OP) && defined(__GNUC__)
#define TINYIR_AFTER_OP(index) __asm__ volatile("" ::: "memory")
#elif !defined(TINYIR_AFTER_OP)
#define TINYIR_AFTER_OP(index) ((void)0)
#endif

/* Four int8 or two int16 as a word, some bytes behind a pointer; the distance is a constant from 0 to 4095. */
#if defined(TINYIR_IN_ORDER)
#define tinyir_load32(from, bytes) __extension__({ \
    uint32_t tinyir_word; \
    __asm__ volatile("ldr %0, [%1, %2]" : "=r"(tinyir_word) : "r"(from), "i"(bytes) : "memory"); \
    tinyir_word; })
#else
static inline uint32_t tinyir_load32(const void *from, int32_t bytes)
{
    uint32_t word;
    __builtin_memcpy(&word, (const uint8_t *)from + bytes, sizeof word);
    return word;
}
#endif

/* Bytes 0 and 2, sign-extended. */
static inline uint32_t tinyir_sxtb16(uint32_t bytes)
{
#if defined(TINYIR_IN_ORDER)
    uint32_t lanes;
    __asm__ volatile("sxtb16 %0, %1" : "=r"(lanes) : "r"(bytes));
    return lanes;
#elif defined(__ARM_FEATURE_DSP)
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
#if defined(TINYIR_IN_ORDER)
    uint32_t lanes;
    __asm__ volatile("sxtb16 %0, %1, ror #8" : "=r"(lanes) : "r"(bytes));
    return lanes;
#elif defined(__ARM_FEATURE_DSP)
    return (uint32_t)__sxtb16((int8x4_t)((bytes >> 8) | (bytes << 24)));
#else
    const uint32_t low = (((bytes >> 8) & 0xFFu) ^ 0x80u) - 0x80u;
    const uint32_t high = ((bytes >> 24) ^ 0x80u) - 0x80u;
    return (low & 0xFFFFu) | (high << 16);
#endif
}

/* acc + a[0] * b[0] + a[1] * b[1]. */
static inline int32_t tinyir_smlad(uint32_t a, uint32_t b, int32_t acc)
{
#if defined(TINYIR_IN_ORDER)
    __asm__ volatile("smlad %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#elif defined(__ARM_FEATURE_DSP)
    return __smlad((int16x2_t)a, (int16x2_t)b, acc);
#else
    const int32_t low = (int32_t)(int16_t)(uint16_t)a * (int32_t)(int16_t)(uint16_t)b;
    const int32_t high = (int32_t)(int16_t)(uint16_t)(a >> 16) * (int32_t)(int16_t)(uint16_t)(b >> 16);
    return (int32_t)((uint32_t)acc + (uint32_t)low + (uint32_t)high);
#endif
}

/* x >> n limited to -128..127; n is a constant from 0 to 31, of which the shift of an SSAT cannot be 0. */
#if defined(TINYIR_IN_ORDER)
#define tinyir_ssat_asr(x, n) __extension__({ \
    int32_t tinyir_limited; \
    if ((n) == 0) { \
        __asm__ volatile("ssat %0, #8, %1" : "=r"(tinyir_limited) : "r"(x)); \
    } else { \
        __asm__ volatile("ssat %0, #8, %1, asr %2" : "=r"(tinyir_limited) : "r"(x), "i"((n) == 0 ? 1 : (n))); \
    } \
    tinyir_limited; })
#else
static inline int32_t tinyir_ssat_asr(int32_t x, int32_t n)
{
#if defined(__ARM_FEATURE_DSP)
    return (int32_t)__builtin_arm_ssat(x >> n, 8);
#else
    return x >> n < -128 ? -128 : (x >> n > 127 ? 127 : x >> n);
#endif
}
#endif

/* x * 2^n, modulo 2^32. */
static inline int32_t tinyir_shift_left(int32_t x, int32_t n)
{
    return (int32_t)((uint32_t)x << n);
}

/* The upper word of a * b, plus addend. */
static inline int32_t tinyir_smmla(int32_t a, int32_t b, int32_t addend)
{
#if defined(TINYIR_IN_ORDER)
    int32_t sum;
    __asm__ volatile("smmla %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(addend));
    return sum;
#else
    const uint64_t product = (uint64_t)((int64_t)a * b);
    return (int32_t)((uint32_t)addend + (uint32_t)(product >> 32));
#endif
}

/* int.conv2d(1x4x4x2xi8 NHWC, 2x3x1x2xi8 OHWI, 2xi32 C) -> 1x2x4x2xi32 NHWC
 * int.requantize(1x2x4x2xi32 NHWC, 1xi32 C, 1xi32 C) -> 1x2x4x2xi8 NHWC
 * schedule: stage(x, h, xs, i16), simplify(), reorder(xs_2, xs_1), simplify(), reorder(xs_1, xs_2)
 *   pad_sum(ic, 2), split(ic, 2, ica, icb), split(c, 2, co, ci), pack(weights, co, kh, ica, icb, ci)
 *   flatten(weights, 1), unroll(xs_3), reorder(co, w, ci), split(w, 2, wo, wi), reorder(wo, wi, ci), jam(ci)
 *   jam(wi), tensorize(icb), share(wo), unroll(ica), unroll(kh), hoist(wo, bias), simplify(), collapse()
 *   order(all) */
static TINYIR_KERNEL void conv_c(
    const int8_t *x,
    const int8_t *restrict weights,
    const int32_t *restrict bias,
    int8_t *y,
    int16_t *restrict xs)
{
    TINYIR_ROLLED for (int32_t h = 0; h < 2; h++) {
        TINYIR_ROLLED for (int32_t xs_1 = 0; xs_1 < 3; xs_1++) {
            TINYIR_ROLLED for (int32_t xs_2 = 0; xs_2 < 4; xs_2++) {
                xs[8 * xs_1 + 2 * xs_2] = (int16_t)x[8 * h + 8 * xs_1 + 2 * xs_2];
                xs[8 * xs_1 + 2 * xs_2 + 1] = (int16_t)x[8 * h + 8 * xs_1 + 2 * xs_2 + 1];
            }
        }
        const int32_t bias_h0 = bias[0];
        const int32_t bias_h1 = bias[1];
        TINYIR_ROLLED for (int32_t wo = 0; wo < 2; wo++) {
            const int32_t bias_0 = bias_h0;
            int32_t acc_0_0 = bias_0;
            int32_t acc_0_1 = bias_0;
            const int32_t bias_1 = bias_h1;
            int32_t acc_1_0 = bias_1;
            int32_t acc_1_1 = bias_1;
            int16_t *const xs_at = &xs[4 * wo];
            const uint32_t xs_3_0_0 = tinyir_load32(xs_at, 0);
            const int8_t *const weights_at = &weights[0];
            const uint32_t weights_4_0_0 = tinyir_load32(weights_at, 0);
            const uint32_t sxtb16_0_0_0 = tinyir_sxtb16(weights_4_0_0);
            const uint32_t xs_5_0_0 = tinyir_load32(xs_at, 4);
            const uint32_t sxtb16_ror8_1_0_0 = tinyir_sxtb16_ror8(weights_4_0_0);
            acc_0_0 = tinyir_smlad(xs_3_0_0, sxtb16_0_0_0, acc_0_0);
            const uint32_t xs_3_0_1 = tinyir_load32(xs_at, 16);
            acc_1_0 = tinyir_smlad(xs_3_0_0, sxtb16_ror8_1_0_0, acc_1_0);
            const uint32_t weights_4_0_1 = tinyir_load32(weights_at, 4);
            acc_0_1 = tinyir_smlad(xs_5_0_0, sxtb16_0_0_0, acc_0_1);
            const uint32_t sxtb16_0_0_1 = tinyir_sxtb16(weights_4_0_1);
            acc_1_1 = tinyir_smlad(xs_5_0_0, sxtb16_ror8_1_0_0, acc_1_1);
            const uint32_t xs_5_0_1 = tinyir_load32(xs_at, 20);
            acc_0_0 = tinyir_smlad(xs_3_0_1, sxtb16_0_0_1, acc_0_0);
            const uint32_t sxtb16_ror8_1_0_1 = tinyir_sxtb16_ror8(weights_4_0_1);
            acc_1_0 = tinyir_smlad(xs_3_0_1, sxtb16_ror8_1_0_1, acc_1_0);
            const uint32_t xs_3_0_2 = tinyir_load32(xs_at, 32);
            acc_0_1 = tinyir_smlad(xs_5_0_1, sxtb16_0_0_1, acc_0_1);
            const uint32_t weights_4_0_2 = tinyir_load32(weights_at, 8);
            acc_1_1 = tinyir_smlad(xs_5_0_1, sxtb16_ror8_1_0_1, acc_1_1);
            const uint32_t sxtb16_0_0_2 = tinyir_sxtb16(weights_4_0_2);
            acc_0_0 = tinyir_smlad(xs_3_0_2, sxtb16_0_0_2, acc_0_0);
            const uint32_t xs_5_0_2 = tinyir_load32(xs_at, 36);
            const uint32_t sxtb16_ror8_1_0_2 = tinyir_sxtb16_ror8(weights_4_0_2);
            acc_1_0 = tinyir_smlad(xs_3_0_2, sxtb16_ror8_1_0_2, acc_1_0);
            acc_0_1 = tinyir_smlad(xs_5_0_2, sxtb16_0_0_2, acc_0_1);
            acc_1_1 = tinyir_smlad(xs_5_0_2, sxtb16_ror8_1_0_2, acc_1_1);
            const int32_t lsl = tinyir_shift_left(acc_0_0, 14);
            const int32_t mac = tinyir_smmla(lsl, 1073741824, (-8351744));
            const int32_t lsl_1 = tinyir_shift_left(acc_0_1, 14);
            const int32_t mac_1 = tinyir_smmla(lsl_1, 1073741824, (-8351744));
            const int32_t lsl_2 = tinyir_shift_left(acc_1_0, 14);
            const int32_t mac_2 = tinyir_smmla(lsl_2, 1073741824, (-8351744));
            const int32_t lsl_3 = tinyir_shift_left(acc_1_1, 14);
            const int32_t ssat = tinyir_ssat_asr(mac, 16);
            const int8_t requantize_0_0 = (int8_t)ssat;
            const int32_t mac_3 = tinyir_smmla(lsl_3, 1073741824, (-8351744));
            const int32_t ssat_1 = tinyir_ssat_asr(mac_1, 16);
            const int8_t requantize_0_1 = (int8_t)ssat_1;
            const int32_t ssat_2 = tinyir_ssat_asr(mac_2, 16);
            const int8_t requantize_1_0 = (int8_t)ssat_2;
            const int32_t ssat_3 = tinyir_ssat_asr(mac_3, 16);
            const int8_t requantize_1_1 = (int8_t)ssat_3;
            y[8 * h + 4 * wo] = requantize_0_0;
            y[8 * h + 4 * wo + 2] = requantize_0_1;
            y[8 * h + 4 * wo + 1] = requantize_1_0;
            y[8 * h + 4 * wo + 3] = requantize_1_1;
        }
    }
}

int8_t *conv_input0(void *arena) {
    return (void *)((uint8_t *)arena + 48);
}

int8_t *conv_output0(void *arena) {
    return (void *)((uint8_t *)arena + 48);
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
