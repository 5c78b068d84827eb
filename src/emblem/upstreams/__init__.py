"""Somebody else's embeddings APIs, each an Embedder."""
