/* int.dense(1x4xi8, 3x4xi8, 3xi32) -> 1x3xi32
 * int.requantize(1x3xi32, 1xi32, 1xi32) -> 1x3xi8
 * schedule: split(i, 4, io, i4), split(i4, 2, ib, ia), reorder(ia, ib), split(o, 1, oo, oi)
 *   pack(weights, oo, io, ib, ia, oi), flatten(weights, 1), jam(oi), tensorize(ib, ia), share(), unroll(io)
 *   simplify(), collapse(), order(all) */
static TINYIR_KERNEL void dense_y(
    const int8_t *restrict x,
    const int8_t *restrict weights,
    const int32_t *restrict bias,
    int8_t *restrict y)
{
    for (int32_t oo = 0; oo < 3; oo++) {
        int32_t acc_0 = bias[oo];
        const int8_t *const x_at = &x[0];
        const uint32_t x_0_0 = tinyir_load32(x_at, 0);
        const int8_t *const weights_at = &weights[4 * oo];
        const uint32_t weights_1_0 = tinyir_load32(weights_at, 0);
        const uint32_t sxtb16 = tinyir_sxtb16(x_0_0);
        const uint32_t sxtb16_1 = tinyir_sxtb16(weights_1_0);
        const uint32_t sxtb16_ror8 = tinyir_sxtb16_ror8(x_0_0);
        acc_0 = tinyir_smlad(sxtb16, sxtb16_1, acc_0);
        const uint32_t sxtb16_ror8_1 = tinyir_sxtb16_ror8(weights_1_0);
        acc_0 = tinyir_smlad(sxtb16_ror8, sxtb16_ror8_1, acc_0);
        const int32_t lsl = tinyir_shift_left(acc_0, 18);
        const int32_t mac = tinyir_smmla(lsl, 1431655766, 3932160);
        const int32_t ssat = tinyir_ssat_asr(mac, 19);
        const int8_t requantize_0 = (int8_t)ssat;
        y[oo] = requantize_0;
    }
}

int8_t *dense_input0(void *arena) {
    return (void *)((uint8_t *)arena + 0);
}

int8_t *dense_output0(void *arena) {
    return (void *)((uint8_t *)arena + 4);
}

int dense_run(void *arena, const int8_t *input0, int8_t *output0) {
    if (arena == 0 || input0 == 0 || output0 == 0) {
        return 1;
    }
    if (((uintptr_t)arena & 7u) != 0u) {
        return 2;
    }
    uint8_t *const base = arena;
    (void)base;
    dense_y(input0, dense_w_packed, dense_c, output0);
    TINYIR_AFTER_OP(0);
    return 0;
}
