"""Random requests, canonicalised and hashed by OpenGradient's SDK and by `seamline request hash`: every one identical."""

import argparse
import json
import random
import subprocess
import sys
import threading
import time

from eth_hash.auto import keccak
from opengradient.client.tee_verify import build_inner_request, canonical_request_bytes

parser = argparse.ArgumentParser()
parser.add_argument("--seamline", required=True)
parser.add_argument("--requests", type=int, default=100_000)
parser.add_argument("--seed", type=int, default=None)
args = parser.parse_args()
SEED = args.seed if args.seed is not None else random.SystemRandom().getrandbits(64)

# What breaks serialisers, beside text of every plane.
NASTY = [
    "", "\x00", "\x1f", "\x7f", "\x80", "\u2028", "\u2029", "\ufeff", "\uffff", "\ufffd", "/", "\\", '"', "'", "<", "\b\f\n\r\t",
    "\ud800", "\udfff", "\ud83d", "\ude00\ud83d", "\U00010000", "\U0010ffff", "\U0001f600", "é", "ü", "漢字", "None", "null", "nan",
    "\\u0041", "\\", "a" * 300,
]
FLOATS = [
    "0.0", "-0.0", "1.0", "1e0", "1E+2", "1e-5", "0.0001", "0.00001", "1e15", "1e16", "1e17", "123456789012345680.0", "1e22", "1e23",
    "9007199254740993.0", "0.1", "0.30000000000000004", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308", "1e400",
    "-1e400", "1e-400", "-1e-400", "0.1e1", "100000000000000000000.0", "4.35", "2.675", "NaN", "Infinity", "-Infinity",
]
INTEGERS = [
    "0", "-0", "1", "-1", "255", "2147483648", "9007199254740993", "18446744073709551615", "18446744073709551616",
    "-9223372036854775809", "1" + "0" * 40, "-" + "9" * 77, "7" * 400,
]


def text(r):
    kind = r.random()
    if kind < 0.35:
        return r.choice(["hi", "Hello, world", "gpt-5", "name", "type", "What is a receipt?"])
    if kind < 0.6:
        return "".join(r.choice(NASTY) for _ in range(r.randint(1, 4)))
    planes = [(0x20, 0x7E), (0x00, 0x1F), (0x80, 0x7FF), (0x800, 0xFFFF), (0xD800, 0xDFFF), (0x10000, 0x10FFFF)]
    return "".join(chr(r.randint(*r.choice(planes))) for _ in range(r.randint(0, 12)))


def quoted(r, s):
    """A string in JSON, in one of the many ways to write it."""
    out = []
    for c in s:
        point = ord(c)
        short = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}
        if point in short and r.random() < 0.7:
            out.append("\\" + short[point])
        elif point < 0x20 or c in '"\\' or 0xD800 <= point <= 0xDFFF or r.random() < 0.2:
            if point > 0xFFFF:
                point -= 0x10000
                pair = (0xD800 + (point >> 10), 0xDC00 + (point & 0x3FF))
                out.append("".join(hexed(r, unit) for unit in pair))
            else:
                out.append(hexed(r, point))
        elif c == "/" and r.random() < 0.3:
            out.append("\\/")
        else:
            out.append(c)
    return '"' + "".join(out) + '"'


def hexed(r, unit):
    return "\\u" + (f"{unit:04x}" if r.random() < 0.5 else f"{unit:04X}")


def number(r):
    kind = r.random()
    if kind < 0.25:
        return r.choice(INTEGERS)
    if kind < 0.5:
        return r.choice(FLOATS)
    if kind < 0.7:
        return str(r.randint(-(10 ** r.randint(1, 60)), 10 ** r.randint(1, 60)))
    if kind < 0.85:
        import struct
        value = struct.unpack("<d", r.randbytes(8))[0]
        return repr(value).replace("nan", "NaN").replace("inf", "Infinity")
    return f"{r.randint(-99, 99)}.{r.randint(0, 10**r.randint(1, 25))}{r.choice(['', 'e', 'E', 'e+', 'E-'])}" .rstrip("e+E-") or "0"


def space(r):
    return r.choice(["", "", "", " ", "  ", "\t", "\r"])


def array(r, items):
    return "[" + space(r) + ("," + space(r)).join(items) + space(r) + "]"


def members(r, pairs):
    """An object of (name, JSON) pairs in random order; sometimes a name stands twice, and the last one counts."""
    pairs = list(pairs)
    r.shuffle(pairs)
    if pairs and r.random() < 0.05:
        pairs.insert(0, (pairs[-1][0], r.choice(["null", "1", '"first"'])))
    written = (quoted(r, name) + space(r) + ":" + space(r) + value for name, value in pairs)
    return "{" + space(r) + ("," + space(r)).join(written) + space(r) + "}"


def value(r, depth=4):
    kind = r.random()
    if depth == 0 or kind < 0.3:
        return quoted(r, text(r))
    if kind < 0.55:
        return number(r)
    if kind < 0.65:
        return r.choice(["true", "false", "null"])
    if kind < 0.8:
        return array(r, [value(r, depth - 1) for _ in range(r.randint(0, 4))])
    return members(r, [(text(r), value(r, depth - 1)) for _ in range(r.randint(0, 5))])


def maybe(r, chance, name, make):
    return [(name, make())] if r.random() < chance else []


def part(r):
    kind = r.random()
    if kind < 0.4:
        return members(r, [("type", '"text"')] + maybe(r, 0.9, "text", lambda: quoted(r, text(r))))
    if kind < 0.7:
        url = members(r, [("url", quoted(r, "data:image/png;base64," + "A" * r.randint(0, 60)))])
        return members(r, [("type", '"image_url"'), ("image_url", url)] + maybe(r, 0.2, "filename", lambda: quoted(r, text(r))))
    if kind < 0.9:
        file = members(r, maybe(r, 0.8, "filename", lambda: quoted(r, text(r))) + [("file_data", quoted(r, "QUJD"))])
        return members(r, [("type", '"file"'), ("file", file)] + maybe(r, 0.2, "filename", lambda: quoted(r, text(r))))
    # What is no object is hashed as Python's str().
    return r.choice([quoted(r, text(r)), "null", "true", "false", r.choice(INTEGERS), r.choice(FLOATS)])


def user_content(r):
    kind = r.random()
    if kind < 0.55:
        return quoted(r, text(r))
    if kind < 0.93:
        return array(r, [part(r) for _ in range(r.randint(0, 4))])
    return r.choice(["null", "true", "false", r.choice(INTEGERS), r.choice(FLOATS)])


def tool_call(r):
    function = members(
        r,
        maybe(r, 0.95, "name", lambda: quoted(r, text(r)))
        + maybe(r, 0.95, "arguments", lambda: quoted(r, r.choice(['{"a": 1.50}', "{}", text(r)])))
        + maybe(r, 0.1, "extra", lambda: value(r, 1)),
    )
    return members(
        r,
        maybe(r, 0.95, "function", lambda: function) + maybe(r, 0.9, "id", lambda: quoted(r, text(r)))
        + maybe(r, 0.8, "type", lambda: '"function"') + maybe(r, 0.1, "index", lambda: number(r)),
    )


def message(r):
    role = r.choice(["system", "developer", "user", "user", "user", "assistant", "assistant", "tool", "function"])
    pairs = [("role", json.dumps(role))]
    if role == "user":
        pairs += maybe(r, 0.97, "content", lambda: user_content(r))
    elif role == "assistant":
        pairs += maybe(r, 0.9, "content", lambda: r.choice([quoted(r, text(r)), "null", '""', value(r, 2)]))
        pairs += maybe(r, 0.5, "tool_calls", lambda: array(r, [tool_call(r) for _ in range(r.randint(0, 3))]))
    else:
        pairs += maybe(r, 0.95, "content", lambda: r.choice([quoted(r, text(r)), "null", value(r, 2)]))
        pairs += maybe(r, 0.9, "tool_call_id", lambda: quoted(r, text(r))) + maybe(r, 0.8, "name", lambda: quoted(r, text(r)))
    return members(r, pairs + maybe(r, 0.1, "refusal", lambda: value(r, 1)) + maybe(r, 0.1, "name", lambda: quoted(r, text(r))))


def tool(r):
    function = members(r, [("name", quoted(r, text(r))), ("parameters", value(r, 5))] + maybe(r, 0.5, "description", lambda: quoted(r, text(r))))
    return members(r, [("type", '"function"'), ("function", function)] + maybe(r, 0.2, "strict", lambda: "true"))


def request(r):
    stop = lambda: r.choice(['""', "[]", "null", quoted(r, text(r)), array(r, [quoted(r, text(r)) for _ in range(r.randint(1, 4))])])  # noqa: E731
    # A model's name is text; everything else may be half a character.
    model = "".join(c for c in text(r) if not 0xD800 <= ord(c) <= 0xDFFF)
    pairs = [("model", quoted(r, model or "m")), ("messages", array(r, [message(r) for _ in range(r.randint(1, 5))]))]
    pairs += maybe(r, 0.6, "temperature", lambda: r.choice(["null", "0", "1", "2", "-0", r.choice(FLOATS[:28]), str(r.random())]))
    pairs += maybe(r, 0.6, "max_tokens", lambda: r.choice(["null", "0", "-0", "1", "4096", str(r.randint(0, 2**63))]))
    pairs += maybe(r, 0.3, "stop", stop)
    pairs += maybe(r, 0.4, "tools", lambda: r.choice(["null", array(r, [tool(r) for _ in range(r.randint(0, 3))])]))
    pairs += maybe(r, 0.3, "response_format", lambda: r.choice(["null", "{}", members(r, [("type", '"json_schema"'), ("json_schema", value(r, 5))])]))
    pairs += maybe(r, 0.2, "web_search", lambda: r.choice(["true", "false", "null", "0", "1", '""', '"yes"', "[]", "{}"]))
    for name in ("stream", "top_p", "n", "seed", "user", "tool_choice", "logit_bias", "metadata"):
        pairs += maybe(r, 0.1, name, lambda: "true" if name == "stream" else value(r, 1))
    return members(r, pairs)


def theirs(line):
    """Canonical bytes and hash of the published package, or None where it refuses."""
    try:
        _, canonical = build_inner_request(json.loads(line))
        data = canonical_request_bytes(canonical)
    except Exception:  # noqa: BLE001 - it refuses in many ways
        return None
    return data.decode("ascii"), keccak(data).hex()


def main():
    started = time.monotonic()
    r = random.Random(SEED)
    # It ends with this script, whatever happens: its input closes.
    ours = subprocess.Popen([args.seamline, "request", "hash", "--lines", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    same = refused = 0
    codes = {}
    left = args.requests
    while left:
        # 1. a batch, written while the answers to it are read
        batch = [request(r).encode() for _ in range(min(2000, left))]
        left -= len(batch)

        def feed(batch=batch):
            ours.stdin.write(b"\n".join(batch) + b"\n")
            ours.stdin.flush()

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        # 2. both sides of each request
        for line in batch:
            answer = json.loads(ours.stdout.readline())
            wanted = theirs(line)
            if wanted is None and "error" in answer:
                refused += 1
                continue
            if "error" in answer:
                code = answer["error"]["code"]
                codes[code] = codes.get(code, 0) + 1
                # Ours alone refuses what has no stable text, and it says so.
                if code == "no_stable_text":
                    continue
            if wanted is None or (answer.get("canonical"), answer.get("hash")) != wanted:
                ours.kill()
                print(f"they differ (seed {SEED}):\n{line!r}\nours:   {answer}\ntheirs: {wanted}", file=sys.stderr)
                raise SystemExit(1)
            same += 1
        feeder.join()
    ours.stdin.close()
    ours.wait(60)
    took = time.monotonic() - started
    print(f"{args.requests} random requests (seed {SEED}) in {took:.0f} s: {same} identical, {refused} refused by both, refused by ours alone: {codes or 'none'}")
    # A generator that makes nothing but refusals would prove nothing.
    if same < args.requests * 0.9:
        raise SystemExit("fewer than nine in ten requests were comparable")


main()
