/* int.dense(1x4xi8, 3x4xi8, 3xi32) -> 1x3xi32
 * int.requantize(1x3xi32, 1xi32, 1xi32) -> 1x3xi8
 * schedule: split(i, 4, io, i4), split(i4, 2, ib, ia), reorder(ia, ib), split(o, 1, oo, oi)
 *   pack(weights, oo, io, ib, ia, oi), flatten(weights, 1), split(oo, 3, oor, oop), jam(oi), jam(oop)
 *   tensorize(ib, ia), share(oor), unroll(io), simplify(), collapse(), order(all) */
static TINYIR_KERNEL void dense_y(
    const int8_t *x,
    const int8_t *restrict weights,
    const int32_t *restrict bias,
    int8_t *y)
{
    int32_t acc_0_0 = bias[0];
    int32_t acc_0_1 = bias[1];
    int32_t acc_0_2 = bias[2];
    const int8_t *const x_at = &x[0];
    const uint32_t x_0_0 = tinyir_load32(x_at, 0);
    const int8_t *const weights_at = &weights[0];
    const uint32_t weights_1_0 = tinyir_load32(weights_at, 0);
    const uint32_t sxtb16_0_0 = tinyir_sxtb16(x_0_0);
    acc_0_0 = tinyir_smlad(sxtb16_0_0, tinyir_sxtb16(weights_1_0), acc_0_0);
    const uint32_t weights_2_0 = tinyir_load32(weights_at, 4);
    acc_0_1 = tinyir_smlad(sxtb16_0_0, tinyir_sxtb16(weights_2_0), acc_0_1);
    const uint32_t weights_3_0 = tinyir_load32(weights_at, 8);
    acc_0_2 = tinyir_smlad(sxtb16_0_0, tinyir_sxtb16(weights_3_0), acc_0_2);
    const uint32_t sxtb16_ror8_1_0 = tinyir_sxtb16_ror8(x_0_0);
    acc_0_0 = tinyir_smlad(sxtb16_ror8_1_0, tinyir_sxtb16_ror8(weights_1_0), acc_0_0);
    acc_0_1 = tinyir_smlad(sxtb16_ror8_1_0, tinyir_sxtb16_ror8(weights_2_0), acc_0_1);
    acc_0_2 = tinyir_smlad(sxtb16_ror8_1_0, tinyir_sxtb16_ror8(weights_3_0), acc_0_2);
    const int8_t requantize_0_0 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_0_0, 15), 1431655766, 491520), 16);
    const int8_t requantize_0_1 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_0_1, 15), 1431655766, 491520), 16);
    const int8_t requantize_0_2 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_0_2, 15), 1431655766, 491520), 16);
    y[0] = requantize_0_0;
    y[1] = requantize_0_1;
    y[2] = requantize_0_2;
}

int8_t *dense_input0(void *arena) {
    return (void *)((uint8_t *)arena + 0);
}

int8_t *dense_output0(void *arena) {
    return (void *)((uint8_t *)arena + 0);
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
