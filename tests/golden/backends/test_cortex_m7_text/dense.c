/* int.dense(1x4xi8, 3x4xi8, 3xi32) -> 1x3xi32
 * int.requantize(1x3xi32, 1xi32, 1xi32) -> 1x3xi8
 * schedule: split(i, 4, io, i4), split(i4, 2, ib, ia), reorder(ia, ib), tensorize(ib, ia), split(o, 3, oo, oi)
 *   jam(oi), simplify(), collapse(), share() */
static TINYIR_KERNEL void dense_y(
    const int8_t *x,
    const int8_t *restrict weights,
    const int32_t *restrict bias,
    int8_t *y)
{
    int32_t acc_0 = bias[0];
    int32_t acc_1 = bias[1];
    int32_t acc_2 = bias[2];
    const uint32_t x_0 = tinyir_load32(&x[0]);
    const uint32_t weights_1 = tinyir_load32(&weights[0]);
    const uint32_t sxtb16_0 = tinyir_sxtb16(x_0);
    acc_0 = tinyir_smlad(sxtb16_0, tinyir_sxtb16(weights_1), acc_0);
    const uint32_t weights_2 = tinyir_load32(&weights[4]);
    acc_1 = tinyir_smlad(sxtb16_0, tinyir_sxtb16(weights_2), acc_1);
    const uint32_t weights_3 = tinyir_load32(&weights[8]);
    acc_2 = tinyir_smlad(sxtb16_0, tinyir_sxtb16(weights_3), acc_2);
    const uint32_t sxtb16_ror8_1 = tinyir_sxtb16_ror8(x_0);
    acc_0 = tinyir_smlad(sxtb16_ror8_1, tinyir_sxtb16_ror8(weights_1), acc_0);
    acc_1 = tinyir_smlad(sxtb16_ror8_1, tinyir_sxtb16_ror8(weights_2), acc_1);
    acc_2 = tinyir_smlad(sxtb16_ror8_1, tinyir_sxtb16_ror8(weights_3), acc_2);
    const int8_t requantize_0 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_0, 18), 1431655766, 3932160), 19);
    const int8_t requantize_1 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_1, 18), 1431655766, 3932160), 19);
    const int8_t requantize_2 = (int8_t)tinyir_ssat_asr(tinyir_smmla(tinyir_shift_left(acc_2, 18), 1431655766, 3932160), 19);
    y[0] = requantize_0;
    y[1] = requantize_1;
    y[2] = requantize_2;
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
    dense_y(input0, dense_w, dense_c, output0);
    TINYIR_AFTER_OP(0);
    return 0;
}
