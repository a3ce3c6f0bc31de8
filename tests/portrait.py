"""The picture of a report in docs/report.md: `python -m tests.portrait`, where there is a Chromium."""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import CHROMIUM
from tests.conftest import ROOT

WIDTH, HEIGHT = 1280, 1440


def main():
    if CHROMIUM is None:
        sys.exit("there is no Chromium on this machine")
    results = [ROOT / "baselines" / "results" / name for name in ("digits-tiny", "classical")]
    with tempfile.TemporaryDirectory() as name:
        page, picture = Path(name, "report.html"), Path(name, "report.png")
        subprocess.run([sys.executable, "-m", "gpicl_bench", "report", *results, "--output", page], check=True)
        browser = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={name}",
        ]
        subprocess.run(
            [*browser, f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}", page.as_uri()], check=True
        )
        few = Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        few.save(ROOT / "docs" / "report.png", optimize=True)


if __name__ == "__main__":
    main()
