"""From a task to the Job that carries it out: pure, one file for each policy."""
