"""From a base and an adapter to one GGUF file, checked against the model it was made from."""
