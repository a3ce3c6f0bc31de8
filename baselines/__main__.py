"""`python -m baselines`: meta-train, draw, and make the reference results."""

import sys

from baselines.commands import main

sys.exit(main(sys.argv[1:]))
