"""Learning with torch, transformers and PEFT."""

import os

# How long a waiting thread spins before it sleeps: short, for an idle machine and a busy one.
# docs/adr/0003 has the figures. libgomp reads it when torch loads it: so it stands here, before
# any module of this package can import torch.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
