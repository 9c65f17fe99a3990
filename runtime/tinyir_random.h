/* Random words by counter, with the same bits as tinyir/ir/semantics/random_words.py. */
#ifndef TINYIR_RANDOM_H
#define TINYIR_RANDOM_H

#include <stdint.h>

/* Word `index` of draw `salt` in one step: a hash of all four, ended as MurmurHash3 ends (fmix32). */
static inline int32_t tinyir_random(int32_t seed, int32_t step, int32_t salt, int32_t index)
{
    uint32_t h = (uint32_t)seed + 0x9E3779B9u * ((uint32_t)step + 1u);
    h ^= (uint32_t)salt * 0x85EBCA6Bu;
    h += (uint32_t)index * 0xC2B2AE35u;
    h ^= h >> 16;
    h *= 0x85EBCA6Bu;
    h ^= h >> 13;
    h *= 0xC2B2AE35u;
    h ^= h >> 16;
    return (int32_t)h;
}

/* A number between 0 and 1, neither included: the upper 23 bits of a word and a half, over 2^23. */
static inline float tinyir_unitf(int32_t word)
{
    return (float)(int32_t)((uint32_t)word >> 8 | 1u) * 5.9604644775390625e-08f;
}

#endif
