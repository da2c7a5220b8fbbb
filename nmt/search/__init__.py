"""Greedy and beam search, written against a protocol so that a table can stand in for a model."""
