"""scepctl explain on a running daemon: who did what, what stopped it, what to do."""

import base64
import json
import os
import re
import socket
import sys
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, Authority, run

DONE, USAGE, NOT_FOUND = 0, 2, 3


class Explain(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.a = Authority(key="p256").start()
        cls.keys = 0

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def enrol(self, subject, challenge, path="/scep", check=False, url=None):
        Explain.keys += 1
        base = os.path.join(self.a.home, f"device-{self.keys}")
        return run(SCEPCTL, "client", "enrol", (url or self.a.url) + path, "--subject", subject, "--key", base + ".key",
                   "--out", base + ".pem", "--challenge-file", "-", check=check, input=challenge), base

    def explain(self, what, *args, code=DONE):
        r = run(SCEPCTL, "-c", self.a.conf, "explain", *args, "--", what, check=False)
        self.assertEqual(r.returncode, code, f"{what}: {r.stdout}{r.stderr}")
        return r

    def known(self, what, until):
        """What was refused is written within a second."""
        for _ in range(100):
            r = run(SCEPCTL, "-c", self.a.conf, "explain", "--json", "--", what, check=False)
            if r.returncode == DONE:
                o = json.loads(r.stdout)
                if until(o):
                    return o
            time.sleep(0.1)
        self.fail(f"{what} does not become known:\n{r.stdout}{r.stderr}")

    def get(self, path):
        try:
            with urllib.request.urlopen(self.a.url + path, timeout=10) as r:
                return r.status
        except urllib.error.HTTPError as e:
            return e.code

    def test_a_challenge_used_twice(self):
        secret = self.a.challenge()
        self.enrol("CN=ipad-0113", secret, check=True)
        refused, _ = self.enrol("CN=ipad-0113", secret)
        self.assertIn("challenge.used", refused.stderr)
        o = self.known("ipad-0113", lambda o: o["matched"] == 2)
        self.assertEqual(o["kind"], "subject")
        self.assertEqual(o["value"], "CN=ipad-0113")
        newest, first = o["attempts"]
        self.assertEqual([newest["result"], first["result"]], ["refused", "issued"])
        self.assertEqual(newest["reason"], "challenge.used")
        self.assertEqual(newest["fail_info"], "badRequest")
        self.assertEqual(newest["checks"][-1]["state"], "stopped")
        self.assertEqual(newest["checks"][-1]["check"], "challenge")
        self.assertIn(first["transaction"], newest["detail"])
        self.assertEqual({c["state"] for c in first["checks"]}, {"passed"})
        self.assertEqual(o["reason"]["code"], "challenge.used")
        self.assertIn("--subject CN=ipad-0113", o["reason"]["fix"])
        self.assertGreaterEqual(o["same_reason_24h"], 1)
        text = self.explain("ipad-0113").stdout
        for line in ("Holds:  certificate " + first["serial"], "CN=ipad-0113: refused", "1 more before it",
                     "  ok    message: CMS, SHA-256, signature good", "  STOP  challenge: " + newest["challenge"],
                     "  --    not reached: signing, storing", "Sent:   HTTP 200, CertRep FAILURE badRequest; Windows has 0x80094011 for it",
                     "Why:    A profile was installed twice", "Do:     scepctl challenge new --subject CN=ipad-0113",
                     "Shows:  iPhone", "Same:   challenge.used", "Before:"):
            self.assertIn(line, text)
        # by everything that names it
        self.assertIn("CN=ipad-0113", self.explain(first["transaction"]).stdout)
        self.assertIn("CN=ipad-0113", self.explain(newest["transaction"][:12].lower()).stdout)
        self.assertIn("1 more", self.explain(newest["challenge"]).stdout)
        serial = first["serial"]
        self.assertIn("issued", self.explain(serial[:10]).stdout)
        self.assertIn("issued", self.explain(":".join(serial[i:i + 2] for i in range(0, 32, 2)).upper()).stdout)
        self.assertIn("challenge.used", self.explain("127.0.0.1", "--limit", "1000").stdout)
        # the password is nowhere
        with open(os.path.join(self.a.home, "store", "data.mdb"), "rb") as f:
            data = f.read()
        for form in (secret, secret.replace("-", ""), base64.b64encode(secret.encode()).decode()):
            self.assertNotIn(form.encode(), data)

    def ctl(self, *args):
        return run(SCEPCTL, "-c", self.a.conf, *args)

    def policy_device(self, name, *more):
        """A device with a policy of its own, and a challenge for it."""
        device = self.ctl("device", "new", name, *more).stdout.strip()
        policy = self.ctl("policy", "new", "of-" + name, "--subject", "CN=%devicename%", "--endpoint", "/scep").stdout.strip()
        self.ctl("policy", "assign", policy, device)
        return device, policy, self.ctl("challenge", "new", "--device", device).stdout.strip()

    def test_a_device_is_never_led_out_of_its_policy(self):
        device, policy, secret = self.policy_device("phone-7")
        _, base = self.enrol("CN=phone-7", secret, check=True)
        serial = self.known("phone-7", lambda o: o["attempts"])["attempts"][0]["serial"]
        self.assertIn(f"Holds:  certificate {serial}", self.explain("phone-7").stdout)
        self.ctl("cert", "revoke", serial, "--reason", "key-compromise", "--yes")
        # before the device comes again: who took it away, and why, by whatever it is asked for
        whole = json.loads(self.ctl("cert", "show", serial, "--json").stdout)
        self.assertEqual(whole["revocation_reason"], "key-compromise")
        self.assertTrue(whole["revoked_by"])
        for what in ("phone-7", device, serial):
            text = self.explain(what).stdout
            self.assertNotIn("Holds:", text)
            self.assertRegex(text, f"Held:   certificate {serial}, CN=phone-7, revoked since .* by "
                             f"{re.escape(whole['revoked_by'])}, key-compromise;")
        history = [json.loads(line) for line in self.ctl("device", "history", device, "--json").stdout.splitlines()]
        revoked = [e for e in history if e["what"] == "device.certificate"]
        self.assertEqual([e["who"] for e in revoked], [whole["revoked_by"]])
        self.assertIn(f"{serial} revoked, key-compromise", revoked[0]["detail"])
        renew = run(SCEPCTL, "client", "renew", self.a.url + "/scep", "--cert", base + ".pem", "--key", base + ".key",
                    "--new-key", base + ".new.key", "--out", base + ".new.pem", check=False)
        again = run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", "CN=phone-7", "--key", base + ".key", "--out",
                    base + ".2.pem", "--challenge-file", "-", check=False, input=secret)
        used, _ = self.enrol("CN=phone-7", secret)
        for refused, code in ((renew, "renewal.signer_revoked"), (again, "transaction.revoked"),
                              (used, "challenge.used")):
            self.assertIn(code, refused.stderr)
            o = self.known("phone-7", lambda o, c=code: c in [a.get("reason") for a in o["attempts"]])
            attempt = [a for a in o["attempts"] if a.get("reason") == code][0]
            self.assertEqual((attempt["device"], attempt["policy"]), (device, policy), code)
        self.assertIn(f"--device {device} --policy {policy}", o["reason"]["fix"])
        self.assertNotIn("--subject", o["reason"]["fix"])
        self.assertIn("(key-compromise)", [a for a in o["attempts"] if a.get("reason") == "renewal.signer_revoked"][0]["detail"])

    def test_a_repeated_request_is_looked_at_once(self):
        """What was passed does not stand among what was not reached."""
        _, base = self.enrol("CN=twice", self.a.challenge(), check=True)
        serial = self.known("CN=twice", lambda o: o["attempts"])["attempts"][0]["serial"]
        self.ctl("cert", "revoke", serial, "--yes")
        run(SCEPCTL, "client", "enrol", self.a.url + "/scep", "--subject", "CN=twice", "--key", base + ".key", "--out",
            base + ".2.pem", "--challenge-file", "-", check=False, input=self.a.challenge())
        o = self.known("CN=twice", lambda o: o["matched"] == 2)
        self.assertEqual(o["reason"]["code"], "transaction.revoked")
        checks = [(c["check"], c["state"]) for c in o["attempts"][0]["checks"]]
        self.assertEqual(checks[-3:], [("transaction", "passed"), ("signer", "passed"), ("repeated request", "stopped")])
        text = self.explain("CN=twice").stdout
        self.assertIn("ok    signer: self-signed with the device's own key", text)
        self.assertIn("not reached: template, key, challenge, signing, storing", text)
        self.assertIn("(unspecified)", text)

    def test_a_device_by_its_name(self):
        """Also where no subject has it, and before it has tried anything."""
        device = self.ctl("device", "new", "shelf-3").stdout.strip()
        r = self.explain("shelf-3", "--json")
        self.assertEqual((json.loads(r.stdout)["kind"], json.loads(r.stdout)["value"]), ("device", device))
        r = self.explain("Shelf-3")
        self.assertIn("no attempts of it are known", r.stdout)
        self.assertIn("last two seconds", r.stderr)

    def test_a_stranger_with_the_name_of_a_device(self):
        """A wrong password names no device, but the subject does."""
        device, policy, _ = self.policy_device("phone-8")
        self.enrol("CN=phone-8", "nothing like it")
        o = self.known("CN=phone-8", lambda o: o["attempts"])
        self.assertEqual(o["reason"]["code"], "challenge.unknown")
        self.assertNotIn("device", o["attempts"][0])
        self.assertIn(f"scepctl challenge new --device {device} --policy {policy}", o["reason"]["fix"])
        self.assertIn(f"--device {device}", self.explain("CN=phone-8").stdout)
        # who makes one for the subject all the same is warned, and what came of it is named when the device goes
        made = self.ctl("challenge", "new", "--subject", "CN=phone-8")
        self.assertIn(f"challenge new --device {device}", made.stderr)
        self.assertNotIn("warning", self.ctl("challenge", "new", "--subject", "CN=phone-9").stderr)
        self.enrol("CN=phone-8", made.stdout.strip(), check=True)
        serial = self.known("CN=phone-8", lambda o: o["attempts"][0]["result"] == "issued")["attempts"][0]["serial"]
        self.ctl("group", "new", "phones")
        self.ctl("group", "add", "phones", device)
        self.ctl("policy", "assign", policy, "phones")
        # as long as it keeps the policy by another way it may stay
        for verb in (("group", "drop", "phones", device, "--dry-run"), ("group", "remove", "phones", "--dry-run"),
                     ("policy", "unassign", policy, device, "--dry-run"), ("policy", "unassign", policy, device, "--yes")):
            self.assertNotIn("cert revoke", self.ctl(*verb).stderr, verb)
        for verb in (("group", "drop", "phones", device, "--dry-run"), ("group", "remove", "phones", "--dry-run"),
                     ("policy", "unassign", policy, "phones", "--dry-run"), ("policy", "remove", policy, "--dry-run"),
                     ("device", "retire", device, "--dry-run"), ("device", "retire", device, "--yes")):
            told = self.ctl(*verb).stderr
            self.assertIn(f"certificate {serial}", told, verb)
            self.assertIn(f"scepctl cert revoke {serial[:16]}", told, verb)

    def test_each_of_several_devices_names_what_stays_good(self):
        names = [f"rack-{i}" for i in range(6)]
        devices = [self.policy_device(name)[0] for name in names]
        for name in names:
            self.enrol("CN=" + name, self.ctl("challenge", "new", "--subject", "CN=" + name).stdout.strip(), check=True)
        told = self.ctl("device", "retire", *devices, "--dry-run").stderr
        for name in names:
            self.assertIn(f"CN={name}, stays good", told)

    def test_renewal_is_known_by_its_signer(self):
        _, base = self.enrol("CN=renews", self.a.challenge(), check=True)
        run(SCEPCTL, "client", "renew", self.a.url + "/scep", "--cert", base + ".pem", "--key", base + ".key", "--new-key",
            base + ".new.key", "--out", base + ".new.pem")
        o = self.known("CN=renews", lambda o: o["matched"] == 2)
        renewed, issued = o["attempts"]
        self.assertEqual(renewed["result"], "renewed")
        self.assertEqual(renewed["signer"], issued["serial"])
        self.assertIn("renewal", [c["check"] for c in renewed["checks"]])
        by_serial = json.loads(self.explain(issued["serial"], "--json").stdout)
        self.assertEqual(by_serial["kind"], "certificate")
        self.assertEqual([a["result"] for a in by_serial["attempts"]], ["renewed", "issued"])

    def test_what_waits_says_how_to_approve(self):
        self.enrol("CN=waits", "", path="/scep/manual")
        o = self.known("CN=waits", lambda o: o["attempts"])
        request = o["attempts"][0]["request"]
        self.assertEqual(o["attempts"][0]["result"], "pending")
        self.assertIn(f"Do:     scepctl request approve {request}", self.explain(request).stdout)
        self.assertIn("request " + request, self.explain(request).stdout)

    def test_what_was_no_scep(self):
        self.assertEqual(self.get("/scepp?operation=GetCACaps"), 404)
        self.assertEqual(self.get("/scep?operation=Hello%1b%5b31m"), 400)
        self.assertEqual(self.get("/scep?operation=PKIOperation&message=AAAA"), 400)
        with socket.create_connection(("127.0.0.1", self.a.port)) as s:
            s.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
            self.assertIn(b"plain HTTP", s.makefile("rb").read())
        with socket.create_connection(("127.0.0.1", self.a.port)) as s:
            s.sendall(b"POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            self.assertIn(b" 400 ", s.recv(100))
        with socket.create_connection(("127.0.0.1", self.a.port)) as s:
            s.sendall(b"POST /crl/demo.crl HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            self.assertIn(b" 405 ", s.recv(100))
        with socket.create_connection(("127.0.0.1", self.a.port)) as s:
            s.sendall(b"POST /scep HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
            self.assertIn(b" 413 ", s.recv(100))
        for code in ("http.wrong_path", "http.operation", "http.tls", "http.malformed", "http.method", "http.too_long"):
            o = self.known(code, lambda o: o["attempts"])
            self.assertEqual(o["kind"], "reason")
            refused = [a for a in o["attempts"] if a["result"] == "refused"]
            self.assertEqual(refused[0]["checks"][-1]["check"], "HTTP request", code)
        o = self.known("http.operation", lambda o: o["attempts"])
        self.assertIn("\\x1b", o["attempts"][0]["detail"])
        text = self.explain("127.0.0.1", "--limit", "100").stdout
        self.assertNotIn("\x1b", text)

    def test_wrong_path_names_the_nearest(self):
        self.get("/sceb?operation=GetCACert")
        self.known("http.wrong_path", lambda o: any(a["endpoint"] == "/sceb" for a in o["attempts"]))
        self.assertIn("/sceb", self.explain("http.wrong_path", "--limit", "100").stdout)

    def test_hostile_names(self):
        self.enrol("CN=a';touch x;$(id)", "nothing like it", path="/scep/static")
        o = self.known("touch x", lambda o: o["attempts"])
        self.assertEqual(o["attempts"][0]["reason"], "challenge.unknown")
        self.assertIn("--subject 'CN=a'\\''\\;touch x\\;$(id)'", self.explain("touch x").stdout)
        with socket.create_connection(("127.0.0.1", self.a.port)) as s:
            s.sendall(b"GET /hostile%1b%e2%80%ae HTTP/1.1\r\nHost: x\r\nUser-Agent: evil\x1b[31m\xe2\x80\xaetxt" + b"z" * 3000 +
                      b"\r\n\r\n")
            self.assertIn(b" 404 ", s.recv(100))
        o = self.known("http.wrong_path", lambda o: any("hostile" in a["endpoint"] for a in o["attempts"]))
        hostile = [a for a in o["attempts"] if "hostile" in a["endpoint"]][0]
        self.assertLess(len(hostile["agent"]), 160)
        for text in (hostile["agent"], hostile["endpoint"], self.explain("127.0.0.1", "--limit", "1000").stdout):
            for bad in ("\x1b", "\u202e"):
                self.assertNotIn(bad, text)

    def test_a_code_explains_itself_without_a_store(self):
        env = dict(os.environ, SCEPD_HOME="/nonexistent")
        env.pop("SCEPD_CONF", None)
        r = run(SCEPCTL, "explain", "key.small", env=env)
        self.assertIn("key.small: ", r.stdout)
        self.assertIn("Keysize 2048", r.stdout)
        o = json.loads(run(SCEPCTL, "explain", "key.small", "--json", env=env).stdout)
        self.assertEqual(o["code"], "key.small")

    def test_nothing_is_known(self):
        r = self.explain("10.20.4.9", code=NOT_FOUND)
        self.assertIn("nothing from 10.20.4.9 has arrived", r.stderr)
        self.assertIn("never.arrived", r.stderr)
        self.assertIn("scepctl probe " + self.a.url, r.stderr)
        r = self.explain("chalenge.used", code=NOT_FOUND)
        self.assertIn('did you mean "challenge.used"', r.stderr)
        o = json.loads(self.explain("2001:db8::1", "--json", code=NOT_FOUND).stderr)
        self.assertIn("never.arrived", o["detail"])
        self.explain("", code=USAGE)

    def test_right_after_the_device_failed(self):
        """Three times, for a machine may be too busy once."""
        found = []
        for n in range(3):
            self.enrol(f"CN=at-once-{n}", "nothing like it")
            found.append(run(SCEPCTL, "-c", self.a.conf, "explain", "--", f"at-once-{n}", check=False).returncode)
        self.assertIn(DONE, found)

    def test_several_things(self):
        for n in ("many-1", "many-2"):
            self.enrol("CN=" + n, "nothing like it")
        self.known("many-2", lambda o: o["attempts"])
        r = self.explain("many-", code=NOT_FOUND)
        self.assertIn("CN=many-1", r.stderr)
        self.assertIn("CN=many-2", r.stderr)
        self.assertIn("2 things", r.stderr)
        self.explain("many-1")  # whole: no other

    def test_a_restart_forgets_nothing(self):
        self.enrol("CN=before", "nothing like it")
        self.a.stop()
        self.a.start()
        self.assertEqual(json.loads(self.explain("CN=before", "--json").stdout)["attempts"][0]["reason"],
                         "challenge.unknown")

    def test_flood_is_counted(self):
        for _ in range(60):
            self.get("/flood")
        self.a.stop()  # ends the minute
        self.a.start()
        o = json.loads(self.explain("http.wrong_path", "--limit", "1000", "--json").stdout)
        flood = [a for a in o["attempts"] if a["endpoint"] == "/flood"]
        self.assertLessEqual(len(flood), 21)
        self.assertEqual(flood[0]["result"], "counted")
        self.assertGreaterEqual(flood[0]["more"], 40)


if __name__ == "__main__":
    unittest.main()
