"""A payer of the official Python package: pays each URL that standard input names."""

import asyncio

from eth_account import Account
from x402 import x402Client
from x402.http.clients import wrapHttpxWithPayment
from x402.http.utils import decode_payment_response_header
from x402.mechanisms.evm import EthAccountSignerWithRPC
from x402.mechanisms.evm.batch_settlement.client import (
    BatchSettlementDepositPolicy,
    BatchSettlementEvmScheme,
    BatchSettlementEvmSchemeOptions,
)
from x402.mechanisms.evm.exact import ExactEvmClientScheme, register_exact_evm_client
from x402.mechanisms.evm.upto import UptoEvmClientScheme

from app import read, write

config = read()
network = config["network"]
account = Account.from_key(config["privateKey"])
signer = EthAccountSignerWithRPC(account, config["rpcUrl"])


def payer():
    # The controls know only listed stablecoins: the token of a local chain is not among them.
    return x402Client().set_spend_controls(False)


def wrap(client):
    return wrapHttpxWithPayment(client, timeout=60)


async def main():
    new = payer().register(network, ExactEvmClientScheme(signer)).register(network, UptoEvmClientScheme(signer))
    old = register_exact_evm_client(payer(), signer)
    clients, channels = {"pay": wrap(new), "pay-v1": wrap(old)}, {}

    def channel(salt):
        """One channel, and one payer that remembers it, for each salt."""
        if salt not in channels:
            options = BatchSettlementEvmSchemeOptions(
                salt=salt, deposit_policy=BatchSettlementDepositPolicy(deposit_multiplier=5)
            )
            scheme = BatchSettlementEvmScheme(signer, options)
            channels[salt] = scheme, wrap(payer().register(network, scheme))
        return channels[salt]

    async def perform(operation, url, salt=None):
        if operation == "refund":
            done = await asyncio.to_thread(channel(salt)[0].refund, url)
            return {"refund": done.model_dump(by_alias=True, exclude_none=True)}
        client = channel(salt)[1] if salt else clients[operation]
        response = await client.get(url)
        receipt = response.headers.get("payment-response") or response.headers.get("x-payment-response")
        if receipt:
            receipt = decode_payment_response_header(receipt).model_dump(by_alias=True, exclude_none=True)
        return {"status": response.status_code, "body": response.text, "receipt": receipt or None}

    write({"address": account.address})
    while True:
        command = await asyncio.to_thread(read)
        try:
            write(await perform(**command))
        except Exception as error:  # The harness judges it.
            write({"status": 0, "error": f"{type(error).__name__}: {error}"})


asyncio.run(main())
