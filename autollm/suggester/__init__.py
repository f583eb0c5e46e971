"""The suggesting process: keeps the optimiser out of the control loop, within a time budget, with a random fallback."""
