"""One file an outside library; nothing here is imported until it is used."""
