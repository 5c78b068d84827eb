"""One reader of ``config.json`` for each family of encoders; ``models/encoder.py`` chooses."""
