"""`python -m gpicl_bench list|show|evaluate`."""

import sys

from gpicl_bench.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
