"""Prepared data: built from text once, then read memory-mapped by every training run."""

from nmt.prepared.store import PreparedData, PreparedText, ValidationSet, holds_text

__all__ = ["PreparedData", "PreparedText", "ValidationSet", "holds_text"]
