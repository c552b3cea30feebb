"""The model server: KServe's Python server with llama.cpp behind it, in one process."""
