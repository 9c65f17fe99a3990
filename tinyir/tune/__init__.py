"""Schedules found by search: candidates for every kernel, measured in whole programs on the emulated Cortex-M7.

space     a kernel                        -> candidates: schedules that recipes make within varied policies
measure   a program, a schedule for each  -> cycles and code of each kernel
log       trials                          -> lines of a file, so that a search can go on later
choose    measured candidates, limits     -> one candidate for each kernel
search    a model                         -> the schedules of its kernels
"""
