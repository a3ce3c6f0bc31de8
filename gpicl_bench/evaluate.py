"""`python -m gpicl_bench.evaluate my_model.py`: the command. The function is `gpicl_bench.evaluate`."""

import sys

if __name__ not in ("__main__", "__mp_main__"):
    # Importing this module would put it in the place of the function of the same name.
    raise ImportError("gpicl_bench.evaluate is a function: `from gpicl_bench import evaluate`")

if __name__ == "__main__":
    from gpicl_bench.commands import main_evaluate

    sys.exit(main_evaluate(sys.argv[1:]))
