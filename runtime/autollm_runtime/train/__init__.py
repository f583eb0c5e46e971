"""Training: one chunk and one method become one delta."""
