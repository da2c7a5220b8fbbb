"""Prepared data: built from text once, then read memory-mapped by every training run."""

from nmt.prepared.store import PreparedData, ValidationPairs

__all__ = ["PreparedData", "ValidationPairs"]
