"""Connections that do a server no good, thousands of them, from addresses of 127.0.0.0/8."""

import errno
import re
import resource
import select
import socket
import threading

IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h


def raise_descriptors(wanted):
    """For this process and what it starts.  False: the system does not let so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= wanted


class Crowd(threading.Thread):
    """`n` connections on which `says(i)` is sent as far as the server takes it, and nothing is ever read.  With `again`,
    one that is closed is opened anew, for ever."""

    def __init__(self, port, n, says=lambda i: b"", addresses=("127.0.0.2",), again=False):
        super().__init__(daemon=True)
        self.port, self.n, self.says, self.addresses, self.again = port, n, says, addresses, again
        self.poll = select.epoll()
        self.open = {}  # descriptor -> socket, number, what is left to send
        self.ended = 0  # connections that the server closed
        self.sent = 0  # octets
        self.leave = threading.Event()

    def connect(self, i):
        s = socket.socket()
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        s.bind((self.addresses[i % len(self.addresses)], 0))
        e = s.connect_ex(("127.0.0.1", self.port))
        if e not in (0, errno.EINPROGRESS):
            s.close()
            raise OSError(e, "connect")
        self.open[s.fileno()] = [s, i, memoryview(self.says(i))]
        # Not for input: what comes is left where it is.
        self.poll.register(s.fileno(), select.EPOLLOUT | select.EPOLLRDHUP)

    def drop(self, fd):
        s, i, _ = self.open.pop(fd)
        self.poll.unregister(fd)  # closing alone does not, while a process that was just forked has it too
        s.close()
        return i

    def send(self, fd):
        entry = self.open[fd]
        try:
            while entry[2]:
                n = entry[0].send(entry[2][:262144])
                self.sent += n
                entry[2] = entry[2][n:]
        except BlockingIOError:
            return
        self.poll.modify(fd, select.EPOLLRDHUP)

    def run(self):
        for i in range(self.n):
            self.connect(i)
            if i % 100 == 0:
                self.step(0)
        while not self.leave.is_set():
            self.step(0.05)
        for fd in list(self.open):
            self.drop(fd)
        self.poll.close()

    def step(self, seconds):
        for fd, what in self.poll.poll(seconds):
            if what & (select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP):
                self.ended += 1
                i = self.drop(fd)
                if self.again and not self.leave.is_set():
                    self.connect(i)
                continue
            try:
                self.send(fd)
            except OSError:
                pass  # its end is the next event

    def stop(self):
        self.leave.set()
        if self.ident:
            self.join()


class Callers(threading.Thread):
    """`n` connections on which one call follows the other, whatever is answered: `says(i)`, without end.  Counts answers by their
    status, and those of 429 and 503 that do not say when to come again."""

    def __init__(self, port, n, says, addresses=("127.0.0.2",)):
        super().__init__(daemon=True)
        self.port, self.n, self.says, self.addresses = port, n, says, addresses
        self.poll = select.epoll()
        self.open = {}  # descriptor -> socket, number, what came of the answer
        self.answers, self.ended, self.without_retry_after = {}, 0, 0
        self.leave = threading.Event()

    def call(self, i):
        s = socket.socket()
        s.bind((self.addresses[i % len(self.addresses)], 0))
        try:
            s.connect(("127.0.0.1", self.port))
            s.sendall(self.says(i))
        except OSError:  # closed at once: there are too many
            self.ended += 1
            s.close()
            return
        self.open[s.fileno()] = [s, i, b""]
        self.poll.register(s.fileno(), select.EPOLLIN)

    def take(self, fd):
        entry = self.open[fd]
        try:
            entry[2] += (more := entry[0].recv(1 << 20))
        except OSError:
            more = b""
        head, found, body = entry[2].partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.I) if found else None
        if length and len(body) >= int(length[1]):
            status = int(head.split(None, 2)[1])
            self.answers[status] = self.answers.get(status, 0) + 1
            self.without_retry_after += status in (429, 503) and b"\r\nretry-after: " not in head.lower()
            entry[2] = b""
            try:
                entry[0].sendall(self.says(entry[1]))
            except OSError:
                more = b""
        if not more:
            self.ended += 1
            self.poll.unregister(fd)
            del self.open[fd]
            entry[0].close()

    def run(self):
        while not self.leave.is_set():
            there = {entry[1] for entry in self.open.values()}
            for i in range(self.n):
                if i not in there:
                    self.call(i)
            for fd, _ in self.poll.poll(0.1):
                self.take(fd)
        for entry in self.open.values():
            entry[0].close()
        self.poll.close()

    def stop(self):
        self.leave.set()
        if self.ident:
            self.join()
