"""Commands of `autollm` that need PyTorch."""
