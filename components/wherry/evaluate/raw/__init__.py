"""A model below its chat template: tokens in, probabilities and continuations out."""
