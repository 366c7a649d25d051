"""What OpenGradient's SDK 1.1.4 checks on a call, tried out: each row is a column of docs/compare-opengradient.md.

The SDK is the published one. What answers it is an enclave of `seamline up --opengradient` on this machine; where a row
needs another answer than an honest enclave's, it is changed between the enclave's TLS and the SDK, as whoever holds the
enclave's TLS key could. A row says what the SDK does, taking or refusing; it is red where that is not what the page says.
"""

import argparse
import asyncio
import base64
import contextlib
import copy
import dataclasses
import json
import os
import time
from unittest import mock

from network import Network
from table import Rows

parser = argparse.ArgumentParser()
parser.add_argument("--seamline", required=True)
parser.add_argument("--requests")
args = parser.parse_args()

network = Network(args.seamline)
view = network.view
# The SDK reads this when it is imported.
os.environ.update(view["environment"])
import httpx  # noqa: E402
import opengradient as og  # noqa: E402
import requests  # noqa: E402
import web3  # noqa: E402
import x402  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: E402
from eth_hash.auto import keccak  # noqa: E402
from opengradient.client import tee_verify  # noqa: E402

RPC, KEY = view["rpc_url"], view["environment"]["OG_PRIVATE_KEY"]
ASK = [{"role": "user", "content": "What is a receipt?"}]
WEATHER = [{
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}]
YEAR = 365 * 24 * 60 * 60
IDS = [node["id"][2:] for node in network.alive]

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def drawn(tees):
    """The first of the living: the SDK draws at random, and which one it draws is no row's subject."""
    return next(tee for tee in tees if tee.tee_id == IDS[0])


class Whole(httpx.AsyncByteStream):
    def __init__(self, body):
        self.body = body

    async def __aiter__(self):
        yield self.body


class Between(httpx.AsyncBaseTransport):
    """Notes what the SDK asks, and may change what it is answered."""

    def __init__(self, inner, change):
        self.inner, self.change, self.asked, self.bodies = inner, change, [], []

    async def handle_async_request(self, request):
        self.asked.append(request)
        response = await self.inner.handle_async_request(request)
        body = await response.aread()
        self.bodies.append(body)
        headers = [(k, v) for k, v in response.headers.multi_items() if k.lower() not in ("content-length", "transfer-encoding")]
        status, headers, body = self.change(response.status_code, headers, body) if self.change else (response.status_code, headers, body)
        return httpx.Response(status, headers=headers, stream=Whole(body), request=request)

    async def aclose(self):
        await self.inner.aclose()


def llm():
    return og.LLM(private_key=KEY, rpc_url=RPC)


@contextlib.asynccontextmanager
async def sdk(change=None):
    """The SDK with something between it and the enclave."""
    it = llm()
    paying = it._tee.get().http_client._transport
    paying._transport = Between(paying._transport, change)
    try:
        yield it, paying._transport
    finally:
        await it.close()


def in_answers(change):
    """Changes the JSON of paid answers."""
    def changed(status, headers, body):
        if status == 200:
            answer = json.loads(body)
            change(answer)
            body = json.dumps(answer).encode()
        return status, headers, body
    return changed


async def ask(change=None, **more):
    async with sdk(change) as (it, _):
        return await it.chat(og.TEE_LLM.GPT_5, ASK, **more)


# The direct path: LLM.chat


@check
async def evidence_before_the_first_prompt():
    async with sdk() as (it, between):
        await it.chat(og.TEE_LLM.GPT_5, ASK)
    paths = {request.url.path for request in between.asked}
    assert paths == {"/v1/chat/completions"}, paths
    return "asks for none"


@check
async def certificate_of_the_registry():
    def another(tees):
        return dataclasses.replace(drawn(tees), tls_cert_der=next(tee for tee in tees if tee.tee_id == IDS[1]).tls_cert_der)

    with mock.patch("random.choice", another):
        try:
            await ask()
        except RuntimeError as error:
            assert "CERTIFICATE_VERIFY_FAILED" in str(error), error
            return "refuses another"
    raise AssertionError("another certificate was taken")


@check
async def measurement_against_a_list():
    with mock.patch("random.choice", lambda tees: dataclasses.replace(drawn(tees), pcr_hash="0x" + "00" * 32)):
        answer = await ask()
    assert answer.chat_output["content"]
    return "takes any; hands the registry's on"


@check
async def node_among_several():
    shown = []

    def draw(tees):
        shown.extend(tees)
        return drawn(tees)

    with mock.patch("random.choice", draw):
        llm()
    assert {tee.tee_id for tee in shown} == {node["id"][2:] for node in view["nodes"]}, shown
    return "draws one of all that are active at random"


@check
async def another_authorization_after_a_failed_exchange():
    nonces, lost = [], []
    real = x402.x402Client.create_payment_payload

    async def noted(self, *args, **kwargs):
        payment = await real(self, *args, **kwargs)
        nonces.append(payment.payload["permit2Authorization"]["nonce"])
        return payment

    def lose(status, headers, body):
        if status == 200 and not lost:
            lost.append(body)
            raise httpx.ReadTimeout("the first answer is lost")
        return status, headers, body

    with mock.patch.object(x402.x402Client, "create_payment_payload", noted):
        answer = await ask(lose)
    assert lost and answer.chat_output["content"] and len(set(nonces)) == 2, nonces
    return "asks once more, with a second authorization"


@check
async def text_against_the_signature():
    def change(answer):
        answer["choices"][0]["message"]["content"] = "altered"

    assert (await ask(in_answers(change))).chat_output["content"] == "altered"
    return "takes an altered text; hands the signature on"


@check
async def signature_present():
    answer = await ask(in_answers(lambda answer: answer.pop("tee_signature")))
    assert answer.chat_output["content"] and answer.tee_signature is None
    return "takes an answer without one, and says None"


@check
async def signed_time():
    def change(answer):
        answer["tee_timestamp"] -= YEAR

    answer = await ask(in_answers(change))
    assert answer.tee_timestamp < time.time() - YEAR + 3_600
    return "takes last year's; hands it on"


@check
async def answer_of_another_request():
    async with sdk() as (it, between):
        await it.chat(og.TEE_LLM.GPT_5, ASK)
        old = between.bodies[-1]
        between.change = lambda status, headers, body: (status, headers, old if status == 200 else body)
        answer = await it.chat(og.TEE_LLM.GPT_5, [{"role": "user", "content": "How do I cap what a call may cost?"}])
    assert answer.tee_signature == json.loads(old)["tee_signature"]
    return "takes the one before again"


@check
async def tool_call_against_the_signature():
    def change(answer):
        answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = '{"city": "Elsewhere"}'

    answer = await ask(in_answers(change), tools=WEATHER)
    assert "Elsewhere" in answer.chat_output["tool_calls"][0]["function"]["arguments"]
    return "takes altered arguments"


@check
async def usage_within_what_was_asked():
    def change(answer):
        answer["usage"]["completion_tokens"] = 10**9

    answer = await ask(in_answers(change))
    assert answer.usage["completion_tokens"] == 10**9
    return "takes any; hands it on"


@check
async def stream_to_its_signature():
    def cut(status, headers, body):
        frames = body.split(b"\n\n")
        return status, headers, b"\n\n".join(frames[: len(frames) // 2]) + b"\n\n" if status == 200 else body

    chunks = []
    async with sdk(cut) as (it, _):
        async for chunk in await it.chat(og.TEE_LLM.GPT_5, ASK, stream=True):
            chunks.append(chunk)
    assert chunks and not any(chunk.is_final for chunk in chunks)
    return "ends without an error; no chunk is_final"


@check
async def settlement_named_in_headers():
    def change(status, headers, body):
        return status, [*headers, ("x-settlement-tx-hash", "0x" + "ab" * 32)], body

    answer = await ask(change)
    assert answer.data_settlement_transaction_hash == "0x" + "ab" * 32
    return "hands it on"


@check
async def settlement_on_the_chain():
    methods = []
    real = web3.HTTPProvider.make_request

    def noted(self, method, params):
        methods.append(method)
        return real(self, method, params)

    async with sdk() as (it, _):
        with mock.patch.object(web3.HTTPProvider, "make_request", noted):
            await it.chat(og.TEE_LLM.GPT_5, ASK)
    assert not {"eth_getTransactionReceipt", "eth_getLogs", "eth_getTransactionByHash"} & set(methods), methods
    return "does not look"


async def promised(change):
    """What the SDK signs where an offer is changed; nothing of it reaches the enclave."""
    def changed(status, headers, body):
        def header(name, value):
            if name.lower() != "payment-required":
                return name, value
            required = json.loads(base64.b64decode(value))
            required.pop("extensions", None)
            for offer in required["accepts"]:
                change(offer)
            return name, base64.b64encode(json.dumps(required).encode()).decode()
        return status, [header(*pair) for pair in headers], body

    async with sdk(changed) as (it, between):
        class Only:
            """Passes the first request on, and holds the paid one back."""

            async def handle_async_request(self, request):
                if "payment-signature" in request.headers:
                    return httpx.Response(402, json={}, request=request)
                return await inner.handle_async_request(request)

            async def aclose(self):
                await inner.aclose()

        inner, between.inner = between.inner, Only()
        with contextlib.suppress(RuntimeError):
            await it.chat(og.TEE_LLM.GPT_5, ASK)
        signed = [request.headers.get("payment-signature") for request in between.asked]
    payments = [json.loads(base64.b64decode(payment)) for payment in signed if payment]
    return payments[0]["payload"]["permit2Authorization"] if payments else None


@check
async def price_against_a_cap():
    def change(offer):
        offer["amount"] = str(10**21)

    signed = await promised(change)
    assert signed["permitted"]["amount"] == str(10**21), signed
    return "signs any amount that is asked (a thousand tokens here)"


@check
async def payee_against_the_registry():
    other = "0x00000000000000000000000000000000000000Fe"

    def change(offer):
        offer["payTo"] = other

    signed = await promised(change)
    assert signed["witness"]["to"].lower() == other.lower(), signed
    return "signs for any"


@check
async def token_against_a_list():
    other = "0x00000000000000000000000000000000000000Fd"

    def change(offer):
        offer["asset"] = other

    signed = await promised(change)
    assert signed["permitted"]["token"].lower() == other.lower(), signed
    return "signs for any"


@check
async def chain_against_a_list():
    def change(offer):
        offer["network"] = "eip155:1"

    assert await promised(change) is None
    return "signs for Base only"


# The confidential path: ConfidentialLLM, which verifies with verify_response


async def answered():
    """An honest answer, with the canonical request that it answers."""
    async with sdk() as (it, between):
        await it.chat(og.TEE_LLM.GPT_5, ASK)
    _, canonical = tee_verify.build_inner_request({"model": "gpt-5", "messages": ASK, "max_tokens": 100, "temperature": 0.0})
    return canonical, json.loads(between.bodies[-1])


def key_of(index):
    return tee_verify.pem_from_der(next(tee for tee in tees() if tee.tee_id == IDS[index]).signing_public_key_der)


def tees():
    return og.client.tee_registry.TEERegistry(RPC, view["registry"]).get_active_tees_by_type(0)


def verified(canonical, body, pem=None):
    return tee_verify.verify_response(
        canonical_request=canonical, response_body=body,
        response_content=tee_verify.response_content_for_hash(body), signing_key_pem=pem or key_of(0),
    )


def refused(why, *verification):
    try:
        verified(*verification)
    except tee_verify.VerificationError as error:
        assert why in str(error), error
        return f"refuses: {str(error)[:40]}"
    raise AssertionError("it was taken")


@check
async def confidential_text_against_the_signature():
    canonical, body = await answered()
    verified(canonical, body)
    body["choices"][0]["message"]["content"] = "altered"
    return refused("output hash mismatch", canonical, body)


@check
async def confidential_answer_of_another_request():
    canonical, body = await answered()
    return refused("request hash mismatch", {**canonical, "max_tokens": 99}, body)


@check
async def confidential_key_of_another_enclave():
    canonical, body = await answered()
    return refused("tee_id mismatch", canonical, body, key_of(1))


@check
async def confidential_signature_present():
    canonical, body = await answered()
    del body["tee_signature"]
    return refused("missing", canonical, body)


@check
async def confidential_signed_time():
    canonical, body = await answered()
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    body["tee_timestamp"] -= YEAR
    body["tee_id"] = "0x" + keccak(spki).hex()
    hashed = [bytes.fromhex(body[name]) for name in ("tee_request_hash", "tee_output_hash")]
    message = keccak(b"".join(hashed) + body["tee_timestamp"].to_bytes(32))
    signature = key.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    body["tee_signature"] = base64.b64encode(signature).decode()
    proof = verified(canonical, body, tee_verify.pem_from_der(spki))
    assert proof.timestamp < time.time() - YEAR + 3_600
    return "takes last year's"


@check
async def confidential_same_answer_twice():
    canonical, body = await answered()
    first, second = verified(canonical, body), verified(canonical, copy.deepcopy(body))
    assert first.signature == second.signature
    return "takes it, for the same question"


@check
async def confidential_usage_within_what_was_asked():
    canonical, body = await answered()
    body["usage"]["completion_tokens"] = 10**9
    verified(canonical, body)
    return "takes any"


class Changed(requests.Session):
    """A connection to the relay whose answers are changed."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def post(self, *args, **kwargs):
        response = super().post(*args, **{**kwargs, "stream": False})
        response._content = self.change(response.content)
        return response


def confidential(change, stream):
    with network.relay() as relay:
        client = og.ConfidentialLLM(
            relay.url, rpc_url=RPC, session=Changed(change), auth_headers=lambda: {"Authorization": "Bearer " + relay.token}
        )
        return client.chat(model="openai/gpt-5", messages=ASK, stream=stream)


@check
def confidential_stream_to_its_signature():
    try:
        confidential(lambda sealed: sealed[: len(sealed) // 2], stream=True)
    except Exception as error:  # noqa: BLE001 - which one it is says the row
        assert not isinstance(error, (og.RelayError, AssertionError)), error
        return f"refuses: {type(error).__name__}"
    raise AssertionError("half a stream was taken")


@check
def confidential_sealed_bytes():
    def change(sealed):
        return sealed[:-20] + bytes([sealed[-20] ^ 1]) + sealed[-19:]

    try:
        confidential(change, stream=False)
    except Exception as error:  # noqa: BLE001 - which one it is says the row
        assert not isinstance(error, (og.RelayError, AssertionError)), error
        return f"refuses: {type(error).__name__}"
    raise AssertionError("altered bytes were taken")


# Last, because it takes the node away


@check
async def revocation_between_two_calls():
    async with sdk() as (it, _):
        await it.chat(og.TEE_LLM.GPT_5, ASK)
        ran = network.run("--network", view["network_file"], "registry", "revoke", network.alive[0]["measurement"], "--json")
        assert ran.returncode == 0, ran.stderr
        assert IDS[0] not in {tee.tee_id for tee in tees()}
        answer = await it.chat(og.TEE_LLM.GPT_5, ASK)
    assert answer.tee_id == IDS[0]
    return "keeps the node until its next look, at most 300 s"


rows = Rows()
living = mock.patch("random.choice", drawn)
living.start()
try:
    llm().ensure_opg_approval(min_allowance=1)
    for function in CHECKS:
        rows.run(function.__name__, function)
finally:
    living.stop()
    network.stop()
rows.end()
