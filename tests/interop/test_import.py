"""An existing authority moves in, made by the real tools; its devices renew with the real clients."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, SCEPD, Authority, free_port, need, run

CNF = """
[ca]
default_ca = old
[old]
dir = {dir}
database = $dir/index.txt
new_certs_dir = $dir/newcerts
serial = $dir/serial
crlnumber = $dir/crlnumber
certificate = $dir/cacert.pem
private_key = $dir/private/cakey.pem
default_md = sha256
default_days = 365
default_crl_days = 30
policy = any
unique_subject = no
x509_extensions = device
crl_extensions = crl
[any]
commonName = supplied
organizationName = optional
[device]
basicConstraints = CA:FALSE
keyUsage = digitalSignature,keyEncipherment
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[crl]
authorityKeyIdentifier = keyid
"""


def text_of(path):
    with open(path) as f:
        return f.read()


class OpenSSLAuthority:
    """`openssl ca` in a directory of its own."""

    def __init__(self, directory, number="2A"):
        self.dir = directory
        os.makedirs(directory + "/newcerts")
        os.makedirs(directory + "/private")
        self.cnf = directory + "/ca.cnf"
        for name, text in (("index.txt", ""), ("serial", "1000\n"), ("crlnumber", number + "\n"),
                           ("ca.cnf", CNF.format(dir=directory))):
            with open(f"{directory}/{name}", "w") as f:
                f.write(text)
        self.certificate = directory + "/cacert.pem"
        self.key = directory + "/private/cakey.pem"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", self.certificate,
            "-subj", "/O=Old/CN=Old CA", "-days", "3650")

    def ca(self, *args):
        return run("openssl", "ca", "-config", self.cnf, "-batch", *args)

    def issue(self, name, *more):
        """Key and certificate of a new device."""
        key, csr, pem = (f"{self.dir}/{name}.{e}" for e in ("key", "csr", "pem"))
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", csr, "-subj", f"/CN={name}/O=Old",
            "-utf8")
        self.ca("-in", csr, "-out", pem, *more)
        return key, pem

    def crl(self, name="crl.pem"):
        self.ca("-gencrl", "-out", f"{self.dir}/{name}")
        return f"{self.dir}/{name}"


class Home(Authority):
    """What `scepctl init --from` made, or is to make."""

    def __init__(self, directory, *init_args, edit=None):
        self.home = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.conf = directory + "/scepd.conf"
        self.ca = directory + "/ca/ca.pem"
        self.ra = directory + "/ca/ra.pem"
        self.log_path = directory + "/log"
        self.process = self.env = None
        self.made = run(SCEPCTL, "init", "--home", directory, "--bind", "127.0.0.1", "--port", self.port, "--url", self.url,
                        "--admin-port", "0", "--api-port", "0", *init_args, check=False)
        if os.path.exists(self.conf):
            with open(self.conf) as f:
                text = f.read()
            with open(self.conf, "w") as f: # who tests does not wait for the window
                f.write(text.replace('renew_before = "60d"', 'renew_before = "0s"'))

    def crl(self):
        der, pem = os.path.join(self.home, "t.crl"), os.path.join(self.home, "t.crl.pem")
        end = time.monotonic() + 30
        while True:
            try:
                with open(der, "wb") as f:
                    f.write(self.get("/crl/main.crl"))
                break
            except urllib.error.HTTPError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        run("openssl", "crl", "-inform", "DER", "-in", der, "-out", pem)
        return pem


def crl_entries(pem):
    """Serial -> (date, reason or None), and the number."""
    text = run("openssl", "crl", "-in", pem, "-noout", "-text").stdout
    number = int(re.search(r"X509v3 CRL Number: \n\s+(\S+)", text).group(1), 0)
    found = {}
    for entry in re.split(r"Serial Number: ", text)[1:]:
        reason = re.search(r"X509v3 CRL Reason Code: \n\s+(.+)\n", entry)
        found[entry.split("\n")[0].strip()] = (re.search(r"Revocation Date: (.+)", entry).group(1),
                                               reason.group(1) if reason else None)
    return found, number


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="scepd-import-")
        self.addCleanup(shutil.rmtree, self.dir, True)

    def home(self, *args, **more):
        h = Home(os.path.join(self.dir, "home"), *args, **more)
        self.addCleanup(lambda: h.process and h.kill())
        return h

    def values(self, r):
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        return dict(line.split("\t", 1) for line in r.stdout.splitlines() if "\t" in line)

    def clean(self, h):
        h.ctl("store", "verify")

    def renew(self, h, key, pem, check=True):
        """With scepctl; the renewed certificate."""
        out = f"{self.dir}/renewed-{time.monotonic_ns()}"
        r = run(SCEPCTL, "client", "renew", h.url + "/scep", "--cert", pem, "--key", key, "--new-key", out + ".key", "--out",
                out + ".pem", check=check)
        return r, out + ".pem"

    def judge(self, h, pem):
        run("openssl", "verify", "-crl_check", "-CRLfile", h.crl(), "-CAfile", h.ca, pem)
        run("certtool", "--verify", "--load-ca-certificate", h.ca, "--load-crl", h.crl(), "--infile", pem)


class FromOpenSSL(Case):
    """index.txt with revocations of every kind."""

    def setUp(self):
        super().setUp()
        self.old = OpenSSLAuthority(self.dir + "/old")
        self.devices = [self.old.issue(f"dev{n}") for n in range(6)]
        self.old.issue("ended", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
        revoke = [(), ("-crl_reason", "keyCompromise"), ("-crl_compromise", "20260101000000Z"),
                  ("-crl_hold", "holdInstructionReject")]
        for (_, pem), how in zip(self.devices, revoke):
            self.old.ca("-revoke", pem, *how)
        self.old_crl, self.old_number = crl_entries(self.old.crl())

    def test_the_whole_move(self):
        h = self.home("--from", self.old.dir)
        told = self.values(h.made)
        self.assertEqual([told[k] for k in ("kind", "certificates", "expired", "revoked", "bad", "crl_number")],
                         ["index with certificates", "7", "1", "4", "0", "42"])
        self.clean(h)
        with open(h.ca) as f, open(self.old.certificate) as g:
            self.assertIn(f.read().strip().splitlines()[1], g.read())  # the certificate as it was
        h.start()

        entries, number = crl_entries(h.crl())
        self.assertEqual(entries, self.old_crl)  # every date and reason
        self.assertEqual(set(e[1] for e in entries.values()), {None, "Key Compromise", "Certificate Hold"})
        self.assertGreater(number, self.old_number)

        key, pem = self.devices[4]
        r, renewed = self.renew(h, key, pem)
        self.judge(h, renewed)
        self.assertIn("CN = dev4, O = Old", run("openssl", "x509", "-in", renewed, "-noout", "-subject").stdout)
        self.assertEqual([c["state"] for c in h.json("cert", "list", "-s", "dev4")], ["active", "superseded"])

        for key, pem in self.devices[:4]:  # revoked and held
            r, _ = self.renew(h, key, pem, check=False)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn("renewal.signer_revoked", r.stderr + h.log_text())
        self.assertEqual(h.log_text().count("reason=renewal.signer_revoked"), 4)
        r, _ = self.renew(h, self.old.dir + "/ended.key", self.old.dir + "/ended.pem", check=False)
        self.assertIn("renewal.signer_expired", r.stderr + h.log_text())

        # What came from the old authority is revoked like everything else.
        serial = run("openssl", "x509", "-in", self.devices[5][1], "-noout", "-serial").stdout.strip().split("=")[1]
        found = [c["serial"] for c in h.json("cert", "list", "-s", "dev5")]
        self.assertEqual(found, [serial.lower()])
        self.clean(h)

    def test_strongswan_renews(self):
        h = self.home("--from", self.old.dir).start()
        key, pem = self.devices[4]
        ca, ra, new = (f"{self.dir}/{n}" for n in ("s-ca.pem", "s-ra.pem", "s-key.pem"))
        run(need("pki"), "--scepca", "--url", h.url + "/scep", "--caout", ca, "--raout", ra, "--outform", "pem", "--force")
        run("openssl", "genrsa", "-out", new, "2048")
        with open(new) as stdin:
            r = subprocess.run(["pki", "--scep", "--url", h.url + "/scep", "--dn", "CN=dev4, O=Old", "--cacert-enc", ra,
                                "--cacert-sig", ra, "--cacert", ca, "--cert", pem, "--key", key, "--outform", "pem"],
                               stdin=stdin, capture_output=True, timeout=60)
        self.assertEqual(r.returncode, 0, r.stderr.decode() + h.log_text()[-2000:])
        out = self.dir + "/swan.pem"
        with open(out, "wb") as f:
            f.write(r.stdout)
        self.judge(h, out)

    def test_the_ra_that_devices_know(self):
        with open(self.old.cnf, "a") as f:
            f.write("[ra]\nbasicConstraints = CA:FALSE\nkeyUsage = digitalSignature,keyEncipherment\n")
        ra_key, ra = self.old.issue("oldra", "-extensions", "ra", "-days", "100")
        h = self.home("--from", self.old.dir).start()
        key, pem = self.devices[4]
        new = self.dir + "/new.pem"
        run("openssl", "genrsa", "-out", new, "2048")

        def renew():
            with open(new) as stdin:
                return subprocess.run(["pki", "--scep", "--url", h.url + "/scep", "--dn", "CN=dev4, O=Old", "--cacert-enc", ra,
                                       "--cacert-sig", ra, "--cacert", self.old.certificate, "--cert", pem, "--key", key,
                                       "--outform", "pem"], stdin=stdin, capture_output=True, timeout=60)
        self.assertNotEqual(renew().returncode, 0)
        self.assertIn("reason=message.not_for_us", h.log_text())
        self.assertEqual(h.stop(), 0)
        r = h.ctl("ca", "import", "--ra", ra_key, check=False)
        self.assertIn("needs a key and its certificate", r.stderr)
        both = self.dir + "/ra-both.pem"
        with open(both, "w") as f:
            f.write(text_of(ra_key) + text_of(ra))
        with open(self.dir + "/wrong.pem", "w") as f:
            f.write(text_of(self.old.key) + text_of(self.old.certificate))
        self.assertIn("is not an RA's", h.ctl("ca", "import", "--ra", self.dir + "/wrong.pem", check=False).stderr)
        h.ctl("ca", "import", "--ra", both)
        self.assertIn("has this RA already", h.ctl("ca", "import", "--ra", both).stderr)
        self.assertEqual(h.json("audit", "list", "--limit", "0")[-1]["event"], "ra.taken")
        h.start()
        r = renew()
        self.assertEqual(r.returncode, 0, r.stderr.decode() + h.log_text()[-2000:])
        out = self.dir + "/out.pem"
        with open(out, "wb") as f:
            f.write(r.stdout)
        self.judge(h, out)

    def test_again_is_known_and_more_is_added(self):
        h = self.home("--from", self.old.dir)
        before = h.ctl("audit", "list", "--limit", "0").stdout
        told = self.values(h.ctl("ca", "import", self.old.dir))
        self.assertEqual([told[k] for k in ("changed", "certificates", "known", "revoked")], ["no", "0", "7", "0"])
        self.assertEqual(before, h.ctl("audit", "list", "--limit", "0").stdout)

        self.old.issue("late")
        self.old.ca("-revoke", self.devices[5][1], "-crl_reason", "superseded")
        r = h.ctl("ca", "import", self.old.dir, "--dry-run")
        self.assertIn("would import: 1 certificates added (0 expired), 1 revoked", r.stderr)
        self.assertEqual(self.values(r)["changed"], "no (dry run)")
        r = h.ctl("ca", "import", self.old.dir, check=False)  # nobody can be asked
        self.assertEqual(r.returncode, 2, r.stderr)
        told = self.values(h.ctl("ca", "import", self.old.dir, "--yes"))
        self.assertEqual([told[k] for k in ("changed", "certificates", "known", "revoked")], ["yes", "1", "7", "1"])
        self.assertEqual(h.json("cert", "list", "-s", "dev5")[0]["state"], "revoked")
        audit = h.json("audit", "list", "--limit", "0")
        self.assertEqual([a["event"] for a in audit if a["event"].startswith("certificates.")],
                         ["certificates.import", "certificates.imported"] * 2)
        self.clean(h)

    def test_encrypted_key(self):
        run("openssl", "rsa", "-aes256", "-in", self.old.key, "-out", self.old.key + ".new", "-passout", "pass:secret",
            "-traditional")
        os.replace(self.old.key + ".new", self.old.key)
        home = os.path.join(self.dir, "home")
        r = self.home("--from", self.old.dir).made
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertIn("is encrypted", r.stderr)
        self.assertFalse(os.path.exists(home))
        r = run(SCEPCTL, "init", "--home", home, "--from", self.old.dir, "--from-passphrase-file", "-", input="wrong\n",
                check=False)
        self.assertIn("does not open", r.stderr)
        self.assertFalse(os.path.exists(home))
        r = run(SCEPCTL, "init", "--home", home, "--from", self.old.dir, "--from-passphrase-file", "-", input="secret\n")
        self.assertNotIn("secret", r.stdout + r.stderr)
        with open(home + "/keys/ca.key") as f:
            self.assertIn("BEGIN PRIVATE KEY", f.read())

    def test_bad_lines_refuse_the_whole(self):
        home = os.path.join(self.dir, "home")
        index = self.old.dir + "/index.txt"
        with open(index) as f:
            good = f.read()
        lines = good.splitlines()
        n = len(lines) + 1
        serial = lines[0].split("\t")[3]
        for bad, text in (
                ("x", f"index.txt:{n}: a line of an index has 6 fields"),
                ("X\t271125150052Z\t\t2000\tunknown\t/CN=x", f"index.txt:{n}: its status"),
                ("V\t27112515005Z\t\t2000\tunknown\t/CN=x", f"index.txt:{n}: its end is no time"),
                ("V\t271125150052Z\t261125150053Z\t2000\tunknown\t/CN=x", f"index.txt:{n}: it has a revocation"),
                ("R\t271125150052Z\t\t2000\tunknown\t/CN=x", f"index.txt:{n}: its revocation has no time"),
                ("R\t271125150052Z\t261125150053Z,because\t2000\tunknown\t/CN=x", "unknown reason"),
                ("V\t271125150052Z\t\t20zz\tunknown\t/CN=x", f"index.txt:{n}: its serial"),
                ("V\t271125150052Z\t\t2000\t../../etc/passwd\t/CN=x", "outside of the directory"),
                ("V\t271125150052Z\t\t%s\tnewcerts/%s.pem\t/CN=x" % ("2000", serial), "another serial")):
            with self.subTest(bad=bad):
                with open(index, "w") as f:
                    f.write(good + bad + "\n")
                r = run(SCEPCTL, "init", "--home", home, "--from", self.old.dir, check=False)
                self.assertEqual(r.returncode, 1, r.stderr)
                self.assertIn(text, r.stderr)
                self.assertIn("nothing was changed", r.stderr)
                self.assertIn("--skip-bad", r.stderr)
                self.assertFalse(os.path.exists(home))
        told = self.values(self.home("--from", self.old.dir, "--skip-bad").made)
        self.assertEqual([told["certificates"], told["bad"]], ["7", "1"])

    def test_foreign_certificate(self):
        other = OpenSSLAuthority(self.dir + "/other")
        _, pem = other.issue("stranger")
        shutil.copy(pem, self.old.dir + "/newcerts/7777.pem")
        h = self.home("--from", self.old.dir)
        r = h.ctl("ca", "import", pem, check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn('by "O=Old,CN=Old CA"', r.stderr)  # the same name, another key
        r = h.ctl("ca", "import", other.crl(), check=False)
        self.assertIn("its signature is not by this authority", r.stderr)
        self.assertEqual(h.json("store", "stats")[0]["certificates"], 7)

    def test_index_without_certificates(self):
        for pem in glob.glob(self.old.dir + "/newcerts/*.pem"):
            os.remove(pem)
        h = self.home("--from", self.old.dir)
        told = self.values(h.made)
        self.assertEqual([told[k] for k in ("certificates", "revoked", "revoked_by_serial", "without_certificate")],
                         ["0", "0", "4", "3"])
        self.clean(h)
        h.start()
        entries, number = crl_entries(h.crl())
        self.assertEqual(entries, self.old_crl)
        key, pem = self.devices[4]
        r, _ = self.renew(h, key, pem, check=False)  # nobody knows it
        self.assertNotEqual(r.returncode, 0)
        # The certificates turn up: those that are revoked stay so.
        told = self.values(h.ctl("ca", "import", self.devices[0][1], pem, "--yes"))
        self.assertEqual(h.json("cert", "list", "-s", "dev0")[0]["state"], "revoked")
        self.renew(h, key, pem)
        self.clean(h)
        self.assertEqual(crl_entries(h.crl())[0], self.old_crl)

    def test_killed_and_again(self):
        """An import that is ended in the middle goes on where it was."""
        h = self.home("--from", self.old.dir)
        with open(self.old.dir + "/index.txt", "a") as f:
            for n in range(30000):
                f.write(f"R\t271125150052Z\t261125150053Z,superseded\t{0x40000000 + n:08X}\tunknown\t/CN=gone{n}\n")
        p = subprocess.Popen([SCEPCTL, "-c", h.conf, "ca", "import", self.old.dir, "--yes"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        while p.poll() is None and int(h.json("store", "stats")[0]["revoked"]) <= 4:
            time.sleep(0.01)
        p.kill()
        p.wait()
        half = int(h.json("store", "stats")[0]["revoked"])
        told = self.values(h.ctl("ca", "import", self.old.dir, "--yes"))
        self.assertEqual(int(told["revoked_by_serial"]), 30004 - half)
        self.assertEqual(int(h.json("store", "stats")[0]["revoked"]), 30004)
        self.clean(h)


class FromScepserver(Case):
    """The depot of Debian's scep, with devices that its own client enrolled."""

    def setUp(self):
        super().setUp()
        need("scepserver")
        self.depot = self.dir + "/depot"
        run("scepserver", "ca", "-init", "-depot", self.depot, "-key-password", "secret", "-organization", "Example",
            "-country", "DE")
        port = free_port()
        p = subprocess.Popen(["scepserver", "-depot", self.depot, "-port", str(port), "-challenge", "pw", "-capass", "secret",
                              "-allowrenew", "0"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: p.poll() is None and p.kill())
        url = f"http://127.0.0.1:{port}/scep"
        for _ in range(200):
            try:
                urllib.request.urlopen(url + "?operation=GetCACaps", timeout=5).read()
                break
            except OSError:
                time.sleep(0.05)
        for n in (1, 2):
            d = f"{self.dir}/client{n}"
            os.mkdir(d)
            run("scepclient", "-server-url", url, "-challenge", "pw", "-cn", f"device {n}", "-private-key", d + "/key.pem",
                "-certificate", d + "/cert.pem", cwd=d)
            os.chmod(d + "/key.pem", 0o600)
        p.send_signal(signal.SIGTERM)
        p.wait(20)
        self.secret = self.dir + "/secret"
        with open(self.secret, "w") as f:
            f.write("secret\n")
        os.chmod(self.secret, 0o600)

    def test_moves_in_and_renews(self):
        h = self.home("--from", self.depot, "--from-passphrase-file", self.secret)
        told = self.values(h.made)
        self.assertEqual([told[k] for k in ("certificates", "known", "bad")], ["2", "0", "0"])
        h.start()
        d = self.dir + "/client1"
        r, renewed = self.renew(h, d + "/key.pem", d + "/cert.pem")
        self.judge(h, renewed)
        self.assertEqual([c["serial"] for c in h.json("cert", "list", "-s", "device 2")], ["03"])
        self.clean(h)


class FromFiles(Case):
    """PEM files and a CRL, as NDES, EJBCA or a script export them; judged and made with gnutls."""

    def certtool(self, template, *args):
        path = f"{self.dir}/{time.monotonic_ns()}.tmpl"
        with open(path, "w") as f:
            f.write(template)
        return run("certtool", "--template", path, *args)

    def setUp(self):
        super().setUp()
        self.src = self.dir + "/src"
        os.mkdir(self.src)
        self.key, self.cert = self.dir + "/ca-key.pem", self.dir + "/ca.pem"
        run("certtool", "--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", self.key)
        self.certtool("cn = Gnu CA\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 3000\n", "--generate-self-signed",
                      "--load-privkey", self.key, "--outfile", self.cert)
        for n, serial in enumerate(("1", "127", "128", "0x7fffffffffffffffffffffffffffffffffffffff")):
            key, pem = f"{self.dir}/k{n}.pem", f"{self.src}/c{n}.pem"
            run("certtool", "--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", key)
            self.certtool(f"cn = gnu{n}\nserial = {serial}\nexpiration_days = 300\nsigning_key\nencryption_key\ntls_www_client\n",
                          "--generate-certificate", "--load-privkey", key, "--load-ca-certificate", self.cert,
                          "--load-ca-privkey", self.key, "--outfile", pem)
        self.certtool("crl_next_update = 30\ncrl_number = 77\n", "--generate-crl", "--load-ca-privkey", self.key,
                      "--load-ca-certificate", self.cert, "--load-certificate", self.src + "/c2.pem", "--outfile",
                      self.dir + "/old.crl")

    def p12(self):
        path = self.dir + "/ca.p12"
        run("openssl", "pkcs12", "-export", "-inkey", self.key, "-in", self.cert, "-out", path, "-passout", "pass:secret",
            "-legacy")
        return path

    def test_pkcs12_then_certificates_then_crl(self):
        home = os.path.join(self.dir, "home")
        r = run(SCEPCTL, "init", "--home", home, "--from", self.p12(), "--from-passphrase-file", "-", input="secret\n")
        h = Home(home)  # stands already
        self.assertIn("made\tno", h.made.stdout)
        told = self.values(h.ctl("ca", "import", self.src, self.dir + "/old.crl", "--yes"))
        self.assertEqual(told["crl_number"], "77")
        self.clean(h)
        found = {c["subject"]: (c["serial"], c["state"]) for c in h.json("cert", "list")}
        self.assertEqual(found, {"CN=gnu0": ("01", "active"), "CN=gnu1": ("7f", "active"), "CN=gnu2": ("0080", "revoked"),
                                 "CN=gnu3": ("7f" + 19 * "ff", "active")})

    def test_directory_with_der_bundle_and_rubbish(self):
        run("openssl", "x509", "-in", self.src + "/c0.pem", "-outform", "DER", "-out", self.src + "/c0.crt")
        os.remove(self.src + "/c0.pem")
        shutil.copy(self.cert, self.src + "/ca.pem")
        with open(self.src + "/README", "w") as f:
            f.write("what these are\n")
        with open(self.src + "/all.txt", "w") as f:  # twice, with text in between as certutil writes it
            for n in (1, 2):
                with open(f"{self.src}/c{n}.pem") as g:
                    f.write(f"Row {n}:\n" + g.read())
        run("openssl", "crl", "-in", self.dir + "/old.crl", "-outform", "DER", "-out", self.src + "/a.crl")
        h = self.home("--from", self.src, "--ca-key", self.key)
        told = self.values(h.made)
        self.assertEqual([told[k] for k in ("kind", "certificates", "known", "revoked", "own", "passed_over", "crls")],
                         ["directory of certificates and CRLs", "4", "2", "1", "1", "1", "1"])
        self.clean(h)
        h.start()
        entries, number = crl_entries(h.crl())
        self.assertEqual(list(entries), ["80"])
        self.assertEqual(number, 78)
        run("certtool", "--verify-crl", "--load-ca-certificate", h.ca, "--infile", h.crl())
        self.renew(h, self.dir + "/k3.pem", self.src + "/c3.pem")

    def test_crl_alone(self):
        h = self.home("--from", self.cert, "--ca-key", self.key, "--ca-chain", self.cert)
        told = self.values(h.ctl("ca", "import", self.dir + "/old.crl", "--yes"))
        self.assertEqual(told["revoked_by_serial"], "1")
        h.start()
        self.assertEqual(list(crl_entries(h.crl())[0]), ["80"])
        told = self.values(h.ctl("ca", "import", self.dir + "/old.crl", "--yes"))
        self.assertEqual([told["changed"], told["revoked_known"]], ["no", "1"])

    def test_damaged_files(self):
        h = self.home("--from", self.cert, "--ca-key", self.key, "--ca-chain", self.cert)
        with open(self.src + "/c1.pem") as f:
            text = f.read()
        with open(self.dir + "/damaged.pem", "w") as f:
            f.write(text[:300] + "!!!" + text[300:] + text)
        r = h.ctl("ca", "import", self.dir + "/damaged.pem", check=False)
        self.assertIn("damaged.pem, block 1: it is damaged or cut off", r.stderr)
        told = self.values(h.ctl("ca", "import", self.dir + "/damaged.pem", "--skip-bad", "--yes"))
        self.assertEqual([told["certificates"], told["bad"]], ["1", "1"])
        for name in ("/nothing", "/empty"):
            open(self.dir + "/empty", "w").close()
            self.assertNotEqual(h.ctl("ca", "import", self.dir + name, check=False).returncode, 0)


ROOT_CNF = """
[ca]
basicConstraints = critical,CA:TRUE,pathlen:{pathlen}
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = CA:FALSE
"""


class OutsideRoot(Case):
    def setUp(self):
        super().setUp()
        for n in (0, 1):
            with open(f"{self.dir}/p{n}.cnf", "w") as f:
                f.write(ROOT_CNF.format(pathlen=n))
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.dir + "/root.key", "-out",
            self.dir + "/root.pem", "-subj", "/CN=Outside Root", "-days", "5000", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def sign(self, csr, out, issuer="root", section="ca", pathlen=0, days=3000):
        run("openssl", "x509", "-req", "-in", csr, "-CA", f"{self.dir}/{issuer}.pem", "-CAkey", f"{self.dir}/{issuer}.key",
            "-CAcreateserial", "-days", days, "-extfile", f"{self.dir}/p{pathlen}.cnf", "-extensions", section, "-out", out)
        return out

    def two_levels(self):
        """A policy CA below the root; its name."""
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", self.dir + "/policy.key", "-out",
            self.dir + "/policy.csr", "-subj", "/CN=Policy CA")
        self.sign(self.dir + "/policy.csr", self.dir + "/policy.pem", pathlen=1)

    def waiting(self, *args):
        h = self.home("--external-root", "--name", "Sub CA", *args)
        self.assertEqual(h.made.returncode, 0, h.made.stderr)
        self.csr = h.home + "/ca/ca.csr"
        return h

    def works(self, h, chain):
        """It serves, and what it gives is good under the root."""
        h.start()
        out = self.dir + "/dev"
        run(SCEPCTL, "client", "enrol", h.url + "/scep", "--subject", "CN=dev", "--key", out + ".key", "--out", out + ".pem",
            "--challenge-file", "-", input=h.challenge() + "\n")
        untrusted = self.dir + "/untrusted.pem"
        with open(untrusted, "w") as f:
            f.write(h.ctl("ca", "export", "--chain").stdout)
        with open(untrusted) as f:
            self.assertEqual(f.read().count("BEGIN"), chain + 1)
        run("openssl", "verify", "-x509_strict", "-CAfile", self.dir + "/root.pem", "-untrusted", untrusted, out + ".pem")

    def test_waits_then_serves(self):
        h = self.waiting()
        r = run(SCEPD, "-c", h.conf, check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("has no certificate yet", r.stderr)
        self.assertIn("scepctl ca install", r.stderr)
        self.assertEqual(r.stderr.count("scepd.conf:"), 1)  # that alone
        r = h.ctl("ca", "csr")
        with open(self.csr) as f:
            self.assertEqual(r.stdout, f.read())
        text = run("openssl", "req", "-in", self.csr, "-noout", "-text", "-verify").stdout
        self.assertIn("CA:TRUE, pathlen:0", text)
        answer = self.sign(self.csr, self.dir + "/answer.pem")
        h.ctl("ca", "install", answer, self.dir + "/root.pem", "--dry-run")
        self.assertFalse(os.path.exists(h.ca))
        h.ctl("ca", "install", answer, self.dir + "/root.pem")
        self.assertEqual(h.json("audit", "list")[-1]["event"], "ca.installed")
        self.works(h, 1)

    def test_two_levels_as_pkcs7(self):
        self.two_levels()
        h = self.waiting("--ra-pair", "--key", "rsa3072")
        answer = self.sign(self.csr, self.dir + "/answer.pem", issuer="policy")
        for form in ("DER", "PEM"):
            run("openssl", "crl2pkcs7", "-nocrl", "-certfile", answer, "-certfile", self.dir + "/root.pem", "-certfile",
                self.dir + "/policy.pem", "-outform", form, "-out", self.dir + "/answer.p7b")
            h.ctl("ca", "install", self.dir + "/answer.p7b", "--dry-run")
        h.ctl("ca", "install", self.dir + "/answer.p7b")
        self.assertTrue(os.path.exists(h.home + "/ca/ra-encryption.pem"))
        self.works(h, 2)

    def test_encrypted_key(self):
        secret = self.dir + "/pass"
        with open(secret, "w") as f:
            f.write("secret\n")
        os.chmod(secret, 0o600)
        h = self.waiting("--passphrase-file", secret)
        h.ctl("ca", "install", self.sign(self.csr, self.dir + "/answer.pem"), self.dir + "/root.pem")
        with open(h.home + "/keys/ra.key") as f:
            self.assertIn("ENCRYPTED", f.read())
        self.works(h, 1)

    def test_wrong_answers(self):
        self.two_levels()
        h = self.waiting()
        root = self.dir + "/root.pem"
        other = self.dir + "/other.csr"
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", self.dir + "/o.key", "-out", other, "-subj",
            "/CN=Sub CA")
        run("openssl", "req", "-x509", "-key", self.dir + "/root.key", "-out", self.dir + "/tight.pem", "-subj",
            "/CN=Outside Root", "-days", "5000", "-config", self.dir + "/p0.cnf", "-extensions", "ca")
        below = self.sign(self.csr, self.dir + "/below.pem", issuer="policy")
        good = self.sign(self.csr, self.dir + "/good.pem")
        for files, text in (
                ([self.sign(other, self.dir + "/a.pem"), root], "belongs to the authority's key"),
                ([self.sign(self.csr, self.dir + "/b.pem", section="leaf"), root], "is no CA certificate"),
                ([good], 'the certificate of "CN=Outside Root" is missing'),
                ([below, root], 'the certificate of "CN=Policy CA" is missing'),
                ([below, self.dir + "/policy.pem", self.dir + "/tight.pem"], "allows 0 CAs below it"),
                ([self.sign(self.csr, self.dir + "/c.pem", days=0), root], "has expired"),
                ([self.dir + "/root.key"], "none of the 0 certificates"),
                ([self.csr], "holds neither certificate nor key")):
            with self.subTest(text=text):
                before = sorted(glob.glob(h.home + "/**", recursive=True))
                if "days" in text or "expired" in text:
                    time.sleep(1.1)
                r = h.ctl("ca", "install", *files, check=False)
                self.assertNotEqual(r.returncode, 0)
                self.assertIn(text, r.stderr)
                self.assertEqual(before, sorted(glob.glob(h.home + "/**", recursive=True)))

    def test_another_certificate_of_the_same_key(self):
        h = self.waiting()
        h.ctl("ca", "install", self.sign(self.csr, self.dir + "/one.pem", days=100), self.dir + "/root.pem")
        with open(self.dir + "/again.csr", "w") as f:
            f.write(h.ctl("ca", "csr").stdout)
        two = self.sign(self.dir + "/again.csr", self.dir + "/two.pem", days=4000)
        h.ctl("ca", "install", two, self.dir + "/root.pem")
        shown = h.json("ca", "show")[0]
        self.assertEqual(run("openssl", "x509", "-in", h.ca, "-noout", "-serial").stdout,
                         run("openssl", "x509", "-in", two, "-noout", "-serial").stdout)
        self.works(h, 1)

    def test_next_authority_under_the_same_root(self):
        h = self.waiting()
        h.ctl("ca", "install", self.sign(self.csr, self.dir + "/one.pem", days=2000), self.dir + "/root.pem")
        request = h.ctl("ca", "csr", "--next").stdout
        self.assertEqual(request, h.ctl("ca", "csr", "--next").stdout)  # the same, as long as it waits
        with open(self.dir + "/next.csr", "w") as f:
            f.write(request)
        self.assertIn("CN = Sub CA G2", run("openssl", "req", "-in", self.dir + "/next.csr", "-noout", "-subject").stdout)
        two = self.sign(self.dir + "/next.csr", self.dir + "/next.pem", days=4000)
        r = h.ctl("ca", "install", two, check=False)
        self.assertIn('the certificate of "CN=Outside Root" is missing', r.stderr)
        h.ctl("ca", "install", two, self.dir + "/root.pem", "--by-hand")
        rows = h.json("ca", "rollover", "status")
        self.assertEqual([(r["generation"], r["role"]) for r in rows], [(1, "current"), (2, "next")])
        self.assertEqual(h.ctl("ca", "csr", "--next", check=False).returncode, 5)
        self.assertFalse(glob.glob(h.home + "/**/request.*", recursive=True))
        h.ctl("ca", "rollover", "activate", "--yes", "--expect", "main")
        run("openssl", "verify", "-CAfile", self.dir + "/root.pem", two)
        self.works(h, 1)


if __name__ == "__main__":
    unittest.main()
