"""Search: pure functions from a space and the trials so far to the next candidate."""
