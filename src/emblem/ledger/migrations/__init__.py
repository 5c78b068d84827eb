"""How the tables of older releases become those of ``schema``. Run by ``upgrading``."""
