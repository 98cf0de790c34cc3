"""Debian's `scep` server (package scep, micromdm 2.1.0) beside ours: the same load tool, the same messages.

It has one static challenge, encrypts its answers with DES and knows no one-time passwords; its authority is RSA-2048 as ours."""

import os
import shutil
import subprocess
import tempfile
import time

from figures import Server, answers, free_port, need, on, run


class Peer(Server):
    """It runs in a directory of its own until the end of the block."""

    name = "micromdm"

    def __init__(self, cpus=None, certificates=0):
        self.home = tempfile.mkdtemp(prefix="scepd-peer-")
        self.port = free_port()
        self.cpus = cpus
        self.depot = os.path.join(self.home, "depot")
        run(need("scepserver"), "ca", "-init", "-depot", self.depot, "-organization", "Peer", "-country", "US", "-keySize", 2048)
        if certificates:
            self.fill(certificates)

    def fill(self, n):
        """The depot as n enrolments leave it: a line in index.txt and a file for each, and the next serial."""
        with open(os.path.join(self.depot, "ca.pem")) as f:
            pem = f.read()
        with open(os.path.join(self.depot, "index.txt"), "w") as index:
            for serial in range(2, n + 2):
                file = f"seed-{serial:06d}.{serial}.pem"
                digits = f"{serial:X}".zfill(2 * ((serial.bit_length() + 7) // 8))
                index.write(f"V\t361125000000Z\t\t{digits}\t{file}\t/CN=seed-{serial:06d}\n")
                with open(os.path.join(self.depot, file), "w") as f:
                    f.write(pem)
        with open(os.path.join(self.depot, "serial"), "w") as f:
            digits = f"{n + 2:x}"
            f.write("0" * (len(digits) % 2) + digits + "\n")

    def __enter__(self):
        self.log = open(os.path.join(self.home, "log"), "wb")
        self.process = subprocess.Popen([*on(self.cpus), need("scepserver"), "-depot", self.depot, "-port", str(self.port), "-challenge",
                                         "secret"], stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        end = time.monotonic() + 30
        while not answers(self.port):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("scepserver does not answer")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def challenges(self, n):
        return "secret\n" * n

    def load(self, n, connections, *more, **options):
        return super().load(n, connections, "--legacy", "--retry", 5, *more, check=False, **options)
