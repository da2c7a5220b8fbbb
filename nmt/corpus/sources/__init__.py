"""Corpora of every format: each is read as blocks that are cheap to make, and decoded wherever a block is sent."""
