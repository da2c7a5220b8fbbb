"""Prepared data: built from text once, then read memory-mapped by every training run."""

from nmt.prepared.store import PreparedData, PreparedText, ValidationSet, open_data

__all__ = ["PreparedData", "PreparedText", "ValidationSet", "open_data"]
