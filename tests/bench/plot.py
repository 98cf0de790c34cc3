"""Draws the plots of docs/PERFORMANCE.md: plot.py [RESULTS [DIRECTORY]]

Reads the lines `series=...` of performance.py's results; of two for the same point the later counts.  One SVG for each plot,
beside the results or in DIRECTORY."""

import math
import os
import sys
import xml.etree.ElementTree as ET

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 48, 60
COLOURS = {"scepd": "#0b62a4", "micromdm": "#c0392b", "floor": "#666666", "nginx": "#2e8b57", "openssl": "#c0392b"}
NAMES = {"scepd": "scepd", "micromdm": "Debian's scep (micromdm 2.1.0)", "floor": "the floor: cryptography alone",
         "nginx": "nginx, a file of the same size", "openssl": "Debian's openssl ocsp"}


def read(path):
    """{series: {server: {x: words}}}"""
    axis = {"connections": "connections", "size": "certificates", "ocsp": "connections"}
    out = {}
    with open(path) as f:
        for line in f:
            words = dict(w.split("=", 1) for w in line.split() if "=" in w)
            series = words.get("series")
            if series in axis:
                out.setdefault(series, {}).setdefault(words["server"], {})[float(words[axis[series]])] = words
    return out


def lines_of(points, key):
    return {server: sorted((x, float(w[key])) for x, w in of.items() if key in w) for server, of in points.items()}


def ticks_log(low, high):
    """1, 2, 5, 10 ... or powers of ten alone where there would be too many."""
    steps = (1, 2, 5) if high / low < 2000 else (1,)
    first = math.floor(math.log10(low))
    all_ticks = [s * 10**e for e in range(first, math.ceil(math.log10(high)) + 1) for s in steps]
    return [t for t in all_ticks if low <= t <= high * 1.0001]


def short(v):
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if v >= limit and v % (limit / 10) == 0:
            return f"{v / limit:g}{letter}"
    return f"{v:g}"


class Plot:
    """Both axes logarithmic, or the upright one from 0."""

    def __init__(self, title, x_title, y_title, lines, x_ticks=None, y_log=True):
        xs = [x for points in lines.values() for x, _ in points]
        ys = [y for points in lines.values() for _, y in points]
        self.y_log = y_log
        self.x_range = min(xs), max(xs)
        self.y_range = (10 ** (math.floor(math.log10(min(ys)) * 2) / 2), 10 ** (math.ceil(math.log10(max(ys)) * 2) / 2)) if y_log else (
            0, max(ys) * 1.15)
        self.svg = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {HEIGHT}", "font-family":
                                      "sans-serif", "font-size": "13"})
        self.add("title", {}, title)
        self.add("rect", {"width": WIDTH, "height": HEIGHT, "fill": "white"})
        self.text(LEFT, 26, title, size=16)
        self.text(WIDTH / 2, HEIGHT - 12, x_title, anchor="middle")
        self.text(0, 0, y_title, anchor="middle", transform=f"translate(18 {HEIGHT / 2}) rotate(-90)")
        self.grid(x_ticks or ticks_log(*self.x_range))
        for server, points in lines.items():
            self.line(server, points)
        self.legend(lines)

    def add(self, tag, attributes, text=None):
        e = ET.SubElement(self.svg, tag, {k: f"{v:.1f}" if isinstance(v, float) else str(v) for k, v in attributes.items()})
        e.text = text
        return e

    def text(self, x, y, text, anchor="start", size=13, colour="#222222", **more):
        self.add("text", {"x": x, "y": y, "text-anchor": anchor, "font-size": size, "fill": colour, **more}, text)

    def x(self, v):
        low, high = self.x_range
        share = math.log(v / low) / math.log(high / low) if high > low else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, v):
        low, high = self.y_range
        share = math.log(v / low) / math.log(high / low) if self.y_log else v / high
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def y_ticks(self):
        if self.y_log:
            return ticks_log(*self.y_range)
        high = self.y_range[1]
        step = 10 ** math.floor(math.log10(high))
        step = next(s for s in (step, step / 2, step / 4, step / 5) if high / s >= 4 or s == step / 5)
        return [i * step for i in range(int(high / step) + 1)]

    def grid(self, x_ticks):
        for t in x_ticks:
            self.add("line", {"x1": self.x(t), "x2": self.x(t), "y1": TOP, "y2": HEIGHT - BOTTOM, "stroke": "#e4e4e4"})
            self.text(self.x(t), HEIGHT - BOTTOM + 18, short(t), anchor="middle")
        for t in self.y_ticks():
            self.add("line", {"x1": LEFT, "x2": WIDTH - RIGHT, "y1": self.y(t), "y2": self.y(t), "stroke": "#e4e4e4"})
            self.text(LEFT - 8, self.y(t) + 4, short(t), anchor="end")

    @staticmethod
    def style(server):
        dash = {"stroke-dasharray": "6 4"} if " " in server or server == "floor" else {}
        return {"stroke": COLOURS[server.split()[0]], "stroke-width": 2, **dash}

    def line(self, server, points):
        style = self.style(server)
        self.add("polyline", {"points": " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points), "fill": "none", **style})
        for x, y in points:
            self.add("circle", {"cx": self.x(x), "cy": self.y(y), "r": 3, "fill": style["stroke"]})

    def legend(self, lines):
        """In the upper left or the lower right corner, where fewer points are."""
        wide, high = 330, 10 + 18 * len(lines)
        corners = ((LEFT + 6, TOP + 2), (WIDTH - RIGHT - wide - 6, HEIGHT - BOTTOM - high - 6))
        inside = lambda left, top: sum(left <= self.x(x) <= left + wide and top <= self.y(y) <= top + high
                                       for points in lines.values() for x, y in points)
        left, top = min(corners, key=lambda c: inside(*c))
        for i, server in enumerate(lines):
            style = self.style(server)
            at = top + 18 + 18 * i
            self.add("line", {"x1": left + 6, "x2": left + 34, "y1": at - 4, "y2": at - 4, **style})
            first, _, rest = server.partition(" ")
            self.text(left + 40, at, NAMES[first] + (", " + rest if rest else ""), colour=style["stroke"])

    def write(self, path):
        ET.indent(self.svg)
        ET.ElementTree(self.svg).write(path, encoding="unicode")
        with open(path, "a") as f:
            f.write("\n")
        print("drawn:", path)


def draw(results, directory=None):
    directory = directory or os.path.dirname(os.path.abspath(results))
    os.makedirs(directory, exist_ok=True)
    series = read(results)
    file = lambda name: os.path.join(directory, name + ".svg")
    if "connections" in series:
        points = series["connections"]
        ticks = [2**i for i in range(9)]
        Plot("Throughput, client and server on the same processors", "connections", "enrolments a second", lines_of(points, "rps"),
             ticks, y_log=False).write(file("throughput"))
        latency = {}
        for server in points:
            latency[server] = lines_of(points, "p50_ms")[server]
            latency[server + " p99"] = lines_of(points, "p99_ms")[server]
        Plot("Latency: median, and the hundredth that waits longest", "connections", "milliseconds", latency, ticks).write(file("latency"))
    if "size" in series:
        lines = lines_of(series["size"], "server_cpu_us")
        if "scepd" in lines:
            lines["floor"] = lines_of(series["size"], "floor_us")["scepd"]
        Plot("Cost against the certificates in the store", "certificates", "server CPU us an enrolment", lines).write(file("size"))
    if "ocsp" in series:
        Plot("OCSP: answers that are kept, each server on one processor", "connections", "answers a second",
             lines_of(series["ocsp"], "rate"), [1, 2, 4, 8, 16, 32, 64, 128]).write(file("ocsp"))


if __name__ == "__main__":
    here = os.path.join(os.path.dirname(__file__), "..", "..", "build", "performance", "results")
    draw(sys.argv[1] if len(sys.argv) > 1 else here, sys.argv[2] if len(sys.argv) > 2 else None)
