"""`python -m gpicl_bench`, and a command: `--help` names them."""

import sys

from gpicl_bench.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
