"""AutoLLM keeps language models good by training small deltas on new data and searching the weights that merge them best."""
