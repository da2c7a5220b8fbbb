"""What `nmt prepare` noted about a corpus, put together for people: numbers, and a page with plots."""

from nmt.inspection.gathering import Inspection, Side, inspect
from nmt.inspection.measures import inspection_tree

__all__ = ["Inspection", "Side", "inspect", "inspection_tree"]
