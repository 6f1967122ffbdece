"""Named end-to-end models."""
