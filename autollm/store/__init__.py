"""Artifacts by URI: one small port, an adapter for each scheme."""
