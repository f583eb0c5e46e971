"""Text to tokens: the one encoding that preparation counts, training learns and evaluation scores."""
