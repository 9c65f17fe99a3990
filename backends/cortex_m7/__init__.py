"""Loop IR to C11 for the Cortex-M7; the same text runs on the host."""
