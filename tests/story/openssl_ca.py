"""An OpenSSL CA as people run them by hand: a key, a certificate, index.txt, and devices it has issued for."""

import os

from harness import run

CONF = """
[ca]
default_ca = here
[here]
dir = {dir}
database = $dir/index.txt
new_certs_dir = $dir/newcerts
certificate = $dir/ca.pem
private_key = $dir/ca.key
serial = $dir/serial
crlnumber = $dir/crlnumber
default_md = sha256
policy = any
default_crl_days = 30
x509_extensions = device
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
CN = placeholder
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign,digitalSignature
subjectKeyIdentifier = hash
[device]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

class OpensslCa:

    def __init__(self, directory, name, years, env=None):
        self.dir, self.env = directory, env
        os.makedirs(os.path.join(directory, "newcerts"))
        for file, text in {"index.txt": "", "serial": "1000\n", "crlnumber": "2A\n",
                           "openssl.cnf": CONF.format(dir=directory)}.items():
            with open(self.path(file), "w") as f:
                f.write(text)
        self.openssl("req", "-config", self.path("openssl.cnf"), "-x509", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout",
                     self.path("ca.key"), "-out", self.path("ca.pem"), "-subj", f"/CN={name}", "-days", str(365 * years),
                     "-extensions", "authority", "-sha256")
        os.chmod(self.path("ca.key"), 0o600)

    def path(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *args):
        return run("openssl", *args, env=self.env)

    def issue(self, name, key, out, days):
        csr = self.path("device.csr")
        self.openssl("req", "-config", self.path("openssl.cnf"), "-new", "-key", key, "-subj", f"/CN={name}", "-out", csr)
        self.openssl("ca", "-config", self.path("openssl.cnf"), "-batch", "-notext", "-days", str(days), "-in", csr, "-out", out)

    def revoke(self, certificate, reason):
        self.openssl("ca", "-config", self.path("openssl.cnf"), "-revoke", certificate, "-crl_reason", reason)

    def crl(self):
        self.openssl("ca", "-config", self.path("openssl.cnf"), "-gencrl", "-out", self.path("ca.crl"))
        return self.path("ca.crl")
