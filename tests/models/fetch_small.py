"""Run as a process of its own: fetch the small asset from the hub into a home folder."""

import logging
import sys
from pathlib import Path

from emblem.models import catalog
from emblem.models.library import Library
from models.small_source import row

catalog.ROWS = (row(),)
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
print(Library(Path(sys.argv[1]), ("hub",)).fetch("small"), flush=True)
