"""A real Kubernetes for the tests: one taken from KUBECONFIG, or a control plane, with a real node where asked for, started here."""
