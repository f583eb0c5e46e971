"""The metrics: pure functions from what a model computed to a value in 0…1, higher is better."""
