"""The console in a real browser (Debian's chromium, driven by playwright-core), before a real daemon and with a real SCEP client.

    test_browser.py                          what CI runs
    SCEPD_SCREENSHOTS=docs/console test_browser.py   makes the pictures of docs/CONSOLE.md as well

The modules come from npm as package-lock.json says (need_browser in scripts/common.sh); SCEPD_BROWSER_MODULES is where they are."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from harness import Authority, free_port, need, SCEPCTL  # noqa: E402


def modules():
    """Where need_browser has put them."""
    given = os.environ.get("SCEPD_BROWSER_MODULES")
    if given:
        return given
    with open(os.path.join(HERE, "package-lock.json"), "rb") as f:
        name = hashlib.sha256(f.read()).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "scepd", "browser-" + name)


class Browser(unittest.TestCase):
    def test_types(self):
        """The compiler of TypeScript reads the modules with their JSDoc: no unknown name, no unused import, no wrong argument."""
        program = os.path.join(modules(), "node_modules", "typescript", "bin", "tsc")
        r = subprocess.run(["node", program, "-p", os.path.join(HERE, "tsconfig.json")], capture_output=True, text=True, timeout=300)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)

    def test_everything(self):
        self.drive("browser.mjs")

    def test_states(self):
        self.drive("states.mjs")

    def test_leaving(self):
        self.drive("leaving.mjs")

    def drive(self, steps):
        for program in ("node", "chromium", "openssl"):
            need(program)
        self.assertTrue(os.path.isdir(os.path.join(modules(), "node_modules")), "run ./check, which installs the modules")
        port = free_port()
        a = Authority(init_args=("--api-port", port))
        self.addCleanup(a.close)
        a.start()
        work = tempfile.mkdtemp(prefix="scepd-browser-")
        self.addCleanup(shutil.rmtree, work, True)
        with open(os.path.join(work, "world.json"), "w") as f:
            json.dump({"scepctl": SCEPCTL, "conf": a.conf, "api": f"http://127.0.0.1:{port}", "scep": a.url, "work": work,
                       "pid": a.process.pid}, f)
        env = {**os.environ, "SCEPD_BROWSER_MODULES": modules(), "SCEPD_BROWSER_WORLD": os.path.join(work, "world.json")}
        r = subprocess.run(["node", os.path.join(HERE, steps)], env=env, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=600)
        print(r.stdout)
        self.assertEqual(r.returncode, 0, r.stdout[-4000:] + a.log_text()[-4000:])
        self.assertEqual(a.stop(), 0)


if __name__ == "__main__":
    unittest.main()
