"""Tables with one row a feature: what the embedding layers stand on and the optimizers work for."""
