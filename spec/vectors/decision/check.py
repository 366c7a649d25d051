#!/usr/bin/env python3
"""Recomputes every decision of the vectors from their inputs, by spec/decision.md alone.

Shares no code with the project: Python's integers and a CBOR writer of its own.
"""
import hashlib
import json
import pathlib
import sys

M = 1_000_000
REJECTIONS = ["disabled", "avoided", "model_not_offered", "network_not_allowed", "asset_not_allowed",
              "measurement_not_allowed", "heartbeat_stale", "cooling", "over_cap"]
DECIDING = ["nothing", "only", "score", "tie", "explored"]
LEVERS = ["price", "latency", "health", "cap"]


def unhex(text):
    return bytes.fromhex(text.removeprefix("0x"))


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def cbor(value):
    def head(major, n):
        if n < 24:
            return bytes([major << 5 | n])
        width = next(w for w in (1, 2, 4, 8) if n < 1 << 8 * w)
        return bytes([major << 5 | 24 + (1, 2, 4, 8).index(width)]) + n.to_bytes(width, "big")
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(map(cbor, value))


def amount(n):
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def policy_items(p):
    return [1, p["model"], amount(int(p["cap"])), p["weight_price"], p["weight_latency"], p["weight_health"],
            p["latency_bound_us"], p["explore_ppm"], p["max_heartbeat_age_s"], list(map(unhex, p["measurements"])),
            p["network"], unhex(p["asset"]), list(map(unhex, p["avoid"]))]


def candidate_items(c):
    return [unhex(c["node"]), c["endpoint"], unhex(c["pay_to"]), unhex(c["measurement"]), c["offers_model"],
            c["network"], unhex(c["asset"]), amount(int(c["cost"])), c["latency_us"], c["health_ppm"],
            c["heartbeat_age_s"], c["observed_age_ms"], c["cooling_until_ms"], c["enabled"]]


def tree(leaves):
    if len(leaves) < 2:
        return sha(b"\0", leaves[0]) if leaves else sha()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1", tree(leaves[:split]), tree(leaves[split:]))


def chain_id(network):
    digits = network.removeprefix("eip155:") if network.startswith("eip155:") else ""
    plain = digits.isascii() and digits.isdigit() and digits[0] != "0" and int(digits) < 1 << 64
    return int(digits) if plain else 0


def rejection(p, c, now):
    def lead(text):
        return int.from_bytes(unhex(text)[:16], "big")
    accepted = list(map(unhex, p["measurements"]))
    tests = [
        (not c["enabled"], 0, 1),
        (unhex(c["node"]) in map(unhex, p["avoid"]), 1, 0),
        (not c["offers_model"], 0, 1),
        (c["network"] != p["network"], chain_id(c["network"]), chain_id(p["network"])),
        (unhex(c["asset"]) != unhex(p["asset"]), lead(c["asset"]), lead(p["asset"])),
        (unhex(c["measurement"]) not in accepted, lead(c["measurement"]), len(accepted)),
        (c["heartbeat_age_s"] > p["max_heartbeat_age_s"], c["heartbeat_age_s"], p["max_heartbeat_age_s"]),
        (c["cooling_until_ms"] > now, c["cooling_until_ms"], now),
        (int(c["cost"]) > int(p["cap"]), int(c["cost"]), int(p["cap"])),
    ]
    for code, (failed, observed, bound) in enumerate(tests):
        if failed:
            return code, observed, bound
    return None


def share(part, whole):
    return part * M // whole if whole else 0


class Rules:
    def __init__(self, p):
        self.p = p
        self.cap, self.bound = int(p["cap"]), p["latency_bound_us"]
        self.w = {"price": p["weight_price"], "latency": p["weight_latency"], "health": p["weight_health"]}
        self.total = sum(self.w.values())

    def parts(self, c, cap):
        return {"price": self.w["price"] * share(max(cap - int(c["cost"]), 0), cap),
                "latency": self.w["latency"] * share(max(self.bound - c["latency_us"], 0), self.bound),
                "health": self.w["health"] * c["health_ppm"]}

    def score(self, c, cap=None):
        parts = self.parts(c, self.cap if cap is None else cap)
        return sum(parts.values()) // self.total if self.total else 0


def uniform(draw, below):
    usable, counter = (1 << 64) // below * below, 0
    while True:
        block = sha(b"seamline/v1/sample", draw, counter.to_bytes(4, "big"))
        for at in range(0, 32, 8):
            word = int.from_bytes(block[at:at + 8], "big")
            if word < usable:
                return word % below
        counter += 1


def flips(rules, deciding, ranked, over_cap):
    if deciding == "explored":
        return []
    found, chosen = [], ranked[0] if ranked else None
    rival = ranked[1] if len(ranked) > 1 else None
    if rival:
        parts = rules.parts(rival, rules.cap)
        goal = (rules.score(chosen) + 1) * rules.total
        now = {"price": int(rival["cost"]), "latency": rival["latency_us"], "health": rival["health_ppm"]}
        for lever, bound in (("price", rules.cap), ("latency", rules.bound), ("health", None)):
            missing, weight = goal - (sum(parts.values()) - parts[lever]), rules.w[lever]
            if not weight or -(-missing // weight) > M:
                continue
            needed = -(-missing // weight)
            if lever == "health":
                found.append((lever, rival, now[lever], needed))
            elif bound and bound - -(-needed * bound // M) < now[lever]:
                found.append((lever, rival, now[lever], bound - -(-needed * bound // M)))
    cheapest = sorted(over_cap, key=lambda c: (int(c["cost"]), unhex(c["node"])))[:1]
    for other in ([rival] if rival else []) + cheapest:
        cap = flip_cap(rules, chosen, other)
        if cap is None:
            continue
        field = [c for c in ranked + over_cap if c is not other and int(c["cost"]) <= cap]
        if all(rules.score(c, cap) < rules.score(other, cap) for c in field):
            found.append(("cap", other, rules.cap, cap))
    return found


def flip_cap(rules, chosen, other):
    own = int(other["cost"])
    if chosen is None:
        return own
    theirs = int(chosen["cost"])
    base = [sum(v for k, v in rules.parts(c, rules.cap).items() if k != "price") for c in (chosen, other)]
    handicap = rules.total + rules.w["price"] + base[0] - base[1]
    gain = abs(own - theirs) * rules.w["price"] * M
    if gain >= 1 << 128:
        return None
    if own < theirs:
        return max(gain // handicap if handicap > 0 else 0, theirs - 1)
    if own > theirs and handicap < 0:
        return max(-(-gain // -handicap), own)
    return None


def decide(p, candidates, now, draw):
    rules, considered, ranked, over_cap = Rules(p), [], [], []
    for c in candidates:
        rejected = rejection(p, c, now)
        if rejected is None:
            ranked.append(c)
            considered.append((c, None, rules.score(c)))
        else:
            considered.append((c, *rejected))
            if REJECTIONS[rejected[0]] == "over_cap":
                over_cap.append(c)
    ranked.sort(key=lambda c: (-rules.score(c), sha(b"seamline/v1/tie", draw, unhex(c["node"]))))
    n, deciding, weight, below, margin = len(ranked), "nothing", 0, 1, 0
    if n:
        k = sum(rules.score(c) == rules.score(ranked[0]) for c in ranked)
        e = p["explore_ppm"]
        high, low, below = (M - e) * n + e * k, e * k, M * k * n
        drawn = 0 if high == below else uniform(draw, below)
        at = drawn // high if drawn < high * k else k + (drawn - high * k) // low
        weight = high if at < k else low
        deciding = "only" if n == 1 else "explored" if at >= k else "tie" if k > 1 else "score"
        ranked.insert(0, ranked.pop(at))
        margin = M
        if n > 1:
            a, b = rules.score(ranked[0]), rules.score(ranked[1])
            margin = abs(a - b) * M // max(a, b, 1)
    node = {"chosen": ranked[0]["node"] if n else None, "runner_up": ranked[1]["node"] if n > 1 else None}
    turned = flips(rules, deciding, ranked, over_cap)
    encoded = cbor([1, [[unhex(c["node"]), r[0]] if code is None else
                        [unhex(c["node"]), code, amount(r[0]), amount(r[1])] for c, code, *r in considered],
                    *(node[key] and unhex(node[key]) for key in node), margin, DECIDING.index(deciding), weight,
                    below, n, [unhex(c["node"]) for c in ranked],
                    [[LEVERS.index(what), unhex(c["node"]), amount(a), amount(b)] for what, c, a, b in turned]])
    verdicts = [{"node": c["node"], "score": r[0]} if code is None else
                {"node": c["node"], "rejected": REJECTIONS[code], "observed": str(r[0]), "bound": str(r[1])}
                for c, code, *r in considered]
    return {"candidates": verdicts, **node, "margin_ppm": margin, "deciding": deciding,
            "propensity": [weight, below], "usable": n, "rank": [c["node"] for c in ranked],
            "flips": [{"what": w, "node": c["node"], "from": str(a), "to": str(b)} for w, c, a, b in turned],
            "encoded": encoded.hex()}


def recompute(file, case):
    """Returns what a case must yield, from its inputs and the defaults of its file."""
    policy = {**file["policy"], **case.get("policy", {})}
    given = [{**file["candidate"], **c} for c in case["candidates"]]
    candidates = sorted(given, key=lambda c: unhex(c["node"]))
    encoded = list(map(cbor, map(candidate_items, candidates)))
    decision = decide(policy, candidates, file["now_ms"], unhex(case["draw"]))
    return {"policy_encoded": cbor(policy_items(policy)).hex(),
            "policy_hash": sha(b"seamline/v1/route-policy", cbor(policy_items(policy))).hex(),
            "catalogue_sha256": sha(cbor([1, list(map(candidate_items, candidates))])).hex(),
            "catalogue_root": tree(encoded).hex(), "decision": decision}


def main():
    wrong, cases = 0, 0
    for path in sorted(pathlib.Path(__file__).parent.glob("cases*.json")):
        file = json.loads(path.read_text())
        for case in file["cases"]:
            cases += 1
            if recompute(file, case) != case["expect"]:
                wrong += 1
                print(f"{path.name}: {case['name']}: another decision", file=sys.stderr)
    print(f"decision: {cases - wrong} of {cases} cases agree")
    return 1 if wrong or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
