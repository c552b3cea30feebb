"""From a model and sets of prompts to how often it refuses, gives in, leaks and recites."""
