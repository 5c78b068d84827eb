"""The HTTP side: bytes to values and back. Nothing is computed here."""
