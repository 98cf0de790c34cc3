"""Nothing of scepd speaks to anybody of itself: no update check, no telemetry, no name looked up, unless the configuration names a
webhook or an upstream.  A daemon with its listeners starts, enrols a device, publishes a list, reloads and ends in a network of its
own, where every packet for another host would be seen on the one interface there is."""

import os
import signal
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from harness import SCEPCTL, Authority, free_port, need, run

ETH_P_ALL = 3


class Wire(threading.Thread):
    """Every packet on `lo` that is not for this host."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(ETH_P_ALL))
        self.socket.bind(("lo", 0))
        self.seen, self.local = [], 0

    def run(self):
        while True:
            packet = self.socket.recv(65536)
            version = packet[14] >> 4 if len(packet) > 34 else 0
            to = packet[30:34] if version == 4 else packet[38:54] if version == 6 else b""
            if to[:1] == b"\x7f" and version == 4 or to == b"\0" * 15 + b"\1":
                self.local += 1
            else:
                self.seen.append(packet.hex())


def speak(to):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"hello", (to, 53))


def enrol(a, name):
    run(SCEPCTL, "client", "enrol", a.url + "/scep", "--subject", "CN=" + name, "--key", os.path.join(a.home, name + ".key"), "--out",
        os.path.join(a.home, name + ".pem"), "--challenge-file", "-", input=a.challenge())


def in_a_network_of_its_own():
    run("ip", "link", "set", "lo", "up")
    run("ip", "route", "add", "default", "dev", "lo")
    wire = Wire()
    wire.start()
    speak("192.0.2.1")
    while not wire.seen:  # what the test stands on: it would see one
        time.sleep(0.01)
    wire.seen.clear()
    a = Authority(init_args=["--admin-port", free_port(), "--api-port", free_port()])
    try:
        a.start()
        enrol(a, "quiet-1")
        a.ctl("--yes", "cert", "revoke", a.json("cert", "list")[0]["serial"])
        a.ctl("crl", "publish")
        a.process.send_signal(signal.SIGHUP)
        while "event=daemon.reloaded" not in a.log_text():
            time.sleep(0.05)
        enrol(a, "quiet-2")
        print("children", len(run("ps", "-o", "pid=", "--ppid", a.process.pid).stdout.split()))
        a.stop()
    finally:
        a.close()
    print("local", wire.local, "elsewhere", len(wire.seen))
    for packet in wire.seen[:5]:
        print(packet)


@unittest.skipUnless(os.geteuid() == 0, "a network of its own needs root")
class Silence(unittest.TestCase):
    def test_no_packet_leaves(self):
        need("ip")
        r = run("unshare", "--net", sys.executable, __file__, "inside", timeout=120)
        self.assertRegex(r.stdout, r"local [1-9]\d* elsewhere 0\n")
        # the keeper, and nobody beside it who could ask elsewhere
        self.assertRegex(r.stdout, r"children 1\n")


if __name__ == "__main__":
    in_a_network_of_its_own() if sys.argv[1:] == ["inside"] else unittest.main()
