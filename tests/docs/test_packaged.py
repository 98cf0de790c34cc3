"""The packages bring each page of docs/ that is for those who run scepd, with its pictures."""

import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DOCS = os.path.join(ROOT, "docs")
DEVELOPERS = {"ARCHITECTURE.md", "CONVENTIONS.md", "FUZZING.md"}  # how it is made


def packaged():
    with open(os.path.join(ROOT, "debian", "scepd.docs")) as f:
        return {line.strip() for line in f if line.startswith("docs/")}


class Packaged(unittest.TestCase):
    def test_every_page(self):
        """Pages of the manual come by meson install."""
        pages = {n for n in os.listdir(DOCS) if not re.search(r"\.[1-8]$", n)} - DEVELOPERS
        self.assertEqual(packaged(), {"docs/" + n for n in pages})

    def test_what_they_show(self):
        for page in sorted(p for p in packaged() if p.endswith(".md")):
            with open(os.path.join(ROOT, page)) as f:
                for shown in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", f.read()):
                    with self.subTest(page=page, shown=shown):
                        self.assertTrue(os.path.isfile(os.path.join(DOCS, shown)))
                        self.assertIn("docs/" + shown.split("/")[0], packaged())


if __name__ == "__main__":
    unittest.main()
