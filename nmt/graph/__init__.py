"""A recipe of stages: what each takes, gives and does, which are done, and which come first."""
