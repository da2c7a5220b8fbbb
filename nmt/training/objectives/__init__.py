"""Training objectives: what a model's features cost it; each that `training.objective` names is a file of that name."""
