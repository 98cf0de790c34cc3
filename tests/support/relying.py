"""Relying parties of revocation: devices that enrolled, servers that judge them, and what waits until they have changed their mind.

Nothing here measures time: what is expected is asked for again until it comes, under a generous limit."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import SCEPCTL, AuthorityCase, free_port, need, run

# Endpoint and template of the server certificates of the relying parties themselves.
SERVER_TEMPLATE = """templates = ( {
    name = "server"; subject = ["CN=*!"]; san = ["DNS:*", "IP:*"]; rsa = [2048, 4096]; curves = ["P-256"];
    key_usage = "signing"; ext_key_usage = ["serverAuth"]; validity = "90d"; renew_before = "0s";
}, {"""
SERVER_ENDPOINT = """endpoints = (
    { path = "/scep/server"; authority = "demo"; template = "server"; challenge = "one-time"; },"""


def with_servers(text, ocsp=True):
    """The demo's configuration, with a template for TLS servers; with or without an OCSP URL in certificates."""
    url = re.search(r'url = "(http://[^"/]*)"', text)[1]
    text = re.sub(r'\n *ocsp_url = "[^"]*";.*', "", text)
    if ocsp:
        text = text.replace('    name = "demo";', f'    name = "demo";\n    ocsp_url = "{url}/ocsp/demo";', 1)
    return text.replace("templates = ( {", SERVER_TEMPLATE, 1).replace("endpoints = (", SERVER_ENDPOINT, 1)


def wait_for(what, condition, seconds=60, every=0.05, said=lambda: ""):
    """Asks until `condition` says something true; that is returned.  `said`: what to tell when it never does."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"in {seconds} s it did not come to this: {what}\n{said()}")
        time.sleep(every)


def free_udp_port():
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Device:
    """A certificate that was enrolled over SCEP, with its key."""

    def __init__(self, case, name, endpoint="/scep", *more):
        self.case, self.name = case, name
        self.key, self.cert = case.path(name + ".key"), case.path(name + ".pem")
        run(SCEPCTL, "client", "enrol", case.a.url + endpoint, "--subject", f"CN={name}", "--key", self.key,
            "--out", self.cert, *more, "--challenge-file", "-", input=case.a.challenge())
        # As TLS servers send it: curl looks for the issuer of a stapled answer nowhere else.
        self.chain = case.path(name + ".chain.pem")
        with open(self.chain, "w") as chain, open(self.cert) as cert, open(case.a.ca) as ca:
            chain.write(cert.read() + ca.read())
        self.serial = run("openssl", "x509", "-in", self.cert, "-noout", "-serial").stdout.strip().split("=")[1].lower()

    def revoke(self, reason="key-compromise"):
        """It is acknowledged when this returns."""
        self.case.a.ctl("cert", "revoke", self.serial, "--reason", reason, "--yes")

    def release(self):
        self.case.a.ctl("cert", "release", self.serial, "--yes")


class Forged:
    """A certificate that the authority's key signed and nobody issued: the store does not know it."""

    def __init__(self, case, name):
        self.case, self.name = case, name
        self.key, self.cert = case.path(name + ".key"), case.path(name + ".pem")
        conf, csr = case.path(name + ".cnf"), case.path(name + ".csr")
        with open(conf, "w") as f:
            f.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n"
                    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
                    f"authorityInfoAccess=OCSP;URI:{case.a.url}/ocsp/demo\n")
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-subj", f"/CN={name}", "-out", csr)
        run("openssl", "x509", "-req", "-in", csr, "-CA", case.a.ca, "-CAkey", os.path.join(case.a.home, "keys", "ca.key"),
            "-set_serial", str(secrets.randbits(126) | 1 << 126), "-days", "30", "-extfile", conf, "-out", self.cert)


class RelyingCase(AuthorityCase):
    """One authority, with devices and a server certificate for the relying parties."""

    key = "p256"
    init_args = ()

    @staticmethod
    def edit(text):
        return with_servers(text)

    def device(self, name, *more):
        return Device(self, name, "/scep", *more)

    def server(self, name="localhost"):
        return Device(self, name, "/scep/server", "--san", "DNS:localhost,IP:127.0.0.1")

    def crl_lists(self, *devices, path="/crl/demo.crl"):
        """The published CRL as PEM once it lists all of the devices."""
        der, pem = self.path("listed.crl"), self.path("listed.crl.pem")

        def look():
            with open(der, "wb") as f:
                f.write(self.a.get(path))
            text = run("openssl", "crl", "-inform", "DER", "-in", der, "-noout", "-text").stdout.lower()
            return all(d.serial in text for d in devices)
        wait_for("the CRL lists " + ", ".join(d.name for d in devices), look)
        run("openssl", "crl", "-inform", "DER", "-in", der, "-out", pem)
        return pem


class Program:
    """A server of somebody else in the foreground, its directory, and its end."""

    def __init__(self, case, command, port):
        self.port = port
        self.log_path = os.path.join(self.dir, "output")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT)
        case.addCleanup(self.end)

    def log_text(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode(errors="replace")

    def wait_until(self, ready):
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.log_text()}")
            return ready()
        wait_for(f"{type(self).__name__} answers", look)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)


class Nginx(Program):
    """nginx with a server certificate from the authority; `lines` inside of server {}."""

    CONF = """daemon off;
{user}
worker_processes 1;
pid {dir}/pid;
error_log {dir}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    {temporary}
    {more}
    ssl_session_cache off; ssl_session_tickets off;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        {lines}
        location / {{ return 200 "you are $ssl_client_s_dn, $ssl_client_verify\\n"; }}
    }}
}}
"""

    def __init__(self, case, server, lines, more=""):
        """`more`: lines outside of server {}"""
        self.dir = tempfile.mkdtemp(prefix="scepd-nginx-")
        port = free_port()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        with open(os.path.join(self.dir, "conf"), "w") as f:
            f.write(self.CONF.format(dir=self.dir, port=port, cert=server.chain, key=server.key, lines=lines, more=more,
                                     user="user root;" if os.geteuid() == 0 else "",
                                     temporary=" ".join(f"{k}_temp_path {self.dir}/{k};" for k in kinds)))
        self.conf = os.path.join(self.dir, "conf")
        super().__init__(case, [need("/usr/sbin/nginx"), "-p", self.dir, "-e", os.path.join(self.dir, "error.log"), "-c", self.conf],
                         port)
        self.ca = case.a.ca
        self.wait_until(lambda: self.status(None) != "000")

    def log_text(self):
        with open(os.path.join(self.dir, "error.log")) as f:
            return super().log_text() + f.read()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def status(self, device, *more):
        """The HTTP status that a device gets, "000" where the handshake fails."""
        who = ["--cert", device.cert, "--key", device.key] if device else []
        return run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", self.ca, *who, *more,
                   f"https://localhost:{self.port}/", check=False).stdout


class Radius(Program):
    """FreeRADIUS with nothing but EAP-TLS; `tls` are lines inside of tls-config {}.  Devices ask by wpa_supplicant's eapol_test."""

    CONF = """name = radiusd
libdir = /usr/lib/freeradius
raddbdir = {dir}
logdir = {dir}
run_dir = {dir}
log {{
    destination = stdout
}}
security {{
    allow_vulnerable_openssl = yes
}}
thread pool {{
    start_servers = 1
    max_servers = 2
    min_spare_servers = 1
    max_spare_servers = 2
}}
client localhost {{
    ipaddr = 127.0.0.1
    secret = relying
    require_message_authenticator = yes
}}
modules {{
    eap {{
        default_eap_type = tls
        tls-config common {{
            certificate_file = {cert}
            private_key_file = {key}
            {tls}
        }}
        tls {{
            tls = common
        }}
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {port}
    }}
    authorize {{
        eap
    }}
    authenticate {{
        eap
    }}
}}
"""

    def __init__(self, case, server, tls):
        self.dir = tempfile.mkdtemp(prefix="scepd-radius-")
        port = free_udp_port()
        with open(os.path.join(self.dir, "radiusd.conf"), "w") as f:
            f.write(self.CONF.format(dir=self.dir, port=port, cert=server.chain, key=server.key, tls=tls))
        with open(os.path.join(self.dir, "dictionary"), "w"):
            pass
        super().__init__(case, [need("/usr/sbin/freeradius"), "-f", "-xx", "-d", self.dir, "-l", "stdout"], port)
        self.ca = case.a.ca
        self.wait_until(lambda: "Ready to process requests" in self.log_text())

    def lets_in(self, device):
        conf = os.path.join(self.dir, "eapol-" + device.name)
        with open(conf, "w") as f:
            f.write(f'network={{\n key_mgmt=IEEE8021X\n eap=TLS\n identity="{device.name}"\n ca_cert="{self.ca}"\n'
                    f' client_cert="{device.cert}"\n private_key="{device.key}"\n}}\n')
        r = run(need("eapol_test"), "-c", conf, "-a", "127.0.0.1", "-p", self.port, "-s", "relying", "-t", "20", "-r", "0",
                check=False)
        if r.returncode == 0 and r.stdout.rstrip().endswith("SUCCESS"):
            return True
        # Anything but a refusal by EAP is a failure of the test.
        if "CTRL-EVENT-EAP-FAILURE" not in r.stdout:
            raise AssertionError(f"{r.stdout[-3000:]}\n{self.log_text()[-3000:]}")
        return False


class Apache(Program):
    """Apache with mod_ssl; `lines` in the server's context."""

    CONF = """ServerRoot {dir}
ServerName localhost
PidFile {dir}/pid
Mutex pthread
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
{user}
ErrorLog {dir}/error.log
LogLevel info
DocumentRoot {dir}/www
SSLEngine on
SSLCertificateFile {cert}
SSLCertificateKeyFile {key}
SSLSessionCache none
SSLSessionTickets off
{lines}
"""

    def __init__(self, case, server, lines):
        self.dir = tempfile.mkdtemp(prefix="scepd-apache-")
        os.chmod(self.dir, 0o755)
        os.mkdir(os.path.join(self.dir, "www"))
        with open(os.path.join(self.dir, "www", "index.html"), "w") as f:
            f.write("in\n")
        port = free_port()
        with open(os.path.join(self.dir, "conf"), "w") as f:
            f.write(self.CONF.format(dir=self.dir, port=port, cert=server.chain, key=server.key, lines=lines,
                                     user="User www-data\nGroup www-data" if os.geteuid() == 0 else ""))
        super().__init__(case, [need("/usr/sbin/apache2"), "-D", "FOREGROUND", "-f", os.path.join(self.dir, "conf")], port)
        self.ca = case.a.ca
        self.wait_until(lambda: "resuming normal operations" in self.log_text())

    def log_text(self):
        path = os.path.join(self.dir, "error.log")
        text = super().log_text()
        if os.path.exists(path):
            with open(path) as f:
                text += f.read()
        return text

    def lets_in(self, device):
        """Without renegotiation: TLS 1.3 refuses at the first read."""
        r = run("curl", "-s", "--cacert", self.ca, "--cert", device.cert, "--key", device.key,
                f"https://localhost:{self.port}/index.html", check=False)
        return r.stdout == "in\n"
