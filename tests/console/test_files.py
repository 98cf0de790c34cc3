"""The console's files as they stand in the tree: contrasts computed from the style sheet, what scripts may not do, and where the
vendored module comes from.  Needs no browser."""

import hashlib
import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
WEB = os.path.join(ROOT, "console", "web")


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def luminance(colour):
    """WCAG 2.2: relative luminance."""
    def linear(v):
        v /= 255
        return v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
    r, g, b = (linear(int(colour[i:i + 2], 16)) for i in (1, 3, 5))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    la, lb = sorted((luminance(a), luminance(b)))
    return (lb + 0.05) / (la + 0.05)


def themes():
    css = read(WEB, "assets", "app.css")
    blocks = re.findall(r":root \{([^}]*)\}", css)
    found = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", b)) for b in blocks]
    return {"light": found[0], "dark": found[1]}


# foreground, background, what it needs (WCAG 2.2, 1.4.3 and 1.4.11)
PAIRS = [
    ("text", "page", 4.5), ("text", "panel", 4.5), ("muted", "page", 4.5), ("muted", "panel", 4.5), ("accent", "page", 4.5),
    ("accent", "panel", 4.5), ("red", "page", 4.5), ("on", "accent", 4.5), ("on", "red", 4.5), ("border", "page", 3), ("border", "panel", 3),
    *[(tone, tone + "-bg", 4.5) for tone in ("good", "wait", "warn", "bad", "off")],
    *[(tone, "page", 4.5) for tone in ("good", "warn", "bad", "off")],
]


class Files(unittest.TestCase):
    def test_contrasts(self):
        for theme, colours in themes().items():
            for front, back, need in PAIRS:
                with self.subTest(theme=theme, pair=f"{front} on {back}"):
                    self.assertGreaterEqual(contrast(colours[front], colours[back]), need)

    def test_no_colour_stands_outside_the_two_lists(self):
        css = read(WEB, "assets", "app.css")
        rules = re.sub(r":root \{[^}]*\}", "", css)
        self.assertEqual(re.findall(r"#[0-9a-fA-F]{3,8}\b", rules), ["#0006", "#0008"], "shadow and backdrop of dialogs alone")

    def test_contrasts_told_in_the_manual_are_these(self):
        page = read(ROOT, "docs", "CONSOLE.md")
        for front, back, need in PAIRS:
            light, dark = (contrast(c[front], c[back]) for c in (themes()["light"], themes()["dark"]))
            row = f"| {front} | {back} | {light:.1f} | {dark:.1f} | {need} |"
            self.assertIn(row, page)

    def test_both_themes_have_the_same_colours(self):
        self.assertEqual(set(themes()["light"]), set(themes()["dark"]))
        self.assertGreater(len(themes()["light"]), 15)

    def test_text_stays_text(self):
        """No sink that takes HTML or code, in what is ours."""
        for name in sorted(os.listdir(os.path.join(WEB, "assets"))):
            if name.endswith(".js") and name != "vendor.js":
                text = read(WEB, "assets", name)
                for sink in ("innerHTML", "dangerouslySetInnerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function", "DOMParser", "localStorage",
                             "sessionStorage", "javascript:"):
                    self.assertNotIn(sink, text, name)

    def test_nothing_is_named_elsewhere(self):
        for path in ("index.html", *(os.path.join("assets", n) for n in os.listdir(os.path.join(WEB, "assets")))):
            found = re.findall(r"https?://[a-z0-9.-]+", read(WEB, path))
            self.assertEqual([u for u in found if u != "http://www.w3.org"], [], path)

    def test_page_has_no_inline_script_or_style(self):
        page = read(WEB, "index.html")
        self.assertEqual(re.findall(r"<script(?![^>]* src=)", page), [])
        self.assertNotIn("<style", page)
        self.assertEqual(re.findall(r"\s(on\w+|style)=", page), [])

    def test_every_import_is_used(self):
        for name in sorted(os.listdir(os.path.join(WEB, "assets"))):
            if name.endswith(".js") and name != "vendor.js":
                text = read(WEB, "assets", name)
                for names in re.findall(r"import \{([^}]*)\}", text):
                    rest = text.replace(names, "", 1)
                    for one in (n.strip() for n in names.split(",")):
                        self.assertRegex(rest, rf"(?<![\w.]){one}\b", f"{name} imports {one}")

    def test_every_module_is_preloaded(self):
        page = read(WEB, "index.html")
        for name in os.listdir(os.path.join(WEB, "assets")):
            self.assertIn(f'"assets/{name}"', page)

    def test_vendored_module_is_the_one_described(self):
        said = re.search(r"as assembled: ([0-9a-f]{64})", read(ROOT, "console", "vendor", "README")).group(1)
        with open(os.path.join(WEB, "assets", "vendor.js"), "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), said)


if __name__ == "__main__":
    unittest.main()
