"""Other registries that follow the store; one file each."""
