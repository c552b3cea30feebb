"""Evaluates a model where it runs: any server that speaks OpenAI's protocol."""
