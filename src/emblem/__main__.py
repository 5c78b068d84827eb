"""``python -m emblem`` is the command ``emblem``."""

from emblem.cli.main import run

if __name__ == "__main__":
    run()
