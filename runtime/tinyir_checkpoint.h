/* Checkpoints of trained parameters: what NAME_params_save and NAME_params_load are made of. The bytes:
 *
 *   0  "TIRC"            4  version, u16       6  0, u16
 *   8  what the parameters belong to, 32 bytes
 *  40  bytes of parameters, u32                44  the parameters, each from its offset in NAME_params, gaps are 0
 *  44 + bytes            CRC-32 (IEEE 802.3, as zlib's) of all before, u32
 *
 * Integers are little-endian, and so are the parameters: as the core has them.
 */
#ifndef TINYIR_CHECKPOINT_H
#define TINYIR_CHECKPOINT_H

#include <stdint.h>

static inline void tinyir_copy_bytes(uint8_t *out, const uint8_t *in, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        out[i] = in[i];
    }
}

static inline void tinyir_put_u32(uint8_t *out, uint32_t value)
{
    for (uint32_t i = 0; i < 4u; i++) {
        out[i] = (uint8_t)(value >> (8u * i));
    }
}

static inline uint32_t tinyir_get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

/* CRC-32 of IEEE 802.3, reflected, a bit at a time: a checkpoint is made seldom, a table would take 1 KB of flash. */
static inline uint32_t tinyir_crc32(const uint8_t *in, uint32_t count)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= in[i];
        for (uint32_t bit = 0; bit < 8u; bit++) {
            crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

/* The first 44 bytes, and room for the parameters. */
static inline void tinyir_checkpoint_begin(uint8_t *out, const uint8_t *identity, uint32_t bytes)
{
    tinyir_put_u32(out, 0x43524954u);
    tinyir_put_u32(out + 4, 1u);
    tinyir_copy_bytes(out + 8, identity, 32u);
    tinyir_put_u32(out + 40, bytes);
    for (uint32_t i = 0; i < bytes; i++) {
        out[44u + i] = 0;
    }
}

/* 0 for a whole checkpoint of these parameters; else 6, 7, 8 or 9. */
static inline int tinyir_checkpoint_check(const uint8_t *in, uint32_t given, const uint8_t *identity, uint32_t bytes)
{
    if (given < 48u || given - 48u != tinyir_get_u32(in + 40)) {
        return 6;
    }
    if (tinyir_get_u32(in) != 0x43524954u || tinyir_get_u32(in + 4) != 1u) {
        return 7;
    }
    if (tinyir_get_u32(in + given - 4) != tinyir_crc32(in, given - 4u)) {
        return 9;
    }
    uint32_t differing = given - 48u != bytes;
    for (uint32_t i = 0; i < 32u; i++) {
        differing |= (uint32_t)(in[8u + i] ^ identity[i]);
    }
    return differing != 0u ? 8 : 0;
}

#endif
