"""tinyir: a graph compiler for microcontrollers."""

__version__ = "0.1.0"
