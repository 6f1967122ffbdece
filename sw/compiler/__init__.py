"""From matrices and layers to instructions."""
