"""A resource server of the official Python package: FastAPI middleware over four priced routes."""

from dataclasses import replace

from fastapi import FastAPI, Response
from x402 import x402ResourceServer
from x402.extensions.eip2612_gas_sponsoring import declare_eip2612_gas_sponsoring_extension
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import payment_middleware, set_settlement_overrides
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm.batch_settlement.authorizer_signer import LocalAuthorizerSigner
from x402.mechanisms.evm.batch_settlement.server import (
    BatchSettlementChannelManager,
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeServerConfig,
    ChannelManagerConfig,
)
from x402.mechanisms.evm.exact import ExactEvmServerScheme
from x402.mechanisms.evm.upto import UptoEvmServerScheme
from x402.schemas import AssetAmount

from app import read, serve

config = read()
network, pay_to, token, prices = (config[name] for name in ("network", "payTo", "token", "prices"))

facilitator = HTTPFacilitatorClient(FacilitatorConfig(url=config["facilitatorUrl"]))
channels = BatchSettlementEvmScheme(
    pay_to,
    BatchSettlementEvmSchemeServerConfig(receiver_authorizer_signer=LocalAuthorizerSigner(config["authorizerKey"])),
)
server = x402ResourceServer(facilitator)
server.register(network, ExactEvmServerScheme())
server.register(network, UptoEvmServerScheme())
server.register(network, channels)


def route(scheme, amount, **extra):
    domain = {"name": token["name"], "version": token["version"]}
    price = AssetAmount(asset=token["address"], amount=amount, extra=domain | extra)
    option = PaymentOption(scheme=scheme, pay_to=pay_to, price=price, network=network, max_timeout_seconds=300)
    return RouteConfig(accepts=option, description="one answer", mime_type="application/json")


app = FastAPI()
routes = {
    "GET /exact": route("exact", prices["exact"]),
    "GET /permit2": route("exact", prices["exact"], assetTransferMethod="permit2"),
    "GET /upto": route("upto", prices["ceiling"], assetTransferMethod="permit2"),
}
routes["GET /sponsored"] = replace(routes["GET /permit2"], extensions=declare_eip2612_gas_sponsoring_extension())
# A route that the facilitator cannot settle keeps the whole server from starting.
if "batch-settlement" in config["schemes"]:
    routes["GET /batch"] = route("batch-settlement", prices["exact"], minDeposit=prices["deposit"])
app.middleware("http")(payment_middleware(routes, server))
served = 0


def answer():
    global served
    served += 1
    return {"answer": 42, "served": served}


@app.get("/exact")
async def exact():
    return answer()


@app.get("/permit2")
async def permit2():
    return answer()


@app.get("/sponsored")
async def sponsored():
    return answer()


@app.get("/upto")
async def upto(response: Response):
    set_settlement_overrides(response, {"amount": prices["charged"]})
    return answer()


@app.get("/batch")
async def batch():
    return answer()


@app.get("/served")
async def count():
    return {"served": served}


@app.post("/collect")
async def collect():
    """Collects what the channels owe."""
    manager = BatchSettlementChannelManager(
        ChannelManagerConfig(
            scheme=channels, facilitator=facilitator, receiver=pay_to, token=token["address"], network=network
        )
    )
    done = await manager.claim_and_settle()
    settle = done.get("settle")
    return {
        "claims": [{"vouchers": claim.vouchers, "transaction": claim.transaction} for claim in done["claims"]],
        "settle": {"transaction": settle.transaction} if settle else None,
    }


serve(app)
