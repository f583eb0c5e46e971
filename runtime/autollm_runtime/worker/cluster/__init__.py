"""The worker's ports on the Kubernetes API: it reads its own kinds in its own namespace and writes their status, nothing else."""
