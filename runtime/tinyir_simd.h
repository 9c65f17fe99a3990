/* Instructions and helpers that generated kernels call. Each is the intrinsic on a core with the DSP extension and
 * portable C with the same meaning elsewhere. The C backend copies the functions a program uses into it, so each must
 * stand alone but for the tinyir_ functions it names, which it must name in every form: compilers warn of what is not
 * used. Words of lanes are uint32_t; lane 0 is the low end. */
#ifndef TINYIR_SIMD_H
#define TINYIR_SIMD_H

#include <stdint.h>
#if defined(__ARM_FEATURE_DSP)
#include <arm_acle.h>
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

static inline void tinyir_store32(void *to, uint32_t word)
{
    __builtin_memcpy(to, &word, sizeof word);
}

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

/* The low halves of a and b, that of a at the low end. */
static inline uint32_t tinyir_pkhbt(uint32_t a, uint32_t b)
{
#if defined(TINYIR_IN_ORDER)
    uint32_t halves;
    __asm__ volatile("pkhbt %0, %1, %2, lsl #16" : "=r"(halves) : "r"(a), "r"(b));
    return halves;
#else
    return (a & 0xFFFFu) | (b << 16);
#endif
}

/* The high halves of a and b, that of a at the low end. */
static inline uint32_t tinyir_pkhtb(uint32_t a, uint32_t b)
{
#if defined(TINYIR_IN_ORDER)
    uint32_t halves;
    __asm__ volatile("pkhtb %0, %1, %2, asr #16" : "=r"(halves) : "r"(b), "r"(a));
    return halves;
#else
    return (a >> 16) | (b & 0xFFFF0000u);
#endif
}

/* acc + a[0] * b[0]. */
static inline int32_t tinyir_smlabb(uint32_t a, uint32_t b, int32_t acc)
{
#if defined(TINYIR_IN_ORDER)
    __asm__ volatile("smlabb %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#else
    return (int32_t)((uint32_t)acc + (uint32_t)((int32_t)(int16_t)(uint16_t)a * (int32_t)(int16_t)(uint16_t)b));
#endif
}

/* acc + a[0] * b[1]. */
static inline int32_t tinyir_smlabt(uint32_t a, uint32_t b, int32_t acc)
{
#if defined(TINYIR_IN_ORDER)
    __asm__ volatile("smlabt %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#else
    return (int32_t)((uint32_t)acc + (uint32_t)((int32_t)(int16_t)(uint16_t)a * (int32_t)(int16_t)(uint16_t)(b >> 16)));
#endif
}

/* acc + a[1] * b[0]. */
static inline int32_t tinyir_smlatb(uint32_t a, uint32_t b, int32_t acc)
{
#if defined(TINYIR_IN_ORDER)
    __asm__ volatile("smlatb %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#else
    return (int32_t)((uint32_t)acc + (uint32_t)((int32_t)(int16_t)(uint16_t)(a >> 16) * (int32_t)(int16_t)(uint16_t)b));
#endif
}

/* acc + a[1] * b[1]. */
static inline int32_t tinyir_smlatt(uint32_t a, uint32_t b, int32_t acc)
{
#if defined(TINYIR_IN_ORDER)
    __asm__ volatile("smlatt %0, %1, %2, %0" : "+r"(acc) : "r"(a), "r"(b));
    return acc;
#else
    return (int32_t)((uint32_t)acc + (uint32_t)((int32_t)(int16_t)(uint16_t)(a >> 16) * (int32_t)(int16_t)(uint16_t)(b >> 16)));
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

/* x limited to what n bits hold; n is a constant from 1 to 32. */
#if defined(__ARM_FEATURE_DSP)
#define tinyir_ssat(x, n) ((int32_t)__builtin_arm_ssat((x), (n)))
#else
static inline int32_t tinyir_ssat(int32_t x, int32_t n)
{
    const int32_t most = (int32_t)((1u << (n - 1)) - 1u);
    return x < -most - 1 ? -most - 1 : (x > most ? most : x);
}
#endif

static inline int32_t tinyir_min(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static inline int32_t tinyir_max(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

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

/* round(a * b / 2^32), ties upward, plus addend. */
static inline int32_t tinyir_smmlar(int32_t a, int32_t b, int32_t addend)
{
#if defined(TINYIR_IN_ORDER)
    int32_t sum;
    __asm__ volatile("smmlar %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(addend));
    return sum;
#else
    const uint64_t product = (uint64_t)((int64_t)a * b) + 0x80000000u;
    return (int32_t)((uint32_t)addend + (uint32_t)(product >> 32));
#endif
}

/* round(a * b / 2^31), ties upward; saturates. */
static inline int32_t tinyir_doubling_high_mul(int32_t a, int32_t b)
{
    const int64_t high = ((int64_t)a * b + (1LL << 30)) >> 31;
    return high > INT32_MAX ? INT32_MAX : (int32_t)high;
}

/* x / 2^n rounded to nearest, ties away from zero; n above 31 comes from softmax alone, with x >= 0. */
static inline int32_t tinyir_rounding_shift_right(int32_t x, int32_t n)
{
    if (n > 31) {
        return 0;
    }
    const int32_t mask = (int32_t)((1u << n) - 1u);
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> n) + ((x & mask) > threshold ? 1 : 0);
}

/* x * multiplier / 2^31 * 2^shift with gemmlowp's two roundings. */
static inline int32_t tinyir_multiply_quantized(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = tinyir_shift_left(x, shift > 0 ? shift : 0);
    return tinyir_rounding_shift_right(tinyir_doubling_high_mul(left, multiplier), shift > 0 ? 0 : -shift);
}

/* x * multiplier / 2^31 * 2^shift, rounded once. */
static inline int32_t tinyir_multiply_quantized_single(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t total = 31 - shift;
    return (int32_t)(((int64_t)x * multiplier + (1LL << (total - 1))) >> total);
}

/* a / b toward zero. */
static inline int32_t tinyir_div(int32_t a, int32_t b)
{
    return a / b;
}

/* Leading zeros of x > 0. */
static inline int32_t tinyir_clz(int32_t x)
{
    return (int32_t)__builtin_clz((uint32_t)x);
}

/* 1 / total as the softmax needs it: Q31 mantissa of 1 / (1 + f), by three Newton steps from 48/17 - 32/17 * d. */
static inline int32_t tinyir_softmax_scale(int32_t total)
{
    const int32_t fraction = (int32_t)(((uint32_t)total << tinyir_clz(total)) - (1u << 31));
    const int32_t half = (int32_t)(((int64_t)fraction + (1LL << 31)) >> 1);
    int32_t x = 1515870810 + tinyir_doubling_high_mul(half, -1010580540);
    for (int32_t step = 0; step < 3; step++) {
        const int32_t rest = (1 << 29) - tinyir_doubling_high_mul(half, x);
        x += tinyir_shift_left(tinyir_doubling_high_mul(x, rest), 2);
    }
    return x > INT32_MAX / 2 ? INT32_MAX : (x < INT32_MIN / 2 ? INT32_MIN : x * 2);
}

/* How far the products with that mantissa are shifted right to become int8. */
static inline int32_t tinyir_softmax_shift(int32_t total)
{
    return 35 - tinyir_clz(total);
}

/* The nearest integer, ties away from zero; saturates; 0 for NaN. */
static inline int32_t tinyir_round_away(float x)
{
#if defined(TINYIR_FPV5) && !defined(TINYIR_NO_ASM)
    float nearest;
    int32_t word;
    __asm__("vcvta.s32.f32 %0, %1" : "=t"(nearest) : "t"(x)); /* an instruction of FPv5, as those beside it */
    __builtin_memcpy(&word, &nearest, sizeof word);
    return word;
#else
    if (!(x > -2147483648.0f)) {
        return x != x ? 0 : INT32_MIN;
    }
    if (x >= 2147483648.0f) {
        return INT32_MAX;
    }
    const int32_t whole = (int32_t)x;
    const float rest = x - (float)whole;
    return whole + (rest >= 0.5f ? 1 : (rest <= -0.5f ? -1 : 0));
#endif
}

/* x, with a negative side of slope alpha. */
static inline float tinyir_leakyf(float x, float alpha)
{
    return x > 0.0f ? x : x * alpha;
}

/* b if it is smaller, else a. */
static inline float tinyir_minf(float a, float b)
{
    return a > b ? b : a;
}

/* b if it is larger, else a. */
static inline float tinyir_maxf(float a, float b)
{
    return a < b ? b : a;
}

#endif
