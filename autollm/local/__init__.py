"""The local engine: a run on one machine, objects in a folder, work in processes."""
