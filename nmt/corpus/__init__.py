"""Parallel text: reading it, cleaning it, masking what a model should copy."""
