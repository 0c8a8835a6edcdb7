"""Networks, weights, stages, losses and parameter groups."""
