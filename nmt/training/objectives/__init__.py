"""Training objectives: what a model's features cost; each is a file, and a function in it, of the name in settings."""
