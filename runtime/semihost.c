/* A main() for QEMU: inputs and outputs are files of the host, by Arm semihosting.
 *
 * tinyir_inputs.bin holds the input tensors of any number of runs, one after the other. For each run,
 * tinyir_outputs.bin gets the status (int32) and the output tensors. Without the first file there is one run, on a
 * fixed pattern, and nothing is written; the exit status is that of the run. */
#include <stdbool.h>
#include <stdint.h>

#include "harness.h"

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE0 = 0x04, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT = 0x20 };
enum { MODE_READ = 1, MODE_WRITE = 5 }; /* "rb", "wb" */

void Fault_Handler(void);

static uint32_t semihost(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t block[3] = {(uint32_t)name, mode, length};
    return (int32_t)semihost(SYS_OPEN, block);
}

static void leave(uint32_t status)
{
    const uint32_t block[2] = {0x20026u, status}; /* ADP_Stopped_ApplicationExit */
    (void)semihost(SYS_EXIT, block);
}

static void close_file(int32_t file)
{
    const uint32_t block[1] = {(uint32_t)file};
    (void)semihost(SYS_CLOSE, block);
}

/* True when all bytes were transferred. */
static bool transfer(uint32_t operation, int32_t file, const void *at, uint32_t bytes)
{
    const uint32_t block[3] = {(uint32_t)file, (uint32_t)at, bytes};
    return semihost(operation, block) == 0u;
}

static void fill(void *at, uint32_t bytes)
{
    uint8_t *const to = at;
    for (uint32_t i = 0u; i < bytes; i++) {
        to[i] = (uint8_t)(i * 37u + 11u - 128u);
    }
}

static int run_on_pattern(void)
{
#define FILL(pointer, bytes) fill(pointer, bytes);
    TINYIR_INPUTS(FILL, tinyir_arena)
    return tinyir_bench();
}

static void run_on_file(int32_t inputs, int32_t outputs)
{
    for (;;) {
        bool more = true;
#define READ(pointer, bytes) more = more && transfer(SYS_READ, inputs, pointer, bytes);
        TINYIR_INPUTS(READ, tinyir_arena)
        if (!more) {
            return;
        }
        const int32_t status = tinyir_bench();
        (void)transfer(SYS_WRITE, outputs, &status, sizeof status);
#define WRITE(pointer, bytes) (void)transfer(SYS_WRITE, outputs, pointer, bytes);
        TINYIR_OUTPUTS(WRITE, tinyir_arena)
    }
}

void Fault_Handler(void)
{
    (void)semihost(SYS_WRITE0, "the program took a fault\n");
    leave(125u);
}

int main(void)
{
    const int32_t inputs = open_file("tinyir_inputs.bin", 17u, MODE_READ);
    if (inputs < 0) {
        leave((uint32_t)run_on_pattern());
    }
    const int32_t outputs = open_file("tinyir_outputs.bin", 18u, MODE_WRITE);
    run_on_file(inputs, outputs);
    close_file(inputs);
    close_file(outputs);
    leave(0u);
    return 0;
}
