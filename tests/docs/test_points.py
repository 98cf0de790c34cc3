"""docs/scep.md, docs/certificates.md, docs/HTTP.md, docs/revocation.md and docs/people.md name, for each point, code and tests: the numbers are
complete, the functions stand in the files named, and the tests named are registered in a file that the build knows."""

import glob
import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NAMED = re.compile(r"`([A-Za-z0-9_]+)`\s+in\s+`([^`]+)`")
LEFT = re.compile(r"\*Left\*")
PAGES = {"scep.md": [str(i) for i in range(1, 98)], "certificates.md": [f"C{i}" for i in range(1, 71)],
         "HTTP.md": [f"H{i}" for i in [*range(1, 25), 36, 37, *range(25, 33), 41, *range(33, 36), *range(38, 41), 42]]}


def read(*path):
    with open(os.path.join(ROOT, *path)) as f:
        return f.read()


def rows(page):
    """The rows of all tables whose first cell is a point: lists of cells."""
    for line in read("docs", page).splitlines():
        cells = [c.strip() for c in line.strip()[1:-1].split("|")]
        if line.startswith("|") and re.fullmatch(r"[CHPV]?\d+", cells[0]):
            yield cells


def is_defined(function, text):
    """A definition, or a member of a table: at the start of a line behind its type, or an entry of a macro list."""
    return re.search(rf"^(?:[a-z][\w *]*\b)?{function}\(", text, re.M) or re.search(rf"\b{function}\b[^;]*=\s*\{{", text)


def runs(test, text, name):
    if name.endswith(".py"):
        return re.search(rf"^    def {test}\(self", text, re.M)
    # defined, and named once more where the suite is put together
    return re.search(rf"START_TEST\({test}\)", text) and re.search(rf"\b{test}\b", text.rpartition("END_TEST")[2])


def is_built(name):
    folder, file = os.path.split(name)
    build = read(folder, "meson.build")
    stem = file.rsplit(".", 1)[0]
    # or by a neighbour, which has what it needs
    elsewhere = (read(b) for b in glob.glob("tests/*/meson.build", root_dir=ROOT))
    return stem in build or f"'{stem.removeprefix('test_')}'" in build or any(
        f"'../{os.path.basename(folder)}/{file}'" in b for b in elsewhere)


class Points(unittest.TestCase):
    def test_every_point_once(self):
        for page, numbers in PAGES.items():
            self.assertEqual([r[0] for r in rows(page)], numbers, page)

    def test_code_and_tests_exist(self):
        for page in PAGES:
            for cells in rows(page):
                code, test = NAMED.findall(cells[-2]), NAMED.findall(cells[-1])
                with self.subTest(page=page, point=cells[0]):
                    if LEFT.search(cells[-3]):
                        self.assertEqual((code, test), ([], []), "left, and yet there is something")
                        continue
                    self.assertTrue(code and test, "neither code nor tests, nor a reason")
                    for function, name in code:
                        self.assertFalse(name.startswith("tests/"), name)
                        self.assertTrue(is_defined(function, read(name)), f"{function} is not in {name}")
                    for function, name in test:
                        self.assertTrue(name.startswith("tests/"), name)
                        self.assertTrue(runs(function, read(name), name), f"{function} is no test that runs in {name}")
                        self.assertTrue(is_built(name), f"{name} is in no meson.build")

    def test_what_people_find(self):
        """P1 to P40: what is left or partly so says why; every test named is there."""
        found = [c for c in rows("people.md")]
        self.assertEqual([c[0] for c in found], [f"P{i}" for i in range(1, 41)])
        for number, _, shown in found:
            with self.subTest(point=number):
                self.assertTrue(shown)
                for names, file in re.findall(r"((?:`\w+`,? ?)+)in `(tests/[^`]+)`", shown):
                    self.assertTrue(is_built(file), f"{file} is in no meson.build")
                    for test in re.findall(r"`(\w+)`", names):
                        self.assertTrue(runs(test, read(file), file), f"{test} is no test that runs in {file}")

    def test_each_rule_of_certificates_has_its_fault(self):
        """C1 to C43: the code says the number in its refusal, and the table of faults has a case of it."""
        faults = read("tests", "ca", "test_lint.c")
        code = "".join(read("ca", name) for name in os.listdir(os.path.join(ROOT, "ca")) if name.startswith("lint"))
        for n in range(1, 44):
            with self.subTest(rule=n):
                self.assertRegex(faults, rf'"C{n}[":]')
                self.assertRegex(code, rf'"C{n}[":]')


if __name__ == "__main__":
    unittest.main()
