"""The version of libevent's package that carries its security fixes of 2026: required where it is built and installed, and
here now."""

import os
import re
import subprocess
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read(*path):
    with open(os.path.join(ROOT, *path)) as f:
        return f.read()


def wanted():
    return re.search(r"^LIBEVENT_VERSION=(\S+)$", read("scripts", "common.sh"), re.M).group(1)


class Libevent(unittest.TestCase):
    def test_packages_require_it(self):
        """To build and to run."""
        self.assertRegex(wanted(), r"^2\.1\.12-stable-8\+deb12u[1-9]")
        required = re.findall(r"libevent-(\S+) \(>= ([^)]+)\)", read("debian", "control"))
        self.assertEqual(required, [("dev", wanted()), ("2.1-7", wanted())])

    def test_installed_one_has_it(self):
        have = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "libevent-2.1-7"], capture_output=True, text=True,
                              check=True).stdout
        r = subprocess.run(["dpkg", "--compare-versions", have, "ge", wanted()], check=False)
        self.assertEqual(r.returncode, 0, f"libevent-2.1-7 is {have}, {wanted()} is needed")


if __name__ == "__main__":
    unittest.main()
