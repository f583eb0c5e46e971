"""The base model: found by URI, checked, digested, loaded, and the number format it runs best in."""
