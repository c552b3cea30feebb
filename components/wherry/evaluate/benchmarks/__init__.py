"""From a model and the tasks of lm-evaluation-harness to scores with 95% intervals."""
