"""Relying parties that read CRLs: openssl verify, GnuTLS' certtool, NSS, strongSwan, nginx, Apache and FreeRADIUS, unmodified from
Debian.

A good device is let in, a revoked one is not, and one that was held is again when it has been released."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import need, run
from relying import Apache, Nginx, Radius, RelyingCase, wait_for, with_servers


class Crl(RelyingCase):

    @staticmethod
    def edit(text):
        return with_servers(text, ocsp=False)

    def openssl(self, device, crl, *more):
        return run("openssl", "verify", "-x509_strict", "-crl_check_all", "-CRLfile", crl, "-CAfile", self.a.ca, *more, device.cert,
                   check=False)

    def gnutls(self, device, crl):
        return run("certtool", "--verify", "--load-ca-certificate", self.a.ca, "--load-crl", crl, "--infile", device.cert, check=False)

    def test_openssl_and_gnutls(self):
        good, lost = self.device("good"), self.device("lost")
        lost.revoke()
        crl = self.crl_lists(lost)
        r = self.openssl(good, crl)
        self.assertEqual(r.returncode, 0, r.stderr)
        r = self.openssl(lost, crl)
        self.assertIn("certificate revoked", r.stderr)
        self.assertNotEqual(r.returncode, 0)
        self.assertEqual(self.gnutls(good, crl).returncode, 0)
        r = self.gnutls(lost, crl)
        self.assertIn("evoked", r.stdout + r.stderr)
        self.assertNotEqual(r.returncode, 0)
        r = run("certtool", "--verify-crl", "--load-ca-certificate", self.a.ca, "--infile", crl)
        self.assertIn("verified", (r.stdout + r.stderr).lower())

    def test_nss(self):
        """It takes one CRL of an authority, without critical extensions, as Firefox and others do."""
        good, lost = self.device("good"), self.device("lost")
        lost.revoke()
        self.crl_lists(lost)
        db = self.path("nss")
        os.mkdir(db)
        run(need("certutil"), "-N", "-d", db, "--empty-password")
        run("certutil", "-A", "-d", db, "-n", "ca", "-t", "CT,C,C", "-a", "-i", self.a.ca)
        run("crlutil", "-I", "-d", db, "-t", "1", "-i", self.path("listed.crl"))
        r = run("vfychain", "-d", db, "-u", "0", "-a", good.cert)
        self.assertIn("Chain is good", r.stdout + r.stderr)
        r = run("vfychain", "-d", db, "-u", "0", "-a", lost.cert, check=False)
        self.assertIn("has been revoked", r.stdout + r.stderr)

    def test_strongswan(self):
        """The revocation plugin fetches the list that the certificate names, as there is no OCSP URL in it."""
        good, lost = self.device("good"), self.device("lost")
        lost.revoke()
        self.crl_lists(lost)
        for device, says in ((good, "certificate status is good"), (lost, "reason: key compromise")):
            r = run(need("pki"), "--verify", "--in", device.cert, "--cacert", self.a.ca, "--online", check=False)
            self.assertIn("fetching crl from '%s/crl/demo.crl'" % self.a.url, r.stderr)
            self.assertIn(says, r.stderr)

    def test_apache(self):
        good, lost = self.device("good"), self.device("lost")
        lost.revoke()
        apache = Apache(self, self.server(), f"SSLCACertificateFile {self.a.ca}\nSSLVerifyClient require\n"
                        f"SSLCARevocationFile {self.crl_lists(lost)}\nSSLCARevocationCheck chain\n")
        self.assertTrue(apache.lets_in(good))
        self.assertFalse(apache.lets_in(lost))
        self.assertIn("certificate revoked", apache.log_text())

    def test_nginx(self):
        """ssl_crl wants a complete list in PEM and reads it when it is told to (SIGHUP)."""
        good, lost, held = self.device("good"), self.device("lost"), self.device("held")
        listed = self.path("nginx.crl")
        os.rename(self.crl_lists(), listed)
        nginx = Nginx(self, self.server(), f"ssl_client_certificate {self.a.ca}; ssl_verify_client on; ssl_crl {listed};")
        for device in (good, lost, held):
            self.assertEqual(nginx.status(device), "200")
        self.assertEqual(nginx.status(None), "400")
        lost.revoke()
        held.revoke("hold")
        os.rename(self.crl_lists(lost, held), listed)
        nginx.reload()
        for device in (lost, held):
            wait_for("nginx refuses " + device.name, lambda d=device: nginx.status(d) == "400")
        self.assertIn("certificate revoked", nginx.log_text())
        self.assertEqual(nginx.status(good), "200")
        held.release()

        def released():
            pem = self.crl_lists(lost)
            return held.serial not in run("openssl", "crl", "-in", pem, "-noout", "-text").stdout.lower() and pem
        os.rename(wait_for("the CRL lets it go", released), listed)
        nginx.reload()
        wait_for("nginx lets it in again", lambda: nginx.status(held) == "200")
        self.assertEqual(nginx.status(lost), "400")

    def test_radius(self):
        """EAP-TLS with check_crl: authority and list are in one file, read at the start."""
        good, lost = self.device("good"), self.device("lost")
        lost.revoke()
        with open(self.path("both.pem"), "w") as both, open(self.a.ca) as ca, open(self.crl_lists(lost)) as crl:
            both.write(ca.read() + crl.read())
        radius = Radius(self, self.server(), f"ca_file = {self.path('both.pem')}\ncheck_crl = yes")
        self.assertTrue(radius.lets_in(good))
        self.assertFalse(radius.lets_in(lost))
        self.assertIn("certificate revoked", radius.log_text())


class Scopes(RelyingCase):
    """Partitions and deltas, for those who can read them."""

    @staticmethod
    def edit(text):
        return re.sub(r'(crl: \{[^}]*period = "1h";)', r"\1 shards = 3; delta = true;", with_servers(text, ocsp=False))

    def pem(self, path):
        """A list as PEM, in a file of its own."""
        der, pem = self.path("one.der"), self.path("crl-%d.pem" % len(os.listdir(self.dir)))
        with open(der, "wb") as f:
            f.write(self.a.get(path))
        run("openssl", "crl", "-inform", "DER", "-in", der, "-out", pem)
        return pem

    def text(self, pem):
        return run("openssl", "crl", "-in", pem, "-noout", "-text").stdout.lower()

    def verify(self, device, crls, *how):
        """What openssl says: "" where it has nothing against it."""
        both = self.path("crls.pem")
        with open(both, "w") as out:
            for pem in crls:
                with open(pem) as f:
                    out.write(f.read())
        r = run("openssl", "verify", "-x509_strict", *how, "-CRLfile", both, "-CAfile", self.a.ca, device.cert, check=False)
        self.assertEqual(r.returncode == 0, r.stderr == "", r.stderr)
        return r.stderr

    def partition_of(self, device):
        return re.search(r"/crl/demo-p([123])\.crl", run("openssl", "x509", "-in", device.cert, "-noout", "-text").stdout)[1]

    def test_partitions(self):
        """RFC 5280 section 5.2.5: a list counts for the certificates that name it, and for no other."""
        devices = [self.device(f"p{i}") for i in range(7)]
        lost = devices[0]
        lost.revoke()
        self.crl_lists(lost)
        wait_for("its partition lists it", lambda: lost.serial in self.text(self.pem(f"/crl/demo-p{self.partition_of(lost)}.crl")))
        complete, parts = self.pem("/crl/demo.crl"), {k: self.pem(f"/crl/demo-p{k}.crl") for k in "123"}
        self.assertEqual(sum(lost.serial in self.text(pem) for pem in parts.values()), 1)
        for device in devices:
            own = parts[self.partition_of(device)]
            says = "certificate revoked" if device is lost else ""
            for crls, how in (([own], "-crl_check"), ([*parts.values()], "-crl_check"), ([complete, *parts.values()], "-crl_check_all"),
                              ([complete], "-crl_check_all")):
                r = self.verify(device, crls, how)
                self.assertIn(says, r) if says else self.assertEqual(r, "")
            # One for another is none.
            r = self.verify(device, [pem for k, pem in parts.items() if k != self.partition_of(device)], "-crl_check")
            self.assertRegex(r, "different CRL scope|unable to get certificate CRL")

    def test_deltas(self):
        """RFC 5280 section 5.2.4: an older complete list and the newest delta tell what is true now."""
        good, lost, held = self.device("d-good"), self.device("d-lost"), self.device("d-held")
        held.revoke("hold")
        before = self.crl_lists(held)
        old = self.path("old.pem")
        os.rename(before, old)
        self.assertIn("freshest crl", self.text(old))
        lost.revoke()
        held.release()

        def changed():
            delta = self.pem("/crl/demo-delta.crl")
            return lost.serial in self.text(delta) and "remove from crl" in self.text(delta) and delta
        delta = wait_for("the delta tells of both", changed)
        self.assertRegex(self.text(delta), r"delta crl indicator: critical")
        deltas = ("-crl_check", "-use_deltas")
        self.assertIn("certificate revoked", self.verify(lost, [old, delta], *deltas))
        self.assertEqual(self.verify(good, [old, delta], *deltas), "")
        self.assertEqual(self.verify(held, [old, delta], *deltas), "")
        # Without the delta the old list tells what was true then.
        self.assertEqual(self.verify(lost, [old], "-crl_check"), "")
        self.assertIn("certificate revoked", self.verify(held, [old], "-crl_check"))


if __name__ == "__main__":
    unittest.main()
