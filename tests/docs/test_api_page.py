"""docs/openapi.json is what the program says, and docs/API.md has a row for each of its calls, with their role and what they do.

    test_api_page.py --write    writes both anew."""

import json
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
DUMP = os.environ.get("SCEPD_OPENAPI_DUMP", os.path.join(ROOT, "build", "tests", "docs", "openapi_dump"))
COPY = os.path.join(ROOT, "docs", "openapi.json")
PAGE = os.path.join(ROOT, "docs", "API.md")
HEAD = "| call | least role | what |\n| --- | --- | --- |\n"


def told():
    return subprocess.run([DUMP], capture_output=True, text=True, check=True).stdout


def rows(document):
    out = []
    for path, methods in document["paths"].items():
        for method, o in methods.items():
            out.append(f"| `{method.upper()} {path[len('/api/v1'):]}` | {o['x-role']} | {o['summary']} |")
    return out


def table(page):
    return re.search(re.escape(HEAD) + r"((?:\|.*\n)+)", page).group(1).splitlines()


class Page(unittest.TestCase):
    maxDiff = None

    def test_copy(self):
        with open(COPY) as f:
            self.assertEqual(f.read(), told(), "tests/docs/test_api_page.py --write")

    def test_table(self):
        with open(PAGE) as f:
            self.assertEqual(table(f.read()), rows(json.loads(told())), "tests/docs/test_api_page.py --write")


def write():
    text = told()
    with open(COPY, "w") as f:
        f.write(text)
    with open(PAGE) as f:
        page = f.read()
    page = page.replace(HEAD + "\n".join(table(page)) + "\n", HEAD + "\n".join(rows(json.loads(text))) + "\n")
    with open(PAGE, "w") as f:
        f.write(page)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    else:
        unittest.main(verbosity=2)
