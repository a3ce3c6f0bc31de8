"""The generated pages of the documentation: `python -m tests.pages` writes docs/suites/.

A picture is drawn where its images are at hand, without a download; others stay as they are.
"""

from tests.pages import suites


def main():
    suites.write()


if __name__ == "__main__":
    main()
