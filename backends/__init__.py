"""Backends: a module to {path: text}."""
