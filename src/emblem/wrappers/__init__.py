"""Embedders around embedders."""
