"""Commands of `autollm` that speak to a cluster."""
