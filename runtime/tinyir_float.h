/* exp, log, tanh, logistic and softplus in float32, with the same bits as tinyir/ir/semantics/transcendental.py.
 *
 * Each operation must be rounded to float by itself: compile with -ffp-contract=off and without -ffast-math. */
#ifndef TINYIR_FLOAT_H
#define TINYIR_FLOAT_H

#include <stdint.h>

static inline uint32_t tinyir_float_bits(float x)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float tinyir_float_from_bits(uint32_t bits)
{
    float x;
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float tinyir_absf(float x)
{
    return tinyir_float_from_bits(tinyir_float_bits(x) & 0x7FFFFFFFu);
}

static inline float tinyir_copysignf(float size, float sign)
{
    return tinyir_float_from_bits((tinyir_float_bits(size) & 0x7FFFFFFFu) | (tinyir_float_bits(sign) & 0x80000000u));
}

/* 2^n for n in -126..127. */
static inline float tinyir_power_of_two(int32_t n)
{
    return tinyir_float_from_bits((uint32_t)(n + 127) << 23);
}

/* e^x = 2^n * e^r with n = round(x / ln 2); ln 2 is taken off in two parts, 2^n is multiplied on in two halves. */
static inline float tinyir_expf(float x)
{
    if (x != x) {
        return x;
    }
    x = x > 100.0f ? 100.0f : x < -110.0f ? -110.0f : x;
    const float round = 12582912.0f; /* 1.5 * 2^23: adding and subtracting it rounds to the nearest integer */
    const float whole = (x * 1.4426950408889634f + round) - round;
    const float r = (x - whole * 0.693359375f) - whole * -2.1219444e-4f;
    float terms = 0.00019790134683717042f;
    terms = terms * r + 0.0013944868696853518f;
    terms = terms * r + 0.008333498612046242f;
    terms = terms * r + 0.041666291654109955f;
    terms = terms * r + 0.1666666567325592f;
    terms = terms * r + 0.5f;
    const float mantissa = (terms * (r * r) + r) + 1.0f;
    const int32_t exponent = (int32_t)whole;
    const int32_t half = exponent >= 0 ? exponent / 2 : -((1 - exponent) / 2);
    return (mantissa * tinyir_power_of_two(half)) * tinyir_power_of_two(exponent - half);
}

/* log x = n ln 2 + 2 atanh(s) for x = 2^n * m, m between sqrt(1/2) and sqrt(2), s = (m - 1) / (m + 1). */
static inline float tinyir_logf(float x)
{
    if (x != x || x == __builtin_inff()) {
        return x;
    }
    if (x <= 0.0f) {
        return x < 0.0f ? __builtin_nanf("") : -__builtin_inff();
    }
    const int32_t small = x < 1.17549435e-38f ? 23 : 0;
    const int32_t bits = (int32_t)tinyir_float_bits(small ? x * 8388608.0f : x);
    const int32_t offset = bits - 0x3F3504F3;
    const int32_t n = offset >= 0 ? offset / 8388608 : -((8388607 - offset) / 8388608);
    const float f = tinyir_float_from_bits((uint32_t)(bits - n * 8388608)) - 1.0f;
    const float s = f / (f + 2.0f);
    const float square = s * s;
    float terms = 0.2222222222222222f;
    terms = terms * square + 0.2857142857142857f;
    terms = terms * square + 0.4f;
    terms = terms * square + 0.6666666666666666f;
    const float fraction = (terms * square) * s + (s + s);
    const float whole = (float)(n - small);
    return (whole * -2.1219444e-4f + fraction) + whole * 0.693359375f;
}

/* log(1 + e^x) = max(x, 0) + 2 atanh(s) with s = e / (2 + e), e = e^-|x|. */
static inline float tinyir_softplusf(float x)
{
    if (x != x) {
        return x;
    }
    const float e = tinyir_expf(-tinyir_absf(x));
    const float s = e / (2.0f + e);
    const float square = s * s;
    float terms = 0.11764705882352941f;
    terms = terms * square + 0.13333333333333333f;
    terms = terms * square + 0.15384615384615385f;
    terms = terms * square + 0.18181818181818182f;
    terms = terms * square + 0.2222222222222222f;
    terms = terms * square + 0.2857142857142857f;
    terms = terms * square + 0.4f;
    terms = terms * square + 0.6666666666666666f;
    const float tail = (terms * square) * s + (s + s);
    return (x > 0.0f ? x : 0.0f) + tail;
}

/* x + x^3 * polynomial(x^2) near 0, else 1 - 2 / (e^(2x) + 1). */
static inline float tinyir_tanhf(float x)
{
    if (x != x) {
        return x;
    }
    const float size = tinyir_absf(x);
    float result;
    if (size < 0.625f) {
        const float square = size * size;
        float terms = -0.005717045161873102f;
        terms = terms * square + 0.02065058797597885f;
        terms = terms * square + -0.05374349653720856f;
        terms = terms * square + 0.13331490755081177f;
        terms = terms * square + -0.3333328366279602f;
        result = (terms * square) * size + size;
    } else {
        result = 1.0f - 2.0f / (tinyir_expf(size + size) + 1.0f);
    }
    return tinyir_copysignf(result, x);
}

/* 1 / (1 + e^-x), as e^x / (1 + e^x) for negative x. */
static inline float tinyir_logisticf(float x)
{
    if (x != x) {
        return x;
    }
    const float e = tinyir_expf(-tinyir_absf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* The gradient g of a clamp to lo..hi that gave y. */
static inline float tinyir_insidef(float g, float y, float lo, float hi)
{
    return lo < y && y < hi ? g : 0.0f;
}

/* g where a bit of the word is 1, else 0; the bits are counted from the lowest, modulo 32. */
static inline float tinyir_maskedf(float g, int32_t word, int32_t bit)
{
#if defined(TINYIR_FPV5) && !defined(TINYIR_NO_ASM)
    float masked; /* by VSEL: a branch on random bits is foreseen half of the time */
    __asm__("tst %1, %2\n\tvseleq.f32 %0, %4, %3"
            : "=t"(masked)
            : "r"(word), "r"(1u << (bit & 31)), "t"(g), "t"(0.0f)
            : "cc");
    return masked;
#else
    return ((uint32_t)word >> (bit & 31)) & 1u ? g : 0.0f;
#endif
}

/* A word with that bit, if lo < y < hi. */
static inline int32_t tinyir_inside_bit(int32_t y, int32_t lo, int32_t hi, int32_t bit)
{
    return lo < y && y < hi ? (int32_t)(1u << bit) : 0;
}

/* acc + a * b, the product rounded by itself: VMLA, which gcc has to be told of. */
static inline float tinyir_macf(float a, float b, float acc)
{
#if defined(__ARM_FP) && !defined(__aarch64__) && defined(__GNUC__) && !defined(__clang__)
    __asm__("vmla.f32 %0, %1, %2" : "+t"(acc) : "t"(a), "t"(b));
    return acc;
#else
    return acc + a * b;
#endif
}

/* The same, behind the sum `before` has got its last product: gcc, which does not know how long VMLA takes, would do one
   sum after the other otherwise. */
static inline float tinyir_macf_after(float a, float b, float acc, float before)
{
#if defined(__ARM_FP) && !defined(__aarch64__) && defined(__GNUC__) && !defined(__clang__)
    __asm__("vmla.f32 %0, %1, %2" : "+t"(acc) : "t"(a), "t"(b), "t"(before));
    return acc;
#else
    (void)before;
    return acc + a * b;
#endif
}

/* 1 where the two are equal, else 0. */
static inline float tinyir_equalf(int32_t a, int32_t b)
{
    return a == b ? 1.0f : 0.0f;
}

/* x without its fraction, saturated; 0 for NaN. */
static inline int32_t tinyir_trunci(float x)
{
#if defined(__ARM_FP) && !defined(__aarch64__) && defined(__GNUC__) && !defined(__clang__)
    int32_t whole;
    __asm__("vcvt.s32.f32 %0, %0" : "+t"(x));
    __builtin_memcpy(&whole, &x, sizeof whole);
    return whole;
#else
    if (!(x > -2147483648.0f)) {
        return x != x ? 0 : INT32_MIN;
    }
    return x >= 2147483648.0f ? INT32_MAX : (int32_t)x;
#endif
}

/* The largest integer not above x, saturated; 0 for NaN. */
static inline int32_t tinyir_floori(float x)
{
#if defined(TINYIR_FPV5) && !defined(TINYIR_NO_ASM)
    float floor;
    int32_t word;
    __asm__("vcvtm.s32.f32 %0, %1" : "=t"(floor) : "t"(x));
    __builtin_memcpy(&word, &floor, sizeof word);
    return word;
#else
    if (!(x > -2147483648.0f)) {
        return x != x ? 0 : INT32_MIN;
    }
    if (x >= 2147483648.0f) {
        return INT32_MAX;
    }
    const int32_t whole = (int32_t)x;
    return whole - (x < (float)whole);
#endif
}

/* The float a + x without its fraction; a where x is NaN. */
static inline int32_t tinyir_truncated_sum(int32_t a, float x)
{
    return x != x ? a : tinyir_trunci((float)a + x);
}

/* a + b, limited to lo..hi. */
static inline int32_t tinyir_saturated_sum(int32_t a, int32_t b, int32_t lo, int32_t hi)
{
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && !defined(__clang__)
    int32_t sum;
    __asm__("qadd %0, %1, %2" : "=r"(sum) : "r"(a), "r"(b));
#else
    const int64_t sum = (int64_t)a + b;
#endif
    return sum < lo ? lo : sum > hi ? hi : (int32_t)sum;
}

/* `yes` where a is the larger, else `no`. */
static inline int32_t tinyir_pickf(float a, float b, int32_t yes, int32_t no)
{
    return a > b ? yes : no;
}

/* g where the two are equal, else 0. */
static inline float tinyir_matchf(int32_t a, int32_t b, float g)
{
    return a == b ? g : 0.0f;
}

/* The smallest n of -30..30 with |x| < 2^n, or 30; NaN counts as infinite. */
static inline int32_t tinyir_exponentf(float x)
{
    const int32_t n = (int32_t)(tinyir_float_bits(x) >> 23 & 255u) - 126;
    return n < -30 ? -30 : n > 30 ? 30 : n;
}

/* The exponent of a tensor of gradients in the next step (grad.next_exponent). */
static inline int32_t tinyir_next_exponent(int32_t exponent, int32_t peak, int32_t base, int32_t limit, int32_t low)
{
    const int32_t next = exponent + (peak >= limit) - (peak < low && base > -30);
    return next < -96 ? -96 : next > 96 ? 96 : next;
}

static inline float tinyir_sqrtf(float x)
{
    return __builtin_sqrtf(x);
}

/* turn + 1, or 0 behind the last of `count` turns. */
static inline int32_t tinyir_next_turn(int32_t turn, int32_t count)
{
    return turn < count && turn + 1 < count ? turn + 1 : 0;
}

/* Whether x is neither infinite nor NaN. */
static inline int32_t tinyir_finitef(float x)
{
    return (tinyir_float_bits(x) << 1) < 0xFF000000u;
}

static inline float tinyir_choosef(int32_t yes, float a, float b)
{
    return yes ? a : b;
}

static inline int32_t tinyir_choose(int32_t yes, int32_t a, int32_t b)
{
    return yes ? a : b;
}

static inline int32_t tinyir_turn(int32_t turn, int32_t at, int32_t a, int32_t b)
{
    return turn == at ? a : b;
}

/* a where the turn is `at`, else b. */
static inline float tinyir_turnf(int32_t turn, int32_t at, float a, float b)
{
    return turn == at ? a : b;
}

/* The gradient g of leaky ReLU at x. */
static inline float tinyir_leaky_slopef(float g, float x, float alpha)
{
    return x > 0.0f ? g : alpha * g;
}

/* The gradient g of hard swish at x. */
static inline float tinyir_hard_swish_slopef(float g, float x)
{
    if (!(x > -3.0f)) {
        return 0.0f;
    }
    return x < 3.0f ? g * ((x + x + 3.0f) / 6.0f) : g;
}

#endif
