/* The arena, and one run of the program on the buffers that were planned inside it. */
#include "harness.h"

_Alignas(TINYIR_ARENA_ALIGN) __attribute__((section(".arena"))) uint8_t tinyir_arena[TINYIR_ARENA_BYTES];

#ifdef TINYIR_PARAMS
TINYIR_PARAMS tinyir_params;
#endif

/* Markers of the region that a profiler counts. */
__attribute__((noinline)) void bench_begin(void)
{
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void bench_end(void)
{
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) int tinyir_bench(void)
{
    TINYIR_PLACES(tinyir_arena)
    bench_begin();
    const int status = TINYIR_CALL(tinyir_arena);
    bench_end();
    return status;
}

__attribute__((weak)) int main(void)
{
    return tinyir_bench();
}
