"""Keys, and the space that each name serves."""
