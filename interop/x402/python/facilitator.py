"""A facilitator of the official Python package: exact (EIP-3009 and Permit2), upto, batch-settlement."""

import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from x402 import x402FacilitatorSync
from x402.extensions.eip2612_gas_sponsoring import EIP2612_GAS_SPONSORING
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.batch_settlement.facilitator import BatchSettlementEvmFacilitator
from x402.mechanisms.evm.exact import register_exact_evm_facilitator
from x402.mechanisms.evm.upto import UptoEvmFacilitatorScheme
from x402.schemas import PaymentPayload, PaymentRequirements

from app import read, serve

config = read()
network = f"eip155:{config['chainId']}"
signer = FacilitatorWeb3Signer(private_key=config["privateKey"], rpc_url=config["rpcUrl"])
facilitator = x402FacilitatorSync()
register_exact_evm_facilitator(facilitator, signer, networks=network)
facilitator.register([network], UptoEvmFacilitatorScheme(signer))
facilitator.register([network], BatchSettlementEvmFacilitator(signer))
facilitator.register_extension(EIP2612_GAS_SPONSORING)

app = FastAPI()


def dump(model):
    return JSONResponse(model.model_dump(by_alias=True, exclude_none=True))


async def perform(verb, request):
    body = await request.json()
    payload = PaymentPayload.model_validate(body["paymentPayload"])
    requirements = PaymentRequirements.model_validate(body["paymentRequirements"])
    # The schemes block on the chain: they run beside the event loop.
    return dump(await asyncio.to_thread(verb, payload, requirements))


@app.get("/supported")
async def supported():
    return dump(facilitator.get_supported())


@app.post("/verify")
async def verify(request: Request):
    return await perform(facilitator.verify, request)


@app.post("/settle")
async def settle(request: Request):
    return await perform(facilitator.settle, request)


serve(app)
