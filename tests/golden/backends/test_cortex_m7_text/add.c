/* int.widen(1x6xi8) -> 1x6xi32
 * int.rescale(1x6xi32) -> 1x6xi32
 * int.widen(1x6xi8) -> 1x6xi32
 * int.rescale(1x6xi32) -> 1x6xi32
 * int.add(1x6xi32, 1x6xi32) -> 1x6xi32
 * int.requantize(1x6xi32, 1xi32, 1xi32) -> 1x6xi8
 * schedule: flatten(x, 0), flatten(x1, 0), flatten(y, 0) */
static TINYIR_KERNEL void add_sum(
    const int8_t *x,
    const int8_t *restrict x1,
    int8_t *y)
{
    TINYIR_ROLLED for (int32_t i1 = 0; i1 < 6; i1++) {
        const int8_t requantize = (int8_t)tinyir_ssat_asr(((int32_t)x1[i1] * 419430) + (((int32_t)x[i1] * 838861) + 5767167), 20);
        y[i1] = requantize;
    }
}

int8_t *add_input0(void *arena) {
    return (void *)((uint8_t *)arena + 0);
}

int8_t *add_input1(void *arena) {
    return (void *)((uint8_t *)arena + 8);
}

int8_t *add_output0(void *arena) {
    return (void *)((uint8_t *)arena + 0);
}

int add_run(void *arena, const int8_t *input0, const int8_t *input1, int8_t *output0) {
    if (arena == 0 || input0 == 0 || input1 == 0 || output0 == 0) {
        return 1;
    }
    if (((uintptr_t)arena & 7u) != 0u) {
        return 2;
    }
    uint8_t *const base = arena;
    (void)base;
    add_sum(input0, input1, output0);
    TINYIR_AFTER_OP(0);
    return 0;
}
