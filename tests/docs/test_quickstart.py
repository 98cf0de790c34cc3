"""quickstart as it stands, but for packages and build, which are there already: what it says of itself, the lines that it has for another
terminal, and which URL a demo tells its devices."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import BUILD, SCEPCTL, free_port, run

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="scepd quickstart-")  # with a space, as people have them
        self.addCleanup(shutil.rmtree, self.dir)
        os.mkdir(self.path("bin"))
        os.mkdir(self.path("build"))
        os.mkdir(self.path("scripts"))
        os.symlink(os.path.abspath(os.path.join(BUILD, "scepd")), self.path("build/scepd"))
        shutil.copy(os.path.join(ROOT, "quickstart"), self.dir)
        shutil.copy(os.path.join(ROOT, "scripts", "common.sh"), self.path("scripts"))
        with open(self.path("scripts/common.sh"), "a") as f:
            f.write("need_packages() { echo there; }\nneed_build() { :; }\n")
        self.port = free_port()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def program(self, name, text):
        with open(os.open(self.path("bin", name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755), "w") as f:
            f.write("#!/bin/sh\n" + text)

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SCEPD_") and k != "PATH"}
        port = {"SCEPD_PORT": str(self.port), "SCEPD_ADMIN_PORT": "0", "SCEPD_API_PORT": "0", "SCEPD_DEMO_KEY": "p256"}
        return {k: v for k, v in (kept | {"PATH": self.path("bin") + ":" + os.environ["PATH"]} | port | more).items() if v is not None}

    def quickstart(self, check=True, **more):
        return run("bash", self.path("quickstart"), "--setup-only", env=self.environment(**more), check=check)

    def line(self, said, label):
        return re.search(rf"^{label}  +(.*)$", said, re.M)[1]

    def urls(self, home):
        with open(os.path.join(home, "scepd.conf")) as f:
            return set(re.findall(r'url = "(http://[^/"]*)', f.read()))

    def test_lines_for_another_terminal(self):
        """They are pasted one after the other; nothing else was done there before."""
        out = self.path("out")
        with open(out, "w") as f:
            p = subprocess.Popen(["bash", self.path("quickstart")], stdout=f, stderr=f, stdin=subprocess.DEVNULL,
                                 env=self.environment(SCEPD_API_PORT=str(free_port())))
        self.addCleanup(lambda: (p.kill(), p.wait()))
        deadline = time.monotonic() + 300
        while True:
            with open(out) as f:
                said = f.read()
            self.assertIsNone(p.poll(), said)
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
                break
            except OSError:
                self.assertLess(time.monotonic(), deadline, said)
                time.sleep(0.05)
        url = f"http://127.0.0.1:{self.port}"
        self.assertEqual(self.line(said, "SCEP URL"), url + "/scep")
        self.assertRegex(said, r"phones +cannot use it.*\n.* SCEPD_BIND=0\.0\.0\.0 \./quickstart\n")
        self.assertRegex(self.line(said, "Console"), r"^http://127\.0\.0\.1:\d+/ui/#")
        pasted = [self.line(said, label) for label in ("Shell", "Try it", "See it", "Clients")]
        elsewhere = {"PATH": os.environ["PATH"], "HOME": self.dir}
        r = run("bash", "-euo", "pipefail", "-c", "\n".join(pasted) + "\nscepctl challenge new\nscepctl console", env=elsewhere, cwd="/", timeout=300)
        self.assertIn("issued: ", r.stderr)
        self.assertIn("CN=my-device", r.stdout)
        run("openssl", "verify", "-CAfile", self.path("demo/ca/ca.pem"), self.path("demo/my-device.pem"))
        r = self.quickstart(check=False, SCEPD_HOME=self.path("other"))
        self.assertEqual(r.returncode, 0, "only what starts needs the port")
        busy = run("bash", self.path("quickstart"), env=self.environment(), check=False)
        self.assertIn("something answers", busy.stderr)
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(60), 0)

    def test_a_url_for_phones(self):
        """Bound to all addresses: where the default route leads out, else a full name that is more than this machine's, else none."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.connect(("192.0.2.1", 9))
                said = self.quickstart(SCEPD_BIND="0.0.0.0", SCEPD_HOME=self.path("real")).stdout
                self.assertEqual(self.line(said, "SCEP URL"), f"http://{s.getsockname()[0]}:{self.port}/scep")
                self.assertEqual(self.urls(self.path("real")), {f"http://{s.getsockname()[0]}:{self.port}"})
            except OSError:
                print("no route leads out of here", flush=True)
        self.program("hostname", "[ \"$1\" = -f ] && echo vm.example.org || echo vm\n")
        for home, python, resolved, want in (
            ("route", "echo 192.0.2.77", "192.0.2.9", "192.0.2.77"),
            ("name", "exit 1", "192.0.2.9", "vm.example.org"),
            ("none", "exit 1", "127.0.1.1", "127.0.0.1"),
        ):
            self.program("python3", python + "\n")
            self.program("getent", f"echo '{resolved}       STREAM vm.example.org'\n")
            for bind in ("0.0.0.0", "::"):
                with self.subTest(home, bind=bind):
                    said = self.quickstart(SCEPD_BIND=bind, SCEPD_HOME=self.path(home + bind)).stdout
                    self.assertEqual(self.line(said, "SCEP URL"), f"http://{want}:{self.port}/scep")
                    self.assertEqual(self.urls(self.path(home + bind)), {f"http://{want}:{self.port}"})
                    self.assertRegex(said, r"phones +find it there" if want != "127.0.0.1" else r"phones +cannot use it.*\n.*SCEPD_URL=http://ADDRESS")
                    # What is tried here goes to this machine, whatever others call it.
                    here = "127.0.0.1" if bind == "0.0.0.0" else r"\[::1\]"
                    self.assertRegex(self.line(said, "Try it"), rf" http://{here}:{self.port}/scep ")

    def test_the_url_may_be_given(self):
        said = self.quickstart(SCEPD_BIND="0.0.0.0", SCEPD_URL="http://scep.example.org/scep").stdout
        self.assertEqual(self.line(said, "SCEP URL"), "http://scep.example.org/scep")
        self.assertRegex(said, r"phones +find it there")
        self.assertEqual(self.urls(self.path("demo")), {"http://scep.example.org"})
        said = self.quickstart(SCEPD_URL="http://scep.example.org", SCEPD_HOME=self.path("front")).stdout
        self.assertRegex(said, r"phones +reach it through a proxy only")
        self.assertNotEqual(self.quickstart(SCEPD_URL="scep.example.org", SCEPD_HOME=self.path("bad"), check=False).returncode, 0)

    def test_what_is_kept_is_told(self):
        """A second run elsewhere: profiles go on with the first one's URL, and the lines to try go where it listens now."""
        first, second = f"http://127.0.0.1:{self.port}", free_port()
        self.assertNotIn("  kept  ", self.quickstart().stdout)
        for same in ({}, {"SCEPD_PORT": None}, {"SCEPD_BIND": "localhost"}, {"SCEPD_URL": first + "/"}):
            self.assertNotIn("  kept  ", self.quickstart(**same).stdout, same)
        said = self.quickstart(SCEPD_PORT=str(second)).stdout
        self.assertEqual(self.line(said, "SCEP URL"), first + "/scep")
        self.assertRegex(said, rf"  kept +.* not http://127\.0\.0\.1:{second};\n.*rm -r ")
        self.assertIn(f" http://127.0.0.1:{second}/scep ", self.line(said, "Try it"))
        self.assertIn(f"--listen 127.0.0.1:{second}", self.line(said, "Start"))
        # The port that is not given again is the one that it has.
        said = self.quickstart(SCEPD_PORT=None, SCEPD_BIND="127.0.0.2").stdout
        self.assertIn(f"--listen 127.0.0.2:{self.port}", self.line(said, "Start"))
        self.assertRegex(said, r"  kept ")
        self.assertRegex(self.quickstart(SCEPD_URL="http://scep.example.org").stdout, r"  kept +.* not http://scep\.example\.org;")
        self.assertEqual(self.urls(self.path("demo")), {first})
        self.assertEqual(run(SCEPCTL, "-c", self.path("demo/scepd.conf"), "config", "show", "url").stdout.strip(), first)


if __name__ == "__main__":
    unittest.main(verbosity=2)
