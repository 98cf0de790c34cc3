"""Revocations, a thousand a second, while OCSP clients ask as fast as answers come: none is told what was not true any more when it
asked.  The client (revload.c) revokes by itself, from another process than the daemon, and knows what was acknowledged when.

    REVOCATIONS=600000 meson test -C build --timeout-multiplier 100 --verbose revocation-load     # ten minutes and more"""

import os
import re
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import BUILD, Authority, free_port, need, run
from relying import Program, wait_for

REVLOAD = os.path.join(BUILD, "tests", "revocation", "revload")
SEED = os.path.join(BUILD, "tests", "scepd", "seed_store")
REVOCATIONS = int(os.environ.get("REVOCATIONS", 4000))


class Proxy(Program):
    """nginx as a cache in front of the responder, which believes what the headers say."""

    CONF = """daemon off; {user} worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
    scgi_temp_path {dir}/s;
    proxy_cache_path {dir}/cache keys_zone=ocsp:1m;
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; proxy_cache ocsp; }} }}
}}
"""

    def __init__(self, case):
        self.dir = tempfile.mkdtemp(prefix="scepd-proxy-")
        port, conf = free_port(), os.path.join(self.dir, "conf")
        with open(conf, "w") as f:
            f.write(self.CONF.format(dir=self.dir, port=port, url=case.a.url, user="user root;" if os.geteuid() == 0 else ""))
        super().__init__(case, [need("/usr/sbin/nginx"), "-p", self.dir, "-e", self.dir + "/error.log", "-c", conf], port)
        self.wait_until(lambda: run("curl", "-s", f"http://127.0.0.1:{port}/scep?operation=GetCACaps", check=False).returncode == 0)


class Load(unittest.TestCase):

    def setUp(self):
        self.a = Authority("p256")
        self.addCleanup(self.a.close)
        self.a.start()

    def seed(self, revocations):
        """As many as can be revoked: every tenth of the seeded ones is already."""
        run(SEED, self.a.home + "/store", self.a.ca, str((revocations + 200) * 10 // 9), timeout=600)

    def revload(self, revocations, *more, port=None):
        """(exit code, its words)"""
        r = run(REVLOAD, "--port", port or self.a.port, "--path", "/ocsp/demo", "--store", self.a.home + "/store", "--ca", self.a.ca,
                "--revocations", revocations, *more, check=False, timeout=120 + revocations / 20)
        print(r.stdout, r.stderr, flush=True)
        self.assertIn(r.returncode, (0, 1), r.stderr)
        return r.returncode, {k: float(v) for k, v in (w.split("=") for w in r.stdout.splitlines()[-1].split()[1:])}

    def nothing_stale(self, revocations, *more):
        self.seed(revocations)
        code, said = self.revload(revocations, *more)
        self.assertEqual((code, said["stale"], said["wrong"], said["failures"], said["later"]), (0, 0, 0, 0, 0))
        self.assertEqual(said["revocations"], revocations)
        for what in ("good", "revoked", "nonces", "verified"):
            self.assertGreater(said[what], 0, what)
        # The list says the same when the hurry is over, certificate by certificate: OCSP was just asked for each.
        wanted = self.serials("revoked") | self.serials("held")
        wait_for("the CRL lists the same", lambda: self.listed() == wanted)

    def serials(self, state):
        return set(self.a.ctl("cert", "list", "--ids", "--limit", "0", "--state", state).stdout.split())

    def listed(self):
        text = run("openssl", "crl", "-in", self.a.crl(), "-noout", "-text", timeout=300).stdout
        return {serial.lower() for serial in re.findall(r"Serial Number: ([0-9A-F]+)", text)}

    def test_many_in_one_transaction(self):
        self.nothing_stale(REVOCATIONS)

    def test_each_in_its_own_transaction(self):
        self.nothing_stale(REVOCATIONS // 8, "--single")

    def test_scepctl_in_bulk(self):
        """By the command: all of a list, and not one of them is good when it has returned."""
        self.seed(300)
        serials = self.a.ctl("cert", "list", "--ids", "--limit", "0").stdout.split()
        revoked = self.serials("revoked")
        ids = [s for s in serials if s not in revoked][:300]
        self.ask_all(ids, "good")
        self.a.ctl("cert", "revoke", "--from", "-", "--yes", "--expect", len(ids), "-q", input="\n".join(ids))
        self.ask_all(ids, "revoked")

    def ask_all(self, serials, status):
        for first in range(0, len(serials), 50):
            some = serials[first:first + 50]
            r = run("openssl", "ocsp", "-issuer", self.a.ca, "-CAfile", self.a.ca, "-url", self.a.url + "/ocsp", *(
                word for s in some for word in ("-serial", "0x" + s)))
            self.assertEqual(r.stdout.count(f": {status}\n"), len(some), r.stdout)

    def test_killed_when_it_was_acknowledged(self):
        """Daemon, keeper and signer end by -9 at once after the command has returned."""
        self.seed(20)
        active = sorted(self.serials("active"))
        numbers = [self.number()]
        for serial in active[:4]:
            self.ask_all([serial], "good")
            self.a.ctl("cert", "revoke", serial, "--yes", "-q")
            self.a.kill_all()
            self.a.start()
            self.ask_all([serial], "revoked")
            wait_for("the CRL lists it", lambda s=serial: s in self.listed())
            numbers.append(self.number())
        self.assertEqual(numbers, sorted(set(numbers)), "each list has a higher number")

    def number(self):
        return int(run("openssl", "crl", "-in", self.a.crl(), "-noout", "-crlnumber").stdout.strip().split("=0x")[1], 16)

    def test_a_cache_between_is_noticed(self):
        """What the client proves it would not if it could not fail: with a cache between, answers are stale."""
        self.seed(1000)
        code, said = self.revload(1000, port=Proxy(self).port)
        self.assertEqual((code, said["wrong"], said["failures"]), (1, 0, 0))
        self.assertGreater(said["stale"], 0)
        self.assertGreater(said["stale_ms"], 0)


if __name__ == "__main__":
    unittest.main()
