"""The scripts of the console, read by a compiler.  Its modules come from npm as package-lock.json says (need_browser in scripts/common.sh);
SCEPD_BROWSER_MODULES is where they are."""

import hashlib
import os
import subprocess
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


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


if __name__ == "__main__":
    unittest.main()
