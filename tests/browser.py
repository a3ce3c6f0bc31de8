"""A real browser on pages of a folder, driven by a script in a page around them: their own policy stays in force."""

import json
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_AROUND = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<iframe id="shown" style="width:WIDTHpx;height:900px;border:0" src="/PAGE"></iframe>
<script>
const shown = document.getElementById("shown");
const loaded = () => new Promise((resolve) => shown.addEventListener("load", resolve, { once: true }));
const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
(async () => {
  let said;
  try {
    await loaded();
    said = await (async () => { SCRIPT })();
  } catch (error) {
    said = { error: String(error), stack: error.stack };
  }
  await fetch("/said", { method: "POST", body: JSON.stringify(said) });
})();
</script>"""


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path != "/around":
            return super().do_GET()
        raw = self.server.around.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        return self.wfile.write(raw)

    def do_POST(self):
        self.server.said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

    def log_message(self, format, *args):
        pass


def drive(folder, page, script, profile, width=1200):
    """Run an async script beside a page: `shown` is its frame, `loaded()` waits for the next page in it.

    Returns what the script returns, the addresses that were asked for, and what stood on the console.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        server.asked, server.said, server.done = [], None, threading.Event()
        server.around = _AROUND.replace("WIDTH", str(width)).replace("PAGE", page).replace("SCRIPT", script)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
        ]
        command += ["--enable-logging=stderr", "--v=0", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        command += [f"--window-size={width + 40},1000", f"http://127.0.0.1:{server.server_port}/around"]
        with (profile.with_suffix(".log")).open("w+") as log:
            browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
            try:
                finished = server.done.wait(timeout=90)
            finally:
                browser.terminate()
                browser.wait(timeout=30)
                server.shutdown()
            log.seek(0)
            lines = log.read().splitlines()
    assert finished, lines[-20:]
    return server.said, server.asked, [line for line in lines if "CONSOLE" in line]
