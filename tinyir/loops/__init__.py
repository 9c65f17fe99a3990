"""The loop IR: kernels as loop nests, their lowering and their schedules."""
