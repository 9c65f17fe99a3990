"""Passes: IR to IR, each in its own file, named like its class."""
