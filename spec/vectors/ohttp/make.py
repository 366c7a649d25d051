"""Writes refused.json from rfc9458.json and opengradient.json: each case is valid but for one thing.

Run in this folder: python3 make.py
"""
import json

rfc = json.load(open("rfc9458.json"))
og = json.load(open("opengradient.json"))
cases = []


def case(kind, name, data, expect):
    cases.append({"kind": kind, "name": name, "bytes": data.hex(), "expect": expect})


def flip(data, at):
    out = bytearray(data)
    out[at] ^= 1
    return bytes(out)


def put(data, at, new):
    return data[:at] + new + data[at + len(new):]


key = bytes.fromhex(og["key_config"])
case("key_config", "empty", b"", "Truncated(KeyConfig)")
case("key_config", "one byte short", key[:-1], "Truncated(KeyConfig)")
case("key_config", "one byte more", key + b"\0", "Trailing(KeyConfig)")
case("key_config", "another kem", put(key, 1, b"\0\x10"), "Unsupported(Kem)")
case("key_config", "public key of zeros", put(key, 3, bytes(32)), "Malformed(PublicKey)")
case("key_config", "no suite", key[:35] + b"\0\0", "Malformed(KeyConfig)")
case("key_config", "half a suite", key[:35] + b"\0\2\0\1", "Malformed(KeyConfig)")
case("key_config", "only another kdf", put(key, 37, b"\0\2"), "Unsupported(Aead)")
case("key_config", "only another aead", put(key, 39, b"\xff\xff"), "Unsupported(Aead)")
case("key_config", "a suite twice", key[:35] + b"\0\x08" + key[37:] * 2, "Malformed(KeyConfig)")

case("key_list", "cut in the length", b"\0", "Truncated(KeyConfig)")
case("key_list", "cut in the configuration", b"\0\x29" + key[:-1], "Truncated(KeyConfig)")
case("key_list", "length too short for its configuration", b"\0\x28" + key, "Truncated(KeyConfig)")
case("key_list", "nothing known in it", b"\0\x29" + put(key, 1, b"\0\x10"), "Unsupported(KeyConfig)")

req = bytes.fromhex(og["request"])
case("request", "empty", b"", "Truncated(Request)")
case("request", "cut in the header", req[:6], "Truncated(Request)")
case("request", "cut in the encapsulated key", req[:38], "Truncated(Request)")
case("request", "shorter than a tag", req[:54], "Truncated(Request)")
case("request", "cut in the ciphertext", req[:-1], "Forged(Request)")
case("request", "one byte more", req + b"\0", "Forged(Request)")
case("request", "another key", put(req, 0, b"\2"), "UnknownKey")
case("request", "another kem", put(req, 1, b"\0\x10"), "Unsupported(Kem)")
case("request", "another kdf", put(req, 3, b"\0\2"), "Unsupported(Kdf)")
case("request", "an aead that nobody knows", put(req, 5, b"\0\4"), "Unsupported(Aead)")
case("request", "an aead that the key does not offer", put(req, 5, b"\0\1"), "Unsupported(Aead)")
case("request", "encapsulated key altered", flip(req, 7), "Forged(Request)")
case("request", "encapsulated key of zeros", put(req, 7, bytes(32)), "Forged(Request)")
case("request", "ciphertext altered", flip(req, 39), "Forged(Request)")
case("request", "tag altered", flip(req, -1), "Forged(Request)")

res = bytes.fromhex(og["response"])
case("response", "empty", b"", "Truncated(Response)")
case("response", "cut in the nonce", res[:31], "Truncated(Response)")
case("response", "shorter than a tag", res[:47], "Truncated(Response)")
case("response", "nonce altered", flip(res, 0), "Forged(Response)")
case("response", "ciphertext altered", flip(res, 32), "Forged(Response)")
case("response", "tag altered", flip(res, -1), "Forged(Response)")
case("response", "one byte more", res + b"\0", "Forged(Response)")
case("response", "a chunked response", bytes.fromhex(og["chunked_response"]), "Forged(Response)")

chunked = bytes.fromhex(og["chunked_response"])
first, second = 32 + 1 + 31, 32 + 1 + 31 + 2 + 116
assert chunked[32] == 31 and chunked[first:first + 2] == b"\x40\x74" and chunked[second] == 0
a, b, last = chunked[32:first], chunked[first:second], chunked[second:]
nonce = chunked[:32]
billing = bytes.fromhex(og["billing_frame"])
case("chunked", "empty", b"", "Truncated(Response)")
case("chunked", "cut in the nonce", chunked[:31], "Truncated(Response)")
case("chunked", "nonce only", nonce, "Truncated(Response)")
case("chunked", "cut in a chunk", chunked[:first - 1], "Truncated(Response)")
case("chunked", "cut after a chunk", nonce + a + b, "Truncated(Response)")
case("chunked", "cut after the sign of the final chunk", nonce + a + b + b"\0", "Truncated(Response)")
case("chunked", "cut in the final chunk", chunked[:-1], "Forged(Chunk)")
case("chunked", "a chunk missing", nonce + a + last, "Forged(Chunk)")
case("chunked", "chunks swapped", nonce + b + a + last, "Forged(Chunk)")
case("chunked", "a chunk twice", nonce + a + a + b + last, "Forged(Chunk)")
case("chunked", "a chunk as the last", nonce + a + b"\0" + b[2:], "Forged(Chunk)")
case("chunked", "the last as a chunk", nonce + a + b + bytes([len(last) - 1]) + last[1:] + last, "Forged(Chunk)")
case("chunked", "chunk altered", flip(chunked, 40), "Forged(Chunk)")
case("chunked", "nonce altered", flip(chunked, 0), "Forged(Chunk)")
case("chunked", "bytes after the final chunk", chunked + b"\0", "Forged(Chunk)")
case("chunked", "a chunk shorter than a tag", nonce + b"\x0f" + bytes(15) + last, "Malformed(Chunk)")
case("chunked", "a chunk longer than the limit", nonce + b"\x80\x20\0\0" + bytes(8), "TooLong(Chunk)")
case("chunked", "the billing frame left in", nonce + a + b + billing + last, "Malformed(Chunk)")
case("chunked", "a single response", res, "TooLong(Chunk)")

case("relayed", "no final chunk", nonce + a + b + billing, "Truncated(Response)")
case("relayed", "cut in the billing frame", nonce + a + b + billing[:50], "Truncated(Response)")
case("relayed", "another marker", nonce + a + b + flip(billing, 10) + last, "Malformed(Billing)")
case("relayed", "billing that is too long", nonce + a + billing[:35] + b"\0\0\4\1" + bytes(8), "TooLong(Billing)")
case("relayed", "billing twice", nonce + a + b + billing * 2 + last, "Malformed(Billing)")
case("relayed", "billing before a chunk", nonce + a + billing + b + last, "Malformed(Billing)")


def bill(payload):
    return billing[:35] + len(payload).to_bytes(4, "big") + payload


good = {"cost_opg": "1", "cost_usd": "0.1", "opg_price_usd": "2"}
for name, change in [("no number", {"cost_opg": ""}), ("a negative number", {"cost_opg": "-1"}),
                     ("a fraction of a base unit", {"cost_opg": "1.5"}), ("an exponent", {"cost_usd": "1e3"}),
                     ("a bare point", {"cost_usd": "1."}), ("a number that is no string", {"cost_opg": 1})]:
    payload = json.dumps({**good, **change}).encode()
    case("relayed", "billing with " + name, nonce + a + b + bill(payload) + last, "Malformed(Billing)")
case("relayed", "billing without a member", nonce + a + b + bill(b'{"cost_opg":"1"}') + last, "Malformed(Billing)")
case("relayed", "billing that is no json", nonce + a + b + bill(b"x") + last, "Malformed(Billing)")


def s(text):
    text = text if isinstance(text, bytes) else text.encode()
    assert len(text) < 64
    return bytes([len(text)]) + text


def http(method="POST", scheme="https", authority="a.example", path="/v1", fields=(), content=b"", tail=b"\0"):
    lines = b"".join(s(name) + s(value) for name, value in fields)
    return b"\0" + s(method) + s(scheme) + s(authority) + s(path) + s(lines) + s(content) + tail


case("bhttp_request", "empty", b"", "Truncated(Framing)")
case("bhttp_request", "a response", bytes.fromhex("0140c8"), "Malformed(Framing)")
case("bhttp_request", "indeterminate length", b"\2" + http()[1:], "Unsupported(Framing)")
case("bhttp_request", "an unknown framing", b"\4" + http()[1:], "Malformed(Framing)")
case("bhttp_request", "cut in the method", b"\0\4PO", "Truncated(Control)")
case("bhttp_request", "no path", b"\0" + s("GET") + s("https") + s("a"), "Truncated(Control)")
case("bhttp_request", "cut in the content", http(content=b"abc", tail=b"")[:-1], "Truncated(Content)")
case("bhttp_request", "padding that is not zero", http() + b"\1", "Malformed(Padding)")
for name, args in [("no method", {"method": ""}), ("a space in the method", {"method": "GET /x"}),
                   ("connect", {"method": "CONNECT"}), ("another scheme", {"scheme": "file"}),
                   ("a user in the authority", {"authority": "me@a.example"}),
                   ("a slash in the authority", {"authority": "a/b"}),
                   ("an empty path", {"path": ""}), ("a relative path", {"path": "v1"}),
                   ("an absolute url as path", {"path": "http://b/"}), ("a fragment", {"path": "/v1#x"}),
                   ("a space in the path", {"path": "/v1 HTTP/1.1"}), ("a line break in the path", {"path": "/v1\r\nx: y"}),
                   ("a backslash in the path", {"path": "/v1\\..\\admin"}), ("a dot segment", {"path": "/v1/../admin"}),
                   ("an encoded dot segment", {"path": "/v1/%2e%2E/admin"}), ("a zero byte in the path", {"path": "/v1\0"})]:
    case("bhttp_request", name, http(**args), "Malformed(Control)")
case("bhttp_request", "a path that is not utf-8", http(path=b"/\xff"), "Malformed(Control)")
for name, field in [("no name", ("", "x")), ("an upper-case name", ("Host", "x")), ("a pseudo field", (":path", "/")),
                    ("a space in a name", ("a b", "x")), ("a line break in a value", ("a", "x\r\nb: c")),
                    ("a zero byte in a value", ("a", "x\0")), ("a space before a value", ("a", " x")),
                    ("transfer-encoding", ("transfer-encoding", "chunked")), ("connection", ("connection", "x")),
                    ("a wrong content-length", ("content-length", "1"))]:
    case("bhttp_request", name, http(fields=[field]), "Malformed(Fields)")
case("bhttp_request", "two content-lengths", http(fields=[("content-length", "0")] * 2), "Malformed(Fields)")
case("bhttp_request", "cut in a field", b"\0" + s("GET") + s("https") + s("a") + s("/") + b"\2\1a", "Truncated(Fields)")
case("bhttp_response", "an informational status", bytes.fromhex("014066000000"), "Unsupported(Control)")
case("bhttp_response", "no status", b"\1", "Truncated(Control)")
case("bhttp_response", "a status beyond the last", b"\1" + b"\x42\x58", "Malformed(Control)")

about = "Bytes that must be refused, each for the reason in `expect`. Keys and contexts are those of opengradient.json. Made by make.py."
json.dump({"_about": about, "cases": cases}, open("refused.json", "w"), indent=1)
open("refused.json", "a").write("\n")
