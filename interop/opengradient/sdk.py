"""OpenGradient's SDK 1.1.4 on `seamline up --opengradient`: every row is a call as its documentation has it."""

import argparse
import asyncio
import json
import os
import time

from network import MODELS, Network
from table import Rows

parser = argparse.ArgumentParser()
parser.add_argument("--seamline", required=True)
parser.add_argument("--requests")
args = parser.parse_args()

network = Network(args.seamline, models=["mlp", "pair", "lookup", "linear"])
view = network.view
# The SDK reads this when it is imported.
os.environ.update(view["environment"])
import opengradient as og  # noqa: E402
from eth_hash.auto import keccak  # noqa: E402
from opengradient.client.opg_token import ERC20_ABI  # noqa: E402
from opengradient.client.tee_registry import TEERegistry  # noqa: E402
from opengradient.client.tee_verify import build_inner_request, canonical_request_bytes  # noqa: E402

from unittest import mock  # noqa: E402

RPC = view["rpc_url"]


def choice(wanted):
    """The SDK draws a TEE at random. A row that needs a certain one draws for it; which one is drawn is not its subject."""
    wanted = iter(wanted)
    return mock.patch("random.choice", lambda tees: next(tee for id in [next(wanted)] for tee in tees if tee.tee_id == id))


def ids(nodes):
    return [node["id"][2:] for node in nodes]


def alive(tees):
    return next(tee for tee in tees if tee.tee_id in ids(network.alive))


KEY = view["environment"]["OG_PRIVATE_KEY"]
ASK = [{"role": "user", "content": "What is a receipt?"}]
WEATHER = [{
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}]


def llm(key=KEY):
    return og.LLM(private_key=key, rpc_url=RPC)


async def with_llm(work, key=KEY):
    it = llm(key)
    try:
        return await work(it)
    finally:
        await it.close()


def proven(answer):
    """The fields that the SDK takes from an enclave's proof."""
    assert answer.tee_signature and len(answer.tee_signature) == 344, answer
    assert isinstance(answer.tee_timestamp, int), answer
    assert answer.tee_id in ids(network.alive), answer.tee_id
    return answer


def registry():
    tees = TEERegistry(RPC, "0x703cB174AEadB35D611858369B4b1111dC9Abda6").get_active_tees_by_type(0)
    assert {tee.tee_id for tee in tees} == set(ids(view["nodes"]))
    return f"{len(tees)} active TEEs"


async def sponsored():
    """Without an approval: the SDK signs an EIP-2612 permit, which the facilitator submits with the settlement."""
    from web3 import Web3
    w3 = Web3(Web3.HTTPProvider(RPC))
    account = w3.eth.account.from_key(KEY)
    token = w3.eth.contract(address=Web3.to_checksum_address(view["token"]), abi=ERC20_ABI)
    revoke = token.functions.approve(Web3.to_checksum_address(view["permit2"]), 0).build_transaction({
        "from": account.address, "nonce": w3.eth.get_transaction_count(account.address, "pending"),
        "gas": 100_000, "gasPrice": w3.eth.gas_price, "chainId": w3.eth.chain_id,
    })
    sent = w3.eth.send_raw_transaction(account.sign_transaction(revoke).raw_transaction)
    assert w3.eth.wait_for_transaction_receipt(sent, timeout=60).status == 1
    async def work(it):
        return proven(await it.chat(og.TEE_LLM.GPT_5, ASK)).finish_reason
    return await with_llm(work)


def approval():
    it = llm()
    first = it.ensure_opg_approval(min_allowance=1)
    assert first.tx_hash and first.allowance_before == 0 and first.allowance_after == 2 * 10**18, first
    second = it.ensure_opg_approval(min_allowance=1)
    assert second.tx_hash is None and second.allowance_before == 2 * 10**18, second
    return f"{first.allowance_before} -> {first.allowance_after}, then nothing to do"


async def chat():
    async def work(it):
        answer = proven(await it.chat(og.TEE_LLM.GPT_5, ASK))
        assert answer.finish_reason in ("stop", "length") and answer.chat_output["content"], answer
        assert answer.usage["total_tokens"] > 0, answer
        again = proven(await it.chat(og.TEE_LLM.GPT_5, ASK))
        assert again.chat_output == answer.chat_output
        return answer.chat_output["content"][:60]
    return await with_llm(work)


async def streaming():
    async def work(it):
        chunks = [chunk async for chunk in await it.chat(og.TEE_LLM.CLAUDE_HAIKU_4_5, ASK, stream=True)]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        last = proven(chunks[-1])
        assert last.is_final and last.usage.total_tokens > 0 and len(chunks) > 5, chunks
        whole = await it.chat(og.TEE_LLM.CLAUDE_HAIKU_4_5, ASK)
        assert whole.chat_output["content"] == text
        return f"{len(chunks)} chunks"
    return await with_llm(work)


async def tools():
    async def work(it):
        answer = proven(await it.chat(og.TEE_LLM.GPT_5, ASK, tools=WEATHER))
        assert answer.finish_reason == "tool_calls", answer
        call = answer.chat_output["tool_calls"][0]
        assert call["function"]["name"] == "get_weather" and call["type"] == "function", call
        talk = ASK + [answer.chat_output, {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]
        after = proven(await it.chat(og.TEE_LLM.GPT_5, talk, tools=WEATHER))
        assert after.finish_reason in ("stop", "length") and after.chat_output["content"], after
        return call["function"]["arguments"]
    return await with_llm(work)


async def tools_streamed():
    async def work(it):
        chunks = [chunk async for chunk in await it.chat(og.TEE_LLM.GPT_5, ASK, tools=WEATHER, stream=True)]
        (only,) = chunks
        proven(only)
        assert only.choices[0].delta.tool_calls[0]["function"]["name"] == "get_weather", only
        return "one synthetic chunk"
    return await with_llm(work)


async def json_schema():
    schema = {"name": "mood", "schema": {"type": "object", "properties": {"mood": {"enum": ["calm", "wild"]}}, "required": ["mood"]}}
    async def work(it):
        answer = proven(await it.chat(og.TEE_LLM.CLAUDE_HAIKU_4_5, ASK, response_format=og.ResponseFormat("json_schema", schema)))
        assert json.loads(answer.chat_output["content"]) == {"mood": "calm"}, answer
        return answer.chat_output["content"]
    return await with_llm(work)


async def completion():
    async def work(it):
        answer = proven(await it.completion(og.TEE_LLM.GPT_5, "What is a receipt?"))
        assert answer.completion_output, answer
        return answer.completion_output[:60]
    return await with_llm(work)


async def image():
    async def work(it):
        answer = proven(await it.chat(og.TEE_LLM.GPT_IMAGE_2, [{"role": "user", "content": "a grey pixel"}]))
        assert answer.images and answer.images[0].startswith("data:image/png;base64,"), answer
        chunks = [chunk async for chunk in await it.chat(og.TEE_LLM.GPT_IMAGE_2, ASK, stream=True)]
        assert chunks[-1].images == answer.images, chunks
        return f"{len(answer.images[0])} characters, streamed too"
    return await with_llm(work)


async def settlement():
    """Both modes: the batched answer is proven to be under a root on the chain, the private one is in no batch."""
    hashes = {}
    for mode in (og.x402SettlementMode.PRIVATE, og.x402SettlementMode.BATCH_HASHED):
        ask = [{"role": "user", "content": f"What is a receipt? {mode.value}"}]
        async def work(it):
            return await it.chat(og.TEE_LLM.GPT_5, ask, x402_settlement_mode=mode)
        proven(await with_llm(work))
        # As the SDK's own functions hash it: the defaults of chat() are part of the request.
        _, canonical = build_inner_request({"model": "gpt-5", "messages": ask, "max_tokens": 100, "temperature": 0.0})
        hashes[mode] = "0x" + keccak(canonical_request_bytes(canonical)).hex()

    def prove(mode, file):
        return network.run(
            "settlement", "prove", "--network", view["network_file"], "--request-hash", hashes[mode], "--out", file,
        )

    file = os.path.join(network.home.name, "proof.json")
    deadline = time.monotonic() + 90
    while (ran := prove(og.x402SettlementMode.BATCH_HASHED, file)).returncode:
        assert time.monotonic() < deadline, ran.stderr
        await asyncio.sleep(0.5)
    checked = network.run("settlement", "verify", "--network", view["network_file"], file)
    assert checked.returncode == 0, checked.stderr
    absent = prove(og.x402SettlementMode.PRIVATE, file + ".private")
    assert absent.returncode != 0 and "settlement.absent" in absent.stderr, absent.stderr
    return " ".join(checked.stdout.split())[:120]


async def private():
    async def work(it):
        answer = await it.chat(og.TEE_LLM.GPT_5, ASK, x402_settlement_mode=og.x402SettlementMode.PRIVATE)
        return proven(answer).tee_timestamp
    return await with_llm(work)


async def foreign_key():
    """A key that the network did not make: refused with the reason, before anything is settled."""
    async def work(it):
        try:
            await it.chat(og.TEE_LLM.GPT_5, ASK)
        except RuntimeError as error:
            assert "payer_not_of_this_local_network" in str(error), error
            return "402 payer_not_of_this_local_network"
        raise AssertionError("a stranger's authorization was taken")
    return await with_llm(work, "0x" + "42" * 32)


def foreign_transaction():
    it = llm("0x" + "42" * 32)
    try:
        it.ensure_opg_approval(min_allowance=1)
    except ValueError as error:
        assert "has no OPG tokens" in str(error), error
        return "no tokens, nothing sent"
    raise AssertionError("a stranger could approve")


async def empty_wallet():
    async def work(it):
        try:
            await it.chat(og.TEE_LLM.GPT_5, ASK)
        except RuntimeError as error:
            assert "402" in str(error), error
            return "402"
        raise AssertionError("an empty wallet was served")
    return await with_llm(work, view["empty_key"])


def unknown_model():
    async def work(it):
        try:
            await it.chat("openai/no-such-model", ASK)
        except RuntimeError as error:
            assert "400" in str(error), error
            return "400"
        raise AssertionError("an unknown model was answered")
    return with_llm(work)


def confidential(stream):
    """ConfidentialLLM through `seamline relay`: the SDK verifies hashes, signature and TEE id before it returns."""
    with network.relay() as relay:
        stranger = og.ConfidentialLLM(relay.url, rpc_url=RPC, auth_headers=lambda: {"Authorization": "Bearer stranger"})
        try:
            stranger.chat("openai/gpt-5", ASK, stream=stream)
            raise AssertionError("somebody without an account was served")
        except og.RelayError as error:
            assert "401" in str(error), error
        client = og.ConfidentialLLM(relay.url, rpc_url=RPC, auth_headers=lambda: {"Authorization": "Bearer " + relay.token})
        # Its documentation names the enum, but version 1.1.4 sends "TEE_LLM.GPT_5" then: a plain string works.
        answer = client.chat("openai/gpt-5", ASK, stream=stream)
        assert answer.content and answer.proof.tee_id in (client.tee.tee_id, "0x" + client.tee.tee_id), answer.proof
    kept = relay.kept()
    for secret in (ASK[0]["content"], answer.content, relay.token):
        assert secret.encode() not in kept, "the relay kept " + secret
    if not stream:
        return answer.content[:60]
    frames = len(answer.stream_frames)
    assert frames > 5, answer.stream_frames
    return f"{frames} frames"


async def dead_enclave():
    """It dies between its last heartbeat and the call: nothing was sent, so the SDK draws another and asks once more."""
    live = ids(network.alive)[0]
    for stream in (False, True):
        with choice([*ids([network.dead]), live]):
            async def work(it):
                answer = await it.chat(og.TEE_LLM.GPT_5, ASK, stream=stream)
                return [chunk async for chunk in answer][-1] if stream else answer
            answer = proven(await with_llm(work))
        assert answer.tee_id == live, answer.tee_id
    return "the second one answered, streamed too"


async def all_dead():
    dead = ids([network.dead])
    with choice(dead * 2):
        async def work(it):
            try:
                await it.chat(og.TEE_LLM.GPT_5, ASK)
            except RuntimeError as error:
                assert "TEE LLM chat failed" in str(error), error
                return "an error, after one retry"
            raise AssertionError("a dead enclave answered")
        return await with_llm(work)


async def revoked():
    """A revoked image leaves the registry at once, for clients that hold a connection too."""
    node = network.alive[0]
    async def work(it):
        assert it.resolve_tee_connection(node["id"]).endpoint == node["endpoint"]
        ran = network.run("--network", view["network_file"], "registry", "revoke", node["measurement"], "--json")
        assert ran.returncode == 0, ran.stderr
        try:
            it.resolve_tee_connection(node["id"])
        except ValueError as error:
            assert "not active in the registry" in str(error), error
        else:
            raise AssertionError("a revoked enclave was resolved")
    with choice(ids(network.alive[1:2])):
        await with_llm(work)
    left = {tee.tee_id for tee in TEERegistry(RPC, view["registry"]).get_active_tees_by_type(0)}
    assert left == set(ids(view["nodes"])) - set(ids([node])), left
    return "gone from the registry and from resolve()"


def alpha_infer(name, mode=None):
    """A case of spec/vectors/models, whose outputs are ONNX Runtime's: the SDK returns them as float32."""
    import numpy
    with open(os.path.join(MODELS, "cases.json"), encoding="utf-8") as file:
        case = [case for case in json.load(file) if case["model"] == name][-1]
    kinds = {"f32": numpy.float32, "i64": numpy.int64, "bool": numpy.float32}
    arrays = {
        side: {tensor: numpy.array(values, dtype=kinds[kind]).reshape(shape) for tensor, (kind, shape, values) in case[side].items()}
        for side in ("inputs", "outputs")
    }
    alpha = og.Alpha(private_key=KEY, rpc_url=RPC)
    answer = alpha.infer(network.models[name], og.InferenceMode.VANILLA if mode is None else mode, arrays["inputs"])
    assert answer.model_output.keys() == arrays["outputs"].keys(), answer
    for tensor, expected in arrays["outputs"].items():
        found = answer.model_output[tensor]
        assert found.shape == expected.shape and numpy.allclose(found, expected, rtol=1e-5, atol=1e-9), (found, expected)
    from web3 import Web3
    mined = Web3(Web3.HTTPProvider(RPC)).eth.get_transaction_receipt(answer.transaction_hash)
    assert mined.status == 1 and len(mined.logs) == 2, mined
    return f"{', '.join(answer.model_output)}; {mined.gasUsed} gas"


def seamline_infer():
    """The same model at a node: paid, signed, verified. What is printed is what ONNX Runtime answers, and the receipt verifies."""
    import numpy
    with open(os.path.join(MODELS, "cases.json"), encoding="utf-8") as file:
        case = [case for case in json.load(file) if case["model"] == "mlp"][-1]
    inputs = {name: numpy.array(values).reshape(shape).tolist() for name, (_, shape, values) in case["inputs"].items()}
    ran = network.run(
        "--network", view["network_file"], "infer", "--model", network.models["mlp"], "--input", json.dumps(inputs),
        "--max-price", "1",
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    for name, (_, shape, values) in case["outputs"].items():
        numpy.testing.assert_allclose(numpy.array(said[name]), numpy.array(values).reshape(shape), rtol=1e-5, atol=1e-9)
    receipts = os.path.join(network.home.name, "home", "receipts")
    newest = max((os.path.join(receipts, name) for name in os.listdir(receipts)), key=os.path.getmtime)
    checked = network.run("receipt", "verify", newest)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return ran.stderr.strip()


def alpha_refused(words, model=None, mode=None, **inputs):
    """The SDK's error carries the reason of the chain."""
    from web3.exceptions import ContractLogicError
    alpha = og.Alpha(private_key=KEY, rpc_url=RPC)
    try:
        alpha.infer(model or network.models["linear"], og.InferenceMode.VANILLA if mode is None else mode, inputs)
    except ContractLogicError as error:
        assert words in str(error), error
        return str(error)[:140]
    raise AssertionError("it was answered")


UNKNOWN = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"

rows = Rows()
# Unless a row says otherwise, no row draws the dead one.
living = mock.patch("random.choice", alive)
living.start()
try:
    rows.run("registry", registry)
    rows.run("ensure_opg_approval", approval)
    rows.run("chat", chat)
    rows.run("streaming", streaming)
    rows.run("tools", tools)
    rows.run("tools, stream=True", tools_streamed)
    rows.run("json_schema", json_schema)
    rows.run("completion", completion)
    rows.run("image model", image)
    rows.run("settlement mode private", private)
    rows.run("batch settled and proven", settlement)
    rows.run("402 unpaid: empty wallet", empty_wallet)
    rows.run("unknown model", unknown_model)
    rows.run("402 unpaid: a key from elsewhere", foreign_key)
    rows.run("approval with a key from elsewhere", foreign_transaction)
    rows.run("ConfidentialLLM", lambda: confidential(stream=False))
    rows.run("ConfidentialLLM, streamed", lambda: confidential(stream=True))
    rows.run("dead enclave: its retry", dead_enclave)
    rows.run("dead enclave, twice", all_dead)
    rows.run("chat without approval, sponsored", sponsored)
    rows.run("alpha.infer", lambda: alpha_infer("mlp"))
    rows.run("alpha.infer, integers in", lambda: alpha_infer("lookup"))
    rows.run("alpha.infer, two outputs", lambda: alpha_infer("pair"))
    rows.run("seamline infer", seamline_infer)
    rows.run("alpha.infer: unknown model", lambda: alpha_refused("is not served here", UNKNOWN, x=[[1.0, 2.0, 3.0]]))
    rows.run("alpha.infer: no model id", lambda: alpha_refused("hash of a tree of blocks", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", x=1.0))
    rows.run("alpha.infer: wrong shape", lambda: alpha_refused("has the shape [1, 2], and the model takes [1, 3]", x=[[1.0, 2.0]]))
    rows.run("alpha.infer: mode TEE", lambda: alpha_refused("asks for an enclave's signature", mode=og.InferenceMode.TEE, x=[[1.0, 2.0, 3.0]]))
    rows.run("alpha.infer: mode ZKML", lambda: alpha_refused("asks for a proof", mode=og.InferenceMode.ZKML, x=[[1.0, 2.0, 3.0]]))
    rows.run("revoked PCR", revoked)
finally:
    living.stop()
    status = network.stop()
    rows.run("up --opengradient ends with Ctrl-C", lambda: None if status == 0 else (_ for _ in ()).throw(AssertionError(network.said)))
rows.end()
