"""Run as a process of its own: fetch the small asset from a source into a home folder."""

import logging
import sys
from pathlib import Path

from emblem.models import catalog
from emblem.models.library import Library
from models.small_source import row

catalog.ROWS = (row(),)
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
print(Library(Path(sys.argv[1]), (sys.argv[2],)).fetch("small"), flush=True)
