"""Training: objectives, optimisers, the loop, validation and checkpoints."""
