"""A page to try a model on one's own pictures: the standard library serves it, nothing comes from elsewhere."""
