"""What the operator knows of the cluster: small projections of objects, by uid and by owner."""
