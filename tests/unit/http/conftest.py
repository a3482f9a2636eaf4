"""Lets the tests of this folder import `http_fakes` and `http_servers`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
