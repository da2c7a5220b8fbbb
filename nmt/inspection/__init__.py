"""What `nmt prepare` noted about a corpus, put together for people: numbers, and a page with pictures."""

from nmt.inspection.gathering import Inspection, Side, inspect
from nmt.inspection.page import to_page
from nmt.inspection.tree import to_tree

__all__ = ["Inspection", "Side", "inspect", "to_page", "to_tree"]
