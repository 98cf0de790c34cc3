"""docs/ARCHITECTURE.md names files and functions: each must exist, and the function stand in the file named with it."""

import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FILE = re.compile(r"`([a-z0-9_]+(?:/[A-Za-z0-9_.]+)+\.(?:c|h|py))`")
IN_FILE = re.compile(r"`([a-z0-9_]+)`\s+in\s+`([^`]+\.(?:c|h))`")


def text():
    with open(os.path.join(ROOT, "docs", "ARCHITECTURE.md")) as f:
        return f.read()


class Architecture(unittest.TestCase):
    def test_files_exist(self):
        files = FILE.findall(text())
        self.assertGreater(len(files), 25)
        for name in files:
            self.assertTrue(os.path.exists(os.path.join(ROOT, name)), name)

    def test_functions_stand_where_the_page_says(self):
        pairs = IN_FILE.findall(text())
        self.assertGreater(len(pairs), 12)
        for function, name in pairs:
            with open(os.path.join(ROOT, name)) as f:
                self.assertRegex(f.read(), rf"\b{function}\b", name)


if __name__ == "__main__":
    unittest.main()
