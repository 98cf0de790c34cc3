"""What the black-box tests share: a throw-away authority, its daemon, and commands run to the end.

The build directory comes from SCEPD_BUILD (set by meson)."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

BUILD = os.environ.get("SCEPD_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build"))
SCEPD = os.path.join(BUILD, "scepd", "scepd")
SCEPCTL = os.path.join(BUILD, "scepd", "scepctl")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*args, check=True, input=None, timeout=60, **more):
    """Runs a command; its result with text stdout and stderr.  A failure shows both."""
    r = subprocess.run([str(a) for a in args], input=input, capture_output=True, text=True, timeout=timeout, **more)
    if check and r.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, args))}\nexit {r.returncode}\n{r.stdout}\n{r.stderr}")
    return r


def preload(library):
    """LD_PRELOAD for the programs of the build: the runtime of a sanitizer, if they have one, must come first."""
    runtime = re.findall(r"=> (\S*/lib[at]san\.so\S*)", run("ldd", SCEPD).stdout)
    return " ".join([*runtime, library])


def need(program):
    """A missing client is a failure, not a skip."""
    if not shutil.which(program) and not os.path.exists(program):
        raise AssertionError(f"{program} is not installed; run ./check, which installs it")
    return program


class Authority:
    """A demo authority in a directory of its own, with its daemon running or not."""

    def __init__(self, key="rsa2048", init_args=(), edit=None, env=None):
        """`env`: of everything that runs, e.g. with another clock (fastclock.py)."""
        self.home = tempfile.mkdtemp(prefix="scepd-test-")
        self.env = env
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        decrypts = ["--ca-decrypts"] if key.startswith("rsa") else []
        run(SCEPCTL, "init", "--demo", "--home", self.home, "--name", "Test CA", "--key", key, *decrypts, "--bind",
            "127.0.0.1", "--port", self.port, "--url", self.url, *init_args, env=env)
        self.conf = os.path.join(self.home, "scepd.conf")
        if env and "FAKETIME_TIMESTAMP_FILE" in env:
            self.unconfine()
        if edit:
            with open(self.conf) as f:
                text = f.read()
            with open(self.conf, "w") as f:
                f.write(edit(text))
        self.ca = os.path.join(self.home, "ca", "ca.pem")
        self.ra = os.path.join(self.home, "ca", "ra.pem")
        self.process = None
        self.log_path = os.path.join(self.home, "log")

    def unconfine(self):
        """For another clock: every process reads libfaketime's file whenever it asks for the time."""
        with open(self.conf, "a") as f:
            f.write('confinement = "off";\n')

    def start(self, before=(), every=0.02):
        """`before` stands in front of the daemon's command, e.g. taskset; `every`: seconds between two looks."""
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen([*before, SCEPD, "-c", self.conf], stdout=self.log, stderr=self.log,
                                        env=self.env)
        self.wait_ready(every=every)
        return self

    def wait_ready(self, seconds=30, every=0.02):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"scepd ended with {self.process.returncode}:\n{self.log_text()}")
            try:
                with urllib.request.urlopen(self.url + "/scep?operation=GetCACaps", timeout=5) as r:
                    r.read()
                return
            except (urllib.error.URLError, ConnectionError, OSError):
                time.sleep(every)
        raise AssertionError(f"scepd does not answer:\n{self.log_text()}")

    def stop(self):
        """An orderly end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process = None
        self.log.close()
        return code

    def kill(self):
        """kill -9 of the daemon, as a power failure would end it."""
        self.process.kill()
        self.process.wait(30)
        self.process = None
        self.log.close()

    def kill_all(self):
        """kill -9 of daemon and signer."""
        signer = int(re.findall(r"event=daemon\.started .*\bsigner=(\d+)", self.log_text())[-1])
        self.process.kill()
        try:
            os.kill(signer, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ends by itself when the daemon does
        self.process.wait(30)
        self.process = None
        self.log.close()

    def close(self):
        if self.process:
            self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def log_text(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode(errors="replace")

    def ctl(self, *args, **more):
        return run(SCEPCTL, "-c", self.conf, *args, **{"env": self.env, **more})

    def json(self, *args):
        """What `scepctl ... --json` lists, one object a line."""
        return [json.loads(line) for line in self.ctl(*args, "--json").stdout.splitlines()]

    def challenge(self, *args):
        return self.ctl("challenge", "new", *args).stdout.splitlines()[0]

    def static_challenge(self):
        with open(os.path.join(self.home, "keys", "static-challenge")) as f:
            return f.readline().rstrip("\n")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as r:
            return r.read()

    def crl(self):
        """The published CRL as a PEM file."""
        der, pem = os.path.join(self.home, "t.crl"), os.path.join(self.home, "t.crl.pem")
        with open(der, "wb") as f:
            f.write(self.get("/crl/demo.crl"))
        run("openssl", "crl", "-inform", "DER", "-in", der, "-out", pem)
        return pem


class AuthorityCase(unittest.TestCase):
    """One running authority for all tests of a class."""

    key = "rsa2048"
    init_args = ()
    edit = None

    @classmethod
    def setUpClass(cls):
        edit = cls.__dict__.get("edit") or getattr(cls, "edit", None)
        if isinstance(edit, staticmethod):
            edit = edit.__func__
        cls.a = Authority(cls.key, cls.init_args, edit)
        cls.addClassCleanup(cls.a.close)
        cls.a.start()

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="scepd-client-")
        self.addCleanup(shutil.rmtree, self.dir, True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def make_key(self, name="key.pem"):
        run("openssl", "genrsa", "-out", self.path(name), "2048")
        return self.path(name)

    def to_pem(self, der, pem):
        run("openssl", "x509", "-inform", "DER", "-in", der, "-out", pem)
        return pem

    def assert_good_certificate(self, pem, subject_part, key_usage=("Digital Signature", "Key Encipherment")):
        """Judged by openssl (strict, with the CRL) and by gnutls: chain, key usage, subject, CRL."""
        r = run("openssl", "verify", "-x509_strict", "-crl_check", "-CRLfile", self.a.crl(), "-CAfile", self.a.ca, pem)
        self.assertIn("OK", r.stdout)
        run("certtool", "--verify", "--load-ca-certificate", self.a.ca, "--load-crl", self.a.crl(), "--infile", pem)
        text = run("openssl", "x509", "-in", pem, "-noout", "-text", "-nameopt", "RFC2253,sep_comma_plus,-esc_msb").stdout
        self.assertIn(subject_part, text)
        self.assertIn("CA:FALSE", text)
        self.assertIn("TLS Web Client Authentication", text)
        for usage in key_usage:
            self.assertIn(usage, text)
        self.assertIn(self.a.url + "/crl/demo.crl", text)
        return text

    def serial(self, pem):
        return run("openssl", "x509", "-in", pem, "-noout", "-serial").stdout.strip().split("=")[1].lower()
