/* Start-up of a Cortex-M7: vector table, floating-point unit, .data and .bss, then main(). */
#include <stdint.h>

extern uint32_t tinyir_stack_top[], tinyir_data_load[], tinyir_data_start[], tinyir_data_end[];
extern uint32_t tinyir_bss_start[], tinyir_bss_end[];

int main(void);
void Reset_Handler(void);
void Fault_Handler(void);
void tinyir_stop(void);

/* Where execution ends: the emulator makes functions return to this address. */
__attribute__((used, noinline)) void tinyir_stop(void)
{
    for (;;) {
        __asm__ volatile("");
    }
}

__attribute__((weak)) void Fault_Handler(void)
{
    tinyir_stop();
}

void Reset_Handler(void)
{
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xE000ED88u;
    *cpacr |= 0xFu << 20; /* coprocessors 10 and 11: the FPU */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    const uint32_t *from = tinyir_data_load;
    for (uint32_t *to = tinyir_data_start; to < tinyir_data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = tinyir_bss_start; to < tinyir_bss_end; to++) {
        *to = 0u;
    }
    (void)main();
    tinyir_stop();
}

typedef void (*vector)(void);

/* The first entry is the initial stack pointer; the others are those of the Armv7-M manual, 0 where reserved. */
__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    (vector)tinyir_stack_top, Reset_Handler, Fault_Handler, Fault_Handler, Fault_Handler, Fault_Handler,
    Fault_Handler, 0, 0, 0, 0, Fault_Handler, Fault_Handler, 0, Fault_Handler, Fault_Handler};
