"""The operator: the same plan, applied to a Kubernetes cluster."""
