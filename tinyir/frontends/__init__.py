"""Model files and IR text to modules."""
