#!/usr/bin/env python3
"""Recomputes the vectors by spec/infer.md alone: ids, numbers, canonical bytes, hashes, refusals.

Shares no code with the project: Python's own json, decimal and hashlib, and Keccak from its definition.
`--write` fills in what the inputs yield; what comes out is to be read before it is kept.
"""
import base64
import hashlib
import json
import pathlib
import struct
import sys
from decimal import Decimal

HERE = pathlib.Path(__file__).parent
MAX_TEXT = 1_032_192


class Refused(Exception):
    pass


def keccak(data):
    """Keccak-256 with Ethereum's padding."""
    def rol(x, n):
        return (x << n | x >> (64 - n)) & (1 << 64) - 1 if n else x
    state = [[0] * 5 for _ in range(5)]
    rate = 136
    data += b"\x01" + b"\0" * (-(len(data) + 1) % rate)
    data = data[:-1] + bytes([data[-1] | 0x80])
    for at in range(0, len(data), rate):
        for i in range(rate // 8):
            state[i % 5][i // 5] ^= struct.unpack_from("<Q", data, at + 8 * i)[0]
        lfsr = 1
        for _ in range(24):
            c = [state[x][0] ^ state[x][1] ^ state[x][2] ^ state[x][3] ^ state[x][4] for x in range(5)]
            d = [c[(x - 1) % 5] ^ rol(c[(x + 1) % 5], 1) for x in range(5)]
            state = [[state[x][y] ^ d[x] for y in range(5)] for x in range(5)]
            x, y, current = 1, 0, state[1][0]
            for t in range(24):
                x, y = y, (2 * x + 3 * y) % 5
                current, state[x][y] = state[x][y], rol(current, (t + 1) * (t + 2) // 2 % 64)
            for y in range(5):
                row = [state[x][y] for x in range(5)]
                for x in range(5):
                    state[x][y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5])
            for j in range(7):
                lfsr = (lfsr << 1 ^ (lfsr >> 7) * 0x71) % 256
                if lfsr & 2:
                    state[0][0] ^= 1 << (1 << j) - 1
    return b"".join(struct.pack("<Q", state[i % 5][i // 5]) for i in range(4))


def model_id(text):
    if text.startswith("Qm") and len(text) == 46:
        raise Refused("model_id_version_0")
    try:
        if not text.startswith("b") or text != text.lower() or "=" in text:
            raise ValueError
        letters = text[1:].upper()
        raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError:
        raise Refused("model_id_malformed") from None
    if base64.b32encode(raw).decode().rstrip("=") != letters or not raw or raw[0] != 1:
        raise Refused("model_id_malformed")
    if raw[:2] != b"\x01\x55":
        raise Refused("model_id_not_raw")
    if raw[:4] != b"\x01\x55\x12\x20":
        raise Refused("model_id_not_sha256")
    if len(raw) != 36:
        raise Refused("model_id_malformed")
    return raw[4:]


def reduced(value, decimals):
    if decimals < 0:
        raise Refused("number_out_of_range")
    if value == 0:
        return 0, 0
    while decimals > 0 and value % 10 == 0:
        value, decimals = value // 10, decimals - 1
    if decimals > 400 or not -(1 << 127) <= value < 1 << 127:
        raise Refused("number_out_of_range")
    return value, decimals


def fixed(number):
    if isinstance(number, float) and (number != number or number in (float("inf"), float("-inf"))):
        raise Refused("number_not_finite")
    sign, digits, exponent = Decimal(str(number)).as_tuple()
    value = int("".join(map(str, digits))) * (-1 if sign else 1)
    return reduced(value * 10 ** max(exponent, 0), max(-exponent, 0))


def single(value, decimals):
    number = Decimal(value) / (10 ** Decimal(decimals))
    return struct.unpack("<f", struct.pack("<f", float(number)))[0]


def nested(value):
    shape, leaves = [], []

    def level(item, depth):
        if not isinstance(item, list):
            if depth != len(shape):
                raise Refused("tensor_ragged")
            if isinstance(item, bool) or not isinstance(item, (int, float, str)):
                raise Refused("tensor_value_type")
            if leaves and isinstance(leaves[0], str) != isinstance(item, str):
                raise Refused("tensor_mixed")
            if not isinstance(item, str):
                fixed(item)
            leaves.append(item)
        else:
            if depth == len(shape):
                if depth >= 8:
                    raise Refused("tensor_dimensions")
                if leaves:
                    raise Refused("tensor_ragged")
                shape.append(len(item))
            elif shape[depth] != len(item):
                raise Refused("tensor_ragged")
            for inner in item:
                level(inner, depth + 1)

    if isinstance(value, list):
        level(value, 0)
    else:
        level([value], 0)
    return shape, leaves


def integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def tensor(value):
    if isinstance(value, dict):
        if set(value) not in ({"shape", "values"}, {"shape", "strings"}):
            raise Refused("tensor_form")
        shape = value["shape"]
        values = value.get("values", value.get("strings"))
        if not isinstance(shape, list) or not isinstance(values, list):
            raise Refused("tensor_form")
        if len(shape) > 8:
            raise Refused("tensor_dimensions")
        if not all(integer(n) and 0 <= n < 1 << 32 for n in shape):
            raise Refused("tensor_form")
        if "values" in value:
            for pair in values:
                if not isinstance(pair, list) or len(pair) != 2 or not all(map(integer, pair)):
                    raise Refused("tensor_form")
                if any(not -(1 << 127) <= n < 1 << 127 for n in pair):
                    raise Refused("number_out_of_range")
            numbers = [list(reduced(*pair)) for pair in values]
            form = {"shape": shape, "values": numbers}
        else:
            if not all(isinstance(text, str) for text in values):
                raise Refused("tensor_form")
            form = {"shape": shape, "strings": values}
    elif value is None or isinstance(value, bool):
        raise Refused("tensor_value_type")
    else:
        shape, leaves = nested(value)
        if leaves and isinstance(leaves[0], str):
            form = {"shape": shape, "strings": leaves}
        else:
            form = {"shape": shape, "values": [list(fixed(leaf)) for leaf in leaves]}
    product = 1
    for length in shape:
        product *= length
    if product != len(form.get("values", form.get("strings"))):
        raise Refused("tensor_shape")
    return form


def tensors(value):
    forms = {}
    for name, form in value.items():
        forms[name] = tensor(form)
        printable = not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name)
        if not 1 <= len(name.encode()) <= 256 or not printable:
            raise Refused("tensor_name")
    if len(forms) > 64:
        raise Refused("tensors_too_many")
    if sum(len(form.get("values", form.get("strings"))) for form in forms.values()) > 65_536:
        raise Refused("tensors_elements")
    texts = [text for form in forms.values() for text in form.get("strings", [])]
    if sum(len(text.encode()) for text in texts) > 524_288:
        raise Refused("tensors_string_bytes")
    return forms


def elements(forms):
    count = 0
    for form in forms.values():
        count += len(form.get("values", []))
        count += sum(max(1, -(-len(text.encode()) // 16)) for text in form.get("strings", []))
    return count


def canonical(value):
    text = json.dumps(value, sort_keys=True)
    if len(text) > MAX_TEXT:
        raise Refused("too_large")
    return text


def request(text):
    body = json.loads(text)
    if not isinstance(body, dict):
        raise Refused("not_an_object")
    for member in ("model", "inputs"):
        if member not in body:
            raise Refused("missing")
    if len(body) > 2:
        raise Refused("unknown_member")
    if not isinstance(body["model"], str):
        raise Refused("wrong_type")
    model_id(body["model"])
    if not isinstance(body["inputs"], dict):
        raise Refused("wrong_type")
    forms = tensors(body["inputs"])
    return canonical({"model": body["model"], "inputs": forms}), elements(forms)


def outcome(work):
    try:
        return work()
    except Refused as refused:
        return {"error": str(refused)}


def request_outcome(text):
    form, count = request(text)
    return {"canonical": form, "input_hash": keccak(form.encode()).hex(), "elements": count}


def output_outcome(text):
    forms = tensors(json.loads(text))
    preimage = canonical(forms)
    return {"preimage": preimage, "output_hash": keccak(preimage.encode()).hex(), "elements": elements(forms)}


def singles_outcome(pair):
    return {"single_bits": struct.pack(">f", single(*pair)).hex()}


RULES = {
    "requests.json": ("body", request_outcome),
    "outputs.json": ("outputs", output_outcome),
    "model-ids.json": ("id", lambda text: {"sha256": model_id(text).hex()}),
    "singles.json": ("pair", lambda pair: singles_outcome([int(part) for part in pair])),
    "numbers.json": ("number", lambda text: {"pair": [str(n) for n in fixed(json.loads(text))]}),
}


def main():
    write = "--write" in sys.argv
    checked = 0
    for name, (key, rule) in RULES.items():
        path = HERE / name
        file = json.loads(path.read_text())
        for vector in file["vectors"]:
            got = outcome(lambda: rule(vector[key]))
            if write:
                vector["expect"] = got
            elif vector["expect"] != got:
                sys.exit(f"infer: {name}: {vector['name']}: {got}")
            checked += 1
        if write:
            path.write_text(json.dumps(file, indent=1) + "\n")
    for vector in json.loads((HERE / "fixed-point.json").read_text())["vectors"]:
        text = vector["in"].removeprefix("np.").removeprefix("float32").removeprefix("float64").strip("()")
        if [str(n) for n in fixed(json.loads(text))] != vector["value_decimals"]:
            sys.exit(f"infer: fixed-point.json: {vector['in']}")
        checked += 1
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert model_id(json.loads((HERE / "model-ids.json").read_text())["vectors"][0]["id"]) == \
        hashlib.sha256(b"hello world").digest()
    print(f"infer: {checked} vectors agree")


main()
