/* Included before the program when it is built for this machine: lets host.py look at the arena after each op. */
#ifndef TINYIR_HOST_HOOK_H
#define TINYIR_HOST_HOOK_H

extern void (*tinyir_after_op)(int index);

#define TINYIR_AFTER_OP(index)      \
    do {                            \
        if (tinyir_after_op) {      \
            tinyir_after_op(index); \
        }                           \
    } while (0)

#endif
