"""The graph IR: types, ops, text, verification, evaluation."""
