"""The Kubernetes API as the operator uses it: a port of a few verbs and its adapter on the official client."""
