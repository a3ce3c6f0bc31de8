"""The site on this machine, for who writes an entry: built anew when a file of the leaderboards has changed."""

from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gpicl_bench.errors import GpiclBenchError, check_integer
from gpicl_bench.leaderboard.boards import read_boards
from gpicl_bench.leaderboard.site.folder import write_site
from gpicl_bench.leaderboard.site.pages import pages


class Preview:
    """A site in a folder of its own, which follows the files of the leaderboards."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder, self.site = folder, site
        self._built: object = None

    def update(self) -> None:
        """Build the site, unless it is what the files give."""
        files = sorted(self.folder.glob("*-v*/**/*"))
        found = [(str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file() and f.suffix != ".md"]
        if found != self._built:
            write_site(pages(read_boards(self.folder)), self.site)
            self._built = found


class _Handler(SimpleHTTPRequestHandler):
    """Looks whether the site is still right before it answers."""

    def __init__(self, preview: Preview, *args: Any, **options: Any) -> None:
        self._preview = preview
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        try:
            self._preview.update()
        except GpiclBenchError as error:
            self._refuse(f"error: {error}\n".encode())
        else:
            super().do_GET()

    def _refuse(self, text: bytes) -> None:
        self.send_response(500)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is said of a request."""


def serve(folder: Path, port: int) -> None:
    """Show the site of a folder of leaderboards until this is interrupted; only this machine can see it.

    Raises:
        InvalidArgument: the port is none.
        EntryError: an entry cannot be read.
        OSError: the port is taken.
    """
    check_integer("--port", port, 0, 2**16 - 1)
    with TemporaryDirectory() as name:
        preview = Preview(folder, Path(name))
        preview.update()
        with HTTPServer(("127.0.0.1", port), partial(_Handler, preview, directory=name)) as server:
            print(f"the site is at http://127.0.0.1:{server.server_port}/; ctrl-C ends it", flush=True)
            server.serve_forever()
