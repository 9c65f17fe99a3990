"""What runs the compiled program: cross compilers, the emulator, the host."""
