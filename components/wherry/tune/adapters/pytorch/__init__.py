"""Learning with torch, transformers and PEFT."""
