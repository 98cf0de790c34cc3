"""How programs read the challenge out of NDES's page: each as its original does it, so that the page is held to what they expect
and not to what we think of it.  `raw` is the body, `headers` the response's; each gives the password, or what it takes the page for."""

import codecs
import re

FULL, FORBIDDEN, NOTHING = "<cache full>", "<no permission>", "<nothing found>"
ENCODINGS = ("utf-16", "utf-16le", "utf-8")


def charset_of(headers):
    m = re.search(r"charset=([\w-]+)", headers.get("Content-Type", ""), re.I)
    return m.group(1) if m else None


def fleet(raw, headers):
    """Fleet: a byte order mark; or what looks like UTF-16LE ("<" and a zero, or zeros at nearly all odd places); else UTF-8.  Then
    a regular expression, and whole sentences for the errors."""
    if raw[:2] == codecs.BOM_UTF16_LE:
        text = raw[2:].decode("utf-16-le")
    elif raw[:2] == b"<\0" or (len(raw) > 1 and raw[1::2].count(0) > 0.9 * len(raw[1::2])):
        text = raw.decode("utf-16-le")
    else:
        text = raw.decode(charset_of(headers) or "utf-8")
    m = re.search(r"(?i)The enrollment challenge password is: <B> (?P<password>\S*)", text)
    if m:
        return m.group("password")
    if "The password cache is full." in text:
        return FULL
    return FORBIDDEN if "You do not have sufficient permission to enroll with SCEP." in text else NOTHING


def older_fleet(raw, headers):
    """Fleet until 4.5x: UTF-16LE always, with a byte order mark or not."""
    text = raw.decode("utf-16-le").removeprefix("\ufeff")
    m = re.search(r"(?i)The enrollment challenge password is: <B> (?P<password>\S*)", text)
    return m.group("password") if m else FULL if "The password cache is full." in text else NOTHING


def java_utf16(raw):
    """Java's UTF_16: by the byte order mark, big-endian without one."""
    if raw[:2] == codecs.BOM_UTF16_LE:
        return raw[2:].decode("utf-16-le", "replace")
    return raw.decode("utf-16-be", "replace")


def manage_engine(raw, headers):
    """ManageEngine MDM: one charset after the other until the words of the label are there; the text between two literals, or,
    without the colon, the reason."""
    label = "The enrollment challenge password is"
    tries = [java_utf16(raw), raw.decode("utf-8", "replace"), raw.decode("ascii", "replace"),
             raw.decode("utf-16-be", "replace"), raw.decode("utf-16-le", "replace"), raw.decode("latin-1")]
    text = next((t for t in tries if label in t), None)
    if text is None:
        return NOTHING  # "unknown error", whatever the page says
    if label + ":" not in text:
        return FULL if "The password cache is full" in text else NOTHING
    begin = "The enrollment challenge password is: <B> "
    end = -1
    if "This password can be used only once" in text:
        end = text.index(" </B> <P> This password can be used only once")
    elif "This password can be used multiple times" in text:
        end = text.index(" </B> <P> This password can be used multiple times and will not expire.")
    return text[text.index(begin) + len(begin):end] if end >= 0 else NOTHING


def flask_portal(raw, headers):
    """A portal in Python for network devices: split at every ">", the label is to stand at index 1 of its piece."""
    page = raw.decode("UTF-16")
    if "cache is full" in page:
        return FULL
    index = 0
    for i, s in enumerate(page.split(">")):
        if s.find("The enrollment challenge password is: <B") == 1:
            index = i + 1
    return page.split(">")[index].strip("</B").strip() if index else NOTHING


def dotnet_text(raw, headers):
    """HttpContent.ReadAsStringAsync: the charset of the header, else a byte order mark, else UTF-8."""
    if charset_of(headers):
        return raw.decode(charset_of(headers), "replace")
    if raw[:2] == codecs.BOM_UTF16_LE:
        return raw[2:].decode("utf-16-le", "replace")
    return raw.decode("utf-8", "replace")


def scep_test_client(raw, headers):
    """ScepTestClient (C#): the first run of 8 to 64 hexadecimal digits behind the words, over line ends and in any case; without
    the words the first such run of the page, which would be the thumbprint."""
    text = dotnet_text(raw, headers)
    m = re.search(r"challenge password.*?([0-9A-Fa-f]{8,64})", text, re.I | re.S) or re.search(r"([0-9A-Fa-f]{8,64})", text)
    return m.group(1) if m else NOTHING


def powershell(raw, headers):
    """Invoke-WebRequest and -replace: zeros away, then the digits behind the label."""
    text = dotnet_text(raw, headers).replace("\0", "")
    if "cache is full" in text:
        return FULL
    m = re.search(r"challenge password is:\s*<B>\s*([A-F0-9]{16})\s*</B>", text, re.I)
    return m.group(1) if m else NOTHING


# curl ... | tr -d '\000' | sed: what stands in wikis.  Run by the test with a shell, on what curl has fetched.
SHELL = r"""LC_ALL=C tr -d '\000' | LC_ALL=C sed -n 's/.*challenge password is: <B> \([0-9A-F]*\) <\/B>.*/\1/p'"""

# name -> (reader, encodings that it reads)
SCRAPERS = {
    "Fleet": (fleet, ENCODINGS),
    "Fleet before": (older_fleet, ("utf-16", "utf-16le")),
    "ManageEngine": (manage_engine, ENCODINGS),
    "Flask portal": (flask_portal, ("utf-16", "utf-16le")),
    "ScepTestClient": (scep_test_client, ("utf-16", "utf-8")),
    "PowerShell": (powershell, ENCODINGS),
}
