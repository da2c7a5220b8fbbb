"""Assets of the toolkit, read with importlib.resources; no code."""
