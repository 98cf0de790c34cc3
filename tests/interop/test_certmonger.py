"""certmonger with its scep-submit helper, unmodified from Debian: a session daemon on a bus of its own.  It always
uses GET."""

import os
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import AuthorityCase, need, run

SCEP_SUBMIT = "/usr/lib/certmonger/scep-submit"
SESSION = "/usr/lib/certmonger/certmonger-session"
# A bus that starts nothing by itself: Debian's would start a second certmonger.
BUS = """<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"""


class Certmonger(AuthorityCase):

    def setUp(self):
        super().setUp()
        need(SCEP_SUBMIT)
        with open(self.path("bus.conf"), "w") as f:
            f.write(BUS)
        self.bus = subprocess.Popen(["dbus-daemon", "--config-file", self.path("bus.conf"), "--nofork", "--print-address"],
                                    stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, self.bus)
        self.env = dict(os.environ, DBUS_SESSION_BUS_ADDRESS=self.bus.stdout.readline().strip(), HOME=self.dir)
        for folder in ("requests", "cas", "local", "config", "tmp"):
            os.mkdir(self.path(folder))
        self.env.update(CERTMONGER_REQUESTS_DIR=self.path("requests"), CERTMONGER_CAS_DIR=self.path("cas"),
                        CERTMONGER_LOCAL_CA_DIR=self.path("local"), CERTMONGER_CONFIG_DIR=self.path("config"),
                        CERTMONGER_TMPDIR=self.path("tmp"))
        self.log = open(self.path("certmonger.log"), "wb")
        self.daemon = subprocess.Popen([SESSION, "-s", "-n", "-B"], env=self.env, stdout=self.log, stderr=self.log)
        self.addCleanup(self.log.close)
        self.addCleanup(self.end, self.daemon)
        self.wait_for(lambda: self.getcert("list-cas", check=False).returncode == 0, "certmonger to answer")

    def end(self, process):
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()

    def wait_for(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.2)
        with open(self.path("certmonger.log")) as f:
            raise AssertionError(f"waited in vain for {what}\n{f.read()[-3000:]}\n{self.a.log_text()[-3000:]}")

    def getcert(self, verb, *args, check=True):
        return run("getcert", verb, "-s", *args, check=check, env=self.env)

    def add_ca(self, endpoint):
        self.getcert("add-scep-ca", "-c", "test", "-u", self.a.url + endpoint, "-N", self.a.ca)
        # The daemon fetches GetCACaps and GetCACert by itself before it can use the CA.
        self.wait_for(lambda: "scep" in self.getcert("list-cas", "-c", "test", check=False).stdout.lower(), "the CA")

    def request(self, name, *more):
        self.getcert("request", "-c", "test", "-I", name, "-k", self.path(name + ".key"), "-f", self.path(name + ".pem"),
                     "-N", f"CN={name}", *more)

    def state(self, name):
        m = re.search(r"status: (\S+)", self.getcert("list", "-i", name).stdout)
        return m.group(1) if m else ""

    def reach(self, name, *states):
        self.wait_for(lambda: self.state(name) in states, f"{name} to be {states} (is {self.state(name)})")

    def test_profile_script(self):
        """What `scepctl profile new certmonger` writes, run as it stands."""
        self.a.ctl("policy", "new", "host", "--subject", "CN=%devicename%", "--san", "DNS:%host%", "--endpoint", "/scep")
        self.a.ctl("device", "new", "host-1", "--host", "host-1.example.org")
        self.a.ctl("policy", "assign", "host", "host-1")
        script, out = self.path("host.sh"), self.path("host")
        self.a.ctl("profile", "new", "certmonger", "--device", "host-1", "-o", script)
        r = run("sh", script, out, check=False, env={**self.env, "CERTMONGER_BUS": "-s"})
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        name = re.search(r"getcert list -i (\S+)", r.stdout).group(1)
        self.reach(name, "MONITORING")
        text = self.assert_good_certificate(os.path.join(out, "certificate.pem"), "CN=host-1")
        self.assertIn("DNS:host-1.example.org", text)

    def test_capabilities_and_ca_certificates(self):
        caps = run(SCEP_SUBMIT, "-u", self.a.url + "/scep", "-c").stdout
        self.assertIn("SHA-256", caps)
        certs = run(SCEP_SUBMIT, "-u", self.a.url + "/scep", "-C").stdout
        self.assertEqual(certs.count("BEGIN CERTIFICATE"), 2)
        with open(self.a.ra) as f:
            self.assertTrue(certs.startswith(f.read().strip()[:200]), "the RA certificate comes first")

    def test_enrol_and_resubmit(self):
        self.add_ca("/scep")
        self.request("monitor", "-D", "monitor.example.org", "-L", self.a.challenge())
        self.reach("monitor", "MONITORING")
        text = self.assert_good_certificate(self.path("monitor.pem"), "CN=monitor")
        self.assertIn("DNS:monitor.example.org", text)
        first = self.serial(self.path("monitor.pem"))
        # Renewal with the same key and transactionID, signed by the certificate: a new one, the old challenge unused.
        self.getcert("resubmit", "-i", "monitor")
        self.wait_for(lambda: self.serial(self.path("monitor.pem")) != first, "the renewed certificate")
        self.assert_good_certificate(self.path("monitor.pem"), "CN=monitor")

    def test_rekey(self):
        self.add_ca("/scep")
        self.request("rekeyed", "-L", self.a.challenge())
        self.reach("rekeyed", "MONITORING")
        first = self.serial(self.path("rekeyed.pem"))
        self.getcert("rekey", "-i", "rekeyed")
        self.wait_for(lambda: self.serial(self.path("rekeyed.pem")) != first, "the certificate of the new key")
        self.assert_good_certificate(self.path("rekeyed.pem"), "CN=rekeyed")

    def test_wrong_challenge_is_rejected(self):
        self.add_ca("/scep")
        self.request("liar", "-L", "AAAA-BBBB-CCCC-DDDD")
        self.reach("liar", "CA_REJECTED")

    def test_pending_then_approved(self):
        self.add_ca("/scep/manual")
        self.request("waiter")
        self.wait_for(lambda: [r for r in self.a.json("request", "list") if r["subject"] == "CN=waiter"], "the request")
        waiting = [r for r in self.a.json("request", "list") if r["subject"] == "CN=waiter"]
        self.a.ctl("request", "approve", waiting[0]["id"])
        self.getcert("refresh", "-i", "waiter")
        self.reach("waiter", "MONITORING")
        self.assert_good_certificate(self.path("waiter.pem"), "CN=waiter")


if __name__ == "__main__":
    unittest.main()
