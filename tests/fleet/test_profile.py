"""`scepctl profile new`: files that the readers they are for can read, and real clients that enrol with what they say."""

import base64
import hashlib
import hmac
import json
import os
import plistlib
import re
import struct
import subprocess
import sys
import unittest
import urllib.request
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from elsewhere import Elsewhere, secret_file
from harness import SCEPCTL, Authority, AuthorityCase, free_port, need, run

SYNCML = "{SYNCML:SYNCML1.2}"


def signer(home):
    """A certificate that signs profiles, with its key."""
    key, cert = os.path.join(home, "profiles.key"), os.path.join(home, "profiles.pem")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=Profiles", "-days",
        "30", "-addext", "extendedKeyUsage=emailProtection")
    os.chmod(key, 0o600)
    return cert, key


class Case(AuthorityCase):
    def setUp(self):
        super().setUp()
        self.name = "dev-" + re.sub("[^a-z0-9]", "-", self._testMethodName.lower())

    def policy(self, name, *more, subject="CN=%devicename%,OU=Wi-Fi,O=Example", san="DNS:%host%"):
        self.a.ctl("policy", "new", name, "--subject", subject, "--san", san, "--endpoint", "/scep", *more)

    def device(self, policy, *more, name=None):
        name = name or self.name
        self.a.ctl("device", "new", name, "--host", name + ".example.org", "--serial-number", "SN-" + name, *more)
        self.a.ctl("policy", "assign", policy, name)
        return name

    def profile(self, kind, *more, device=None, policy=None, check=True, raw=False):
        given = [*(["--device", device] if device else []), *(["--policy", policy] if policy else [])]
        r = subprocess.run([SCEPCTL, "-c", self.a.conf, "profile", "new", kind, *given, *more], capture_output=True, timeout=60)
        if check and r.returncode != 0:
            raise AssertionError(r.stderr.decode())
        return r if raw else r.stdout

    def enrol(self, url, subject, san, challenge, bits=2048, check=True, more=()):
        return run(SCEPCTL, "client", "enrol", url, "--subject", subject, *(["--san", san] if san else []), "--key-type",
                   f"rsa{bits}", "--key", self.path("key"), "--out", self.path("cert.pem"), "--challenge-file", "-", *more,
                   input=challenge + "\n", check=check)


class Files(Case):
    """What is in the files, and that what they say gets a certificate."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.policy(cls, "wifi", "--retries", "5", "--retry-delay", "90s", "--key-usage", "both")

    def scep_payload(self, plist):
        payloads = plistlib.loads(plist)["PayloadContent"]
        self.assertEqual([p["PayloadType"] for p in payloads], ["com.apple.security.root", "com.apple.security.scep"])
        return payloads[1]["PayloadContent"], payloads[0]["PayloadContent"]

    def test_apple_is_enrolled_with(self):
        d = self.device("wifi")
        plist = self.profile("apple", device=d)
        scep, root = self.scep_payload(plist)
        with open(self.path("root.der"), "wb") as f:
            f.write(root)
        pem = self.to_pem(self.path("root.der"), self.path("root.pem"))
        sha1 = run("openssl", "x509", "-in", pem, "-noout", "-fingerprint", "-sha1").stdout.strip().split("=")[1]
        self.assertEqual(scep["CAFingerprint"], bytes.fromhex(sha1.replace(":", "")))
        self.assertEqual(scep["Subject"], [[["CN", d]], [["OU", "Wi-Fi"]], [["O", "Example"]]])
        self.assertEqual(scep["SubjectAltName"], {"dNSName": d + ".example.org"})
        self.assertEqual((scep["Keysize"], scep["Key Type"], scep["Key Usage"], scep["Retries"], scep["RetryDelay"]),
                         (2048, "RSA", 5, 5, 90))
        subject = ",".join(f"{k}={v}" for rdn in scep["Subject"] for k, v in rdn)
        self.enrol(scep["URL"], subject, "DNS:" + scep["SubjectAltName"]["dNSName"], scep["Challenge"], scep["Keysize"])
        self.assertIn(f"DNS:{d}.example.org", self.assert_good_certificate(self.path("cert.pem"), "CN=" + d))
        shown = json.loads(self.a.ctl("device", "show", d, "--json").stdout)
        self.assertIn(self.serial(self.path("cert.pem")), json.dumps(shown).lower())

    def test_again_replaces(self):
        d = self.device("wifi")
        one, two = (plistlib.loads(self.profile("apple", device=d)) for _ in range(2))
        self.assertNotEqual(one["PayloadContent"][1]["PayloadContent"]["Challenge"],
                            two["PayloadContent"][1]["PayloadContent"]["Challenge"])
        for p in (one, two):
            del p["PayloadContent"][1]["PayloadContent"]["Challenge"]
        self.assertEqual(one, two)

    def test_for_this_device_only(self):
        d = self.device("wifi")
        scep, _ = self.scep_payload(self.profile("apple", device=d))
        r = self.enrol(scep["URL"], "CN=other,OU=Wi-Fi,O=Example", None, scep["Challenge"], check=False)
        self.assertIn("challenge.bound", r.stderr)
        self.enrol(scep["URL"], f"CN={d},OU=Wi-Fi,O=Example", f"DNS:{d}.example.org", scep["Challenge"])
        os.rename(self.path("key"), self.path("old"))
        os.remove(self.path("cert.pem"))
        r = self.enrol(scep["URL"], f"CN={d},OU=Wi-Fi,O=Example", f"DNS:{d}.example.org", scep["Challenge"], check=False)
        self.assertIn("challenge.used", r.stderr)

    def test_secret_is_nowhere_else(self):
        d = self.device("wifi")
        r = self.profile("apple", device=d, raw=True)
        secret = self.scep_payload(r.stdout)[0]["Challenge"]
        self.assertNotIn(secret.encode(), r.stderr)
        self.assertIn(b"it holds challenge chl_", r.stderr)
        told = self.a.ctl("audit", "list", "--json").stdout + self.a.log_text()
        self.assertNotIn(secret, told)
        self.assertIn('"profile.new"', told)
        for root, _, names in os.walk(self.a.home):
            for name in names:
                with open(os.path.join(root, name), "rb") as f:
                    self.assertNotIn(secret.encode(), f.read(), name)

    def test_windows(self):
        d = self.device("wifi")
        top = ElementTree.fromstring(self.profile("windows", device=d))
        self.assertEqual(top.tag, SYNCML + "SyncML")
        atomic = top.find(f"{SYNCML}SyncBody/{SYNCML}Atomic")
        node = atomic.find(f"{SYNCML}Add/{SYNCML}Item/{SYNCML}Target/{SYNCML}LocURI").text
        self.assertRegex(node, r"^\./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/[0-9A-F-]{36}$")
        value = {}
        for add in atomic.findall(SYNCML + "Add")[1:]:
            uri, data = (add.find(f"{SYNCML}Item/" + p).text for p in (f"{SYNCML}Target/{SYNCML}LocURI", f"{SYNCML}Data"))
            self.assertTrue(uri.startswith(node + "/Install/"), uri)
            value[uri[len(node) + 9:]] = data
        # required by Microsoft's page of the CSP
        for name in ("ServerURL", "Challenge", "EKUMapping", "KeyUsage", "SubjectName", "KeyLength", "HashAlgorithm", "CAThumbprint"):
            self.assertIn(name, value)
        self.assertEqual(atomic[-1].tag, SYNCML + "Exec")
        self.assertEqual(atomic[-1].find(f"{SYNCML}Item/{SYNCML}Target/{SYNCML}LocURI").text, node + "/Install/Enroll")
        sha1 = run("openssl", "x509", "-in", self.a.ca, "-noout", "-fingerprint", "-sha1").stdout.strip().split("=")[1]
        self.assertEqual(value["CAThumbprint"], sha1.replace(":", ""))
        self.assertEqual(value["KeyUsage"], "160")
        self.enrol(value["ServerURL"], value["SubjectName"], "DNS:" + value["SubjectAlternativeNames"].partition("3+")[2],
                   base64.b64decode(value["Challenge"]).decode())

    def test_android_and_chromeos(self):
        d = self.device("wifi")
        j = json.loads(self.profile("android", device=d))
        self.assertEqual(j["subject_alternative_names"], [{"type": "DNS", "value": d + ".example.org"}])
        with open(self.path("ca.der"), "wb") as f:
            f.write(base64.b64decode(j["ca_certificates"][0]))
        self.assertEqual(hashlib.sha256(base64.b64decode(j["ca_certificates"][0])).hexdigest(), j["ca_fingerprint_sha256"])
        self.enrol(j["url"], j["subject"], "DNS:" + j["subject_alternative_names"][0]["value"], j["challenge"],
                   more=("--fingerprint", j["ca_fingerprint_sha256"]))
        c = json.loads(self.profile("chromeos", device=d))
        self.assertEqual(c["scepProfile"]["subjectCommonName"], d)
        self.assertEqual(c["scepProfile"]["organizationalUnits"], ["Wi-Fi"])

    def test_cisco(self):
        d = self.device("wifi")
        text = self.profile("cisco", device=d).decode("ascii")
        said = dict(re.findall(r"^ (enrollment url|subject-name|password|fqdn|fingerprint) (.*)$", text, re.M))
        self.assertEqual(said["subject-name"], f"CN={d},OU=Wi-Fi,O=Example")
        self.assertEqual(text.count("\ncrypto pki trustpoint SCEP-WIFI\n"), 1)
        self.assertEqual(text.count("\ncrypto pki enroll SCEP-WIFI\n"), 1)
        self.assertTrue(all(len(line) < 255 for line in text.splitlines()))
        self.enrol(said["enrollment url"] + "/pkiclient.exe", said["subject-name"], "DNS:" + said["fqdn"], said["password"],
                   more=("--get",))

    def script(self, kind, device, env=None):
        with open(self.path(kind + ".sh"), "wb") as f:
            f.write(self.profile(kind, device=device))
        run("sh", "-n", self.path(kind + ".sh"))
        return run("sh", self.path(kind + ".sh"), self.path(kind), env=env, check=False)

    def test_strongswan_script_runs(self):
        need("pki")
        d = self.device("wifi")
        r = self.script("strongswan", d)
        self.assertEqual(r.returncode, 0, r.stderr)
        pem = self.to_pem(self.path("strongswan/certificate.der"), self.path("cert.pem"))
        self.assertIn(f"DNS:{d}.example.org", self.assert_good_certificate(pem, "CN=" + d))
        self.assertNotIn("challenge.opt", os.listdir(self.path("strongswan")))

    def test_strongswan_script_stops_at_another_ca(self):
        other = Authority().start()
        self.addCleanup(other.close)
        d = self.device("wifi")
        text = self.profile("strongswan", device=d).decode().replace(self.a.url, other.url)
        with open(self.path("s.sh"), "w") as f:
            f.write(text)
        r = run("sh", self.path("s.sh"), self.path("s"), check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("another CA certificate", r.stderr)
        self.assertNotIn("scep.request", other.log_text())

    def test_names_that_would_run(self):
        """Only quoted text: a name is never a command."""
        d = "it's $(touch mark) `touch mark`"
        self.policy("plain", subject="CN=%devicename%", san="")
        self.a.ctl("device", "new", d)
        self.a.ctl("policy", "assign", "plain", d)
        with open(self.path("n.sh"), "wb") as f:
            f.write(self.profile("strongswan", device=d, policy="plain"))
        r = run("sh", self.path("n.sh"), self.path("n"), check=False)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(sorted(os.listdir(self.path("n"))), ["ca.der", "ca.pem", "certificate.der", "found.der", "key.der", "ra.der"])
        subject = run("openssl", "x509", "-inform", "DER", "-in", self.path("n/certificate.der"), "-noout", "-subject", "-nameopt",
                      "RFC2253,-esc_msb").stdout
        self.assertIn("it's $(touch", subject)

    def test_static_challenge_and_none(self):
        for name, path, kind in (("shared", "/scep/static", "static"), ("asked", "/scep/manual", "none")):
            self.a.ctl("policy", "new", name, "--subject", "CN=%devicename%", "--endpoint", path, "--challenge", kind)
            self.a.ctl("device", "new", f"{self.name}-{kind}")
            self.a.ctl("policy", "assign", name, f"{self.name}-{kind}")
        before = len(self.a.json("challenge", "list", "--limit", "0"))
        scep, _ = self.scep_payload(self.profile("apple", device=self.name + "-static"))
        self.assertEqual(scep["Challenge"], self.a.static_challenge())
        self.enrol(scep["URL"], f"CN={self.name}-static", None, scep["Challenge"])
        scep, _ = self.scep_payload(self.profile("apple", device=self.name + "-none"))
        self.assertNotIn("Challenge", scep)
        r = self.profile("windows", device=self.name + "-none", check=False, raw=True)
        self.assertIn(b"profile.unfit", r.stderr)
        self.assertEqual(len(self.a.json("challenge", "list", "--limit", "0")), before)

    def test_states_that_get_none(self):
        d = self.device("wifi")
        self.a.ctl("device", "isolate", d)
        self.assertIn(b"device.isolated", self.profile("apple", device=d, check=False, raw=True).stderr)
        self.a.ctl("device", "release", d)
        self.policy("off", subject="CN=%devicename%", san="")
        self.a.ctl("policy", "assign", "off", d)
        self.a.ctl("policy", "pause", "off")
        self.assertIn(b"policy.paused", self.profile("apple", device=d, policy="off", check=False, raw=True).stderr)
        self.profile("apple", device=d, policy="wifi")

    def test_new_device(self):
        self.policy("phones", subject="CN=%devicename%", san="")
        one = plistlib.loads(self.profile("apple", "--new-device", device=self.name, policy="phones"))
        two = plistlib.loads(self.profile("apple", "--new-device", device=self.name, policy="phones"))
        self.assertEqual(one["PayloadUUID"], two["PayloadUUID"])
        r = self.profile("apple", "--new-device", device="nobody", check=False, raw=True)
        self.assertEqual(r.returncode, 2)

    def test_jamf(self):
        self.policy("jamf", subject="CN=%serialnumber%,OU=%policy%", san="UPN:%user%@example.org")
        scep = plistlib.loads(self.profile("jamf", policy="jamf"))["PayloadContent"][-1]["PayloadContent"]
        self.assertEqual(scep["Subject"], [[["CN", "$SERIALNUMBER"]], [["OU", "jamf"]]])
        self.assertEqual(scep["SubjectAltName"], {"ntPrincipalName": "$USERNAME@example.org"})
        self.assertNotIn("Challenge", scep)
        r = self.profile("jamf", policy="wifi", check=False, raw=True)
        self.assertIn(b"%host%", r.stderr)

    def test_files_are_private_and_never_overwritten(self):
        d = self.device("wifi")
        out = self.path("p.mobileconfig")
        self.assertEqual(self.profile("apple", "-o", out, device=d), b"")
        self.assertEqual(os.stat(out).st_mode & 0o777, 0o600)
        before = len(self.a.json("challenge", "list", "--limit", "0"))
        r = self.profile("apple", "-o", out, device=d, check=False, raw=True)
        self.assertEqual(r.returncode, 5)
        self.assertEqual(len(self.a.json("challenge", "list", "--limit", "0")), before)

    def test_refusals_cost_nothing(self):
        """What cannot be made leaves no challenge behind."""
        d = self.device("wifi")
        self.policy("big", "--key", "rsa3072")
        before = len(self.a.json("challenge", "list", "--limit", "0"))
        for args, code, word in ((("apple", "--device", "nobody"), 3, "nobody"), (("apple", "--device", d, "--policy", "big"), 1, "big"),
                                 (("apple", "--device", d, "--policy", "none"), 3, "none"), (("nokia", "--device", d), 2, "apple"),
                                 (("apple",), 2, "--device"), (("jamf", "--device", d), 2, "--policy"),
                                 (("apple", "--device", d, "--expires", "0s"), 2, "expires")):
            r = run(SCEPCTL, "-c", self.a.conf, "profile", "new", *args, check=False)
            self.assertEqual(r.returncode, code, (args, r.stderr))
            self.assertIn(word, r.stderr)
            self.assertEqual(r.stdout, "")
        self.a.ctl("policy", "assign", "big", d)
        r = run(SCEPCTL, "-c", self.a.conf, "profile", "new", "apple", "--device", d, "--policy", "big", check=False)
        self.assertIn("RSA-3072", r.stderr)
        self.assertIn("profile.unfit", r.stderr)
        self.assertEqual(len(self.a.json("challenge", "list", "--limit", "0")), before)


class Signed(Case):
    @classmethod
    def setUpClass(cls):
        cls.api = free_port()
        cls.a = Authority(init_args=("--api-port", cls.api))
        cls.addClassCleanup(cls.a.close)
        cert, key = signer(cls.a.home)
        with open(cls.a.conf, "a") as f:
            f.write(f'profiles: {{ organization = "Example & Co"; identifier = "org.example"; certificate = "{cert}"; key = "{key}"; }};\n')
        cls.a.start()
        cls.policy(cls, "wifi")

    def test_signed(self):
        d = self.device("wifi")
        with open(self.path("p"), "wb") as f:
            f.write(self.profile("apple", device=d))
        run("openssl", "cms", "-verify", "-inform", "DER", "-in", self.path("p"), "-CAfile",
            os.path.join(self.a.home, "profiles.pem"), "-out", self.path("plist"))
        with open(self.path("plist"), "rb") as f:
            top = plistlib.load(f)
        self.assertEqual(top["PayloadOrganization"], "Example & Co")
        self.assertTrue(top["PayloadIdentifier"].startswith("org.example.pol_"))
        self.assertTrue(self.profile("windows", device=d).startswith(b"<?xml"))


    def test_by_the_api(self):
        """The confined process, which can open no key by itself, has this one handed over."""
        d = self.device("wifi")
        self.a.ctl("admin", "new", "mdm", "--role", "operator")
        token = self.a.ctl("admin", "token", "new", "mdm", "-q").stdout.strip()
        request = urllib.request.Request(f"http://127.0.0.1:{self.api}/api/v1/profiles", method="POST",
                                         data=json.dumps({"platform": "apple", "device": d}).encode(),
                                         headers={"Content-Type": "application/json", "Authorization": "Bearer " + token})
        with urllib.request.urlopen(request, timeout=30) as r:
            self.assertEqual(r.headers["Content-Type"], "application/x-apple-aspen-config")
            self.assertIn(f'filename="{d}.mobileconfig"', r.headers["Content-Disposition"])
            with open(self.path("p"), "wb") as f:
                f.write(r.read())
        run("openssl", "cms", "-verify", "-inform", "DER", "-in", self.path("p"), "-CAfile",
            os.path.join(self.a.home, "profiles.pem"), "-out", self.path("plist"))
        with open(self.path("plist"), "rb") as f:
            scep = plistlib.load(f)["PayloadContent"][-1]["PayloadContent"]
        self.enrol(scep["URL"], f"CN={d},OU=Wi-Fi,O=Example", f"DNS:{d}.example.org", scep["Challenge"])


# ---- challenges of an upstream ----

PAGE = ("<HTML><Head><Title>Network Device Enrollment Service</Title></Head><Body><P> The thumbprint (hash value) for the CA "
        "certificate is: <B> A656FA66 AB12B433 A2DA5CF7 CC153D9A </B> <P> The enrollment challenge password is: <B> %s </B> <P> "
        "This password can be used only once and will expire within 60 minutes. <P></Body></HTML>")


def md4(data):
    """RFC 1320; hashlib has it no more."""
    def rol(x, n):
        x &= 0xffffffff
        return (x << n | x >> (32 - n)) & 0xffffffff
    a, b, c, d = 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476
    data += b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", 8 * len(data))
    for at in range(0, len(data), 64):
        x, h = struct.unpack("<16I", data[at:at + 64]), [a, b, c, d]
        for i in range(48):
            n, k = i // 16, i % 16
            if n == 0:
                f, add, j, s = h[1] & h[2] | ~h[1] & h[3], 0, k, (3, 7, 11, 19)
            elif n == 1:
                f, add, j, s = h[1] & h[2] | h[1] & h[3] | h[2] & h[3], 0x5a827999, k // 4 + k % 4 * 4, (3, 5, 9, 13)
            else:
                f, add, s = h[1] ^ h[2] ^ h[3], 0x6ed9eba1, (3, 9, 11, 15)
                j = (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)[k]
            h = [h[3], rol(h[0] + (f & 0xffffffff) + x[j] + add, s[i % 4]), h[1], h[2]]
        a, b, c, d = ((p + q) & 0xffffffff for p, q in zip((a, b, c, d), h))
    return struct.pack("<4I", a, b, c, d)


class Ntlm:
    """The server's side of NTLMv2 in HTTP, with a challenge that never changes: enough to see that the client has the password, and
    that it proves it on the connection on which it was challenged."""

    challenge = b"\x01\x23\x45\x67\x89\xab\xcd\xef"

    def __init__(self, user, domain, password):
        self.user, self.domain, self.password = user, domain, password
        self.challenged = set()

    def __call__(self, asked):
        kind, _, text = asked.headers.get("Authorization", "").partition(" ")
        if kind != "NTLM":
            return 401, "", {"WWW-Authenticate": "NTLM"}
        m = base64.b64decode(text)
        if m[8] == 1:
            self.challenged.add(asked.peer)
            info = b"".join(struct.pack("<HH", k, len(v)) + v for k, v in ((2, "EXAMPLE".encode("utf-16le")), (0, b"")))
            name = "EXAMPLE".encode("utf-16le")
            two = (b"NTLMSSP\0" + struct.pack("<IHHII", 2, len(name), len(name), 48, 0x00890205) + self.challenge + bytes(8) +
                   struct.pack("<HHI", len(info), len(info), 48 + len(name)) + name + info)
            return 401, "", {"WWW-Authenticate": "NTLM " + base64.b64encode(two).decode()}
        part = lambda at: m[struct.unpack_from("<I", m, at + 4)[0]:][:struct.unpack_from("<H", m, at)[0]]  # noqa: E731
        nt, domain, user = part(20), part(28).decode("utf-16le"), part(36).decode("utf-16le")
        key = hmac.new(md4(self.password.encode("utf-16le")), (user.upper() + domain).encode("utf-16le"), "md5").digest()
        good = (hmac.new(key, self.challenge + nt[16:], "md5").digest() == nt[:16] and len(nt) > 44 and
                (user, domain) == (self.user, self.domain) and asked.peer in self.challenged)
        return (200, PAGE % "48D232ED9EEC123D", {"Content-Type": "text/html"}) if good else (401, "", {"WWW-Authenticate": "NTLM"})


class Upstream(Case):
    @classmethod
    def setUpClass(cls):
        cls.answer = lambda asked: (500, "")
        cls.server = Elsewhere(lambda asked: cls.answer(asked))
        cls.addClassCleanup(cls.server.close)
        cls.a = Authority()
        cls.addClassCleanup(cls.a.close)
        password = secret_file(cls.a.home, "geheim")
        common = f'url = "{cls.server.url}/scep"; admin_url = "{cls.server.url}/certsrv/mscep_admin/"; password_file = "{password}"; ' \
                 f'retries = 0; timeout = "5s"; ca_certificate = "{cls.a.ca}"'
        with open(cls.a.conf) as f:
            text = f.read()
        for name in ("ndes", "ntlm"):
            text = re.sub(r"endpoints\s*=\s*\(", f'endpoints = ({{ path = "/{name}"; authority = "demo"; template = "device"; '
                          f'upstream = "{name}"; }}, ', text, count=1)
        with open(cls.a.conf, "w") as f:
            f.write(text + f'upstreams = ({{ name = "ndes"; user = "EXAMPLE\\\\scepd"; auth = "basic"; {common}; }}, '
                           f'{{ name = "ntlm"; user = "EXAMPLE\\\\scepd"; auth = "ntlm"; {common}; }});\n')
        cls.a.start()
        for name in ("ndes", "ntlm"):
            cls.a.ctl("policy", "new", name, "--subject", "CN=%devicename%", "--endpoint", "/" + name, "--challenge", "upstream")

    def challenge(self, policy="ndes"):
        scep = plistlib.loads(self.profile("apple", device=self.name, policy=policy))["PayloadContent"][-1]["PayloadContent"]
        self.assertEqual(scep["URL"], f"{self.a.url}/{policy}")
        return scep["Challenge"]

    def answers(self, answer):
        Upstream.answer = staticmethod(answer)

    def refused(self, answer, reason, words):
        self.answers(answer)
        r = self.profile("apple", device=self.name, policy="ndes", check=False, raw=True)
        self.assertEqual(r.returncode, 1)
        self.assertEqual(r.stdout, b"")
        self.assertIn(reason, r.stderr.decode())
        self.assertIn(words, r.stderr.decode())

    def test_basic(self):
        self.device("ndes")
        want = "Basic " + base64.b64encode(b"EXAMPLE\\scepd:geheim").decode()

        def answer(asked):
            if asked.headers.get("Authorization") != want:
                return 401, "", {"WWW-Authenticate": "Basic realm=x"}
            return 200, b"\xff\xfe" + (PAGE % "8CE317021F690069").encode("utf-16le"), {"Content-Type": "text/html"}
        self.answers(answer)
        self.server.forget()
        self.assertEqual(self.challenge(), "8CE317021F690069")
        asked = [a for a in self.server.asked if a.headers.get("Authorization") == want]
        self.assertEqual([(a.method, a.path) for a in asked], [("GET", "/certsrv/mscep_admin/")])  # each costs a password
        self.assertNotIn("8CE317021F690069", self.a.ctl("audit", "list", "--json").stdout)

    def test_ntlm(self):
        self.device("ntlm")
        self.assertEqual(md4(b"abc").hex(), "a448017aaf21d8525fc10ae87aa6729d")
        self.answers(Ntlm("scepd", "EXAMPLE", "geheim"))
        self.assertEqual(self.challenge("ntlm"), "48D232ED9EEC123D")
        self.answers(Ntlm("scepd", "EXAMPLE", "anders"))
        r = self.profile("apple", device=self.name, policy="ntlm", check=False, raw=True)
        self.assertIn(b"upstream.refused", r.stderr)

    def test_refusals(self):
        self.device("ndes")
        page = lambda text: lambda asked: (200, text.encode("utf-16le"), {"Content-Type": "text/html"})  # noqa: E731
        self.refused(lambda asked: (401, "", {"WWW-Authenticate": "Basic realm=x"}), "upstream.refused", "password are wrong")
        self.refused(lambda asked: (403, ""), "upstream.refused", "may not see")
        self.refused(page("<HTML>The password cache is full."), "upstream.refused", "cache is full")
        self.refused(page("<HTML>You do not have sufficient permission to enroll with SCEP."), "upstream.refused", "no permission")
        self.refused(page("<HTML>Welcome to IIS"), "upstream.unavailable", "no password")
        self.refused(lambda asked: (302, "", {"Location": "/login"}), "upstream.unavailable", "302")

    def test_unassigned_asks_nothing(self):
        self.a.ctl("device", "new", self.name)
        self.server.forget()
        r = self.profile("apple", device=self.name, policy="ndes", check=False, raw=True)
        self.assertIn(b"policy.unassigned", r.stderr)
        self.assertEqual(self.server.asked, [])


if __name__ == "__main__":
    unittest.main()
