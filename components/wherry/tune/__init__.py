"""Tunes a model: a validated data set and a base model in, a LoRA adapter out."""
