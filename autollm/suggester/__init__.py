"""The suggesting process: keeps the optimiser out of the control loop, within a time budget, with a random fallback."""

from autollm.suggester.suggester import Suggester

__all__ = ["Suggester"]
