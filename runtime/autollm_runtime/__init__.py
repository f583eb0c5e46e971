"""What runs inside a worker: prepare, train, evaluate, publish. PyTorch lives only here."""
