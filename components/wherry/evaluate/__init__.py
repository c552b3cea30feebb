"""From a model and a held-out split to scores with 95% intervals."""
