"""The grammar of the built-in phrasebook, and the text that it says: `python -m tools.phrasebook` writes it anew."""
