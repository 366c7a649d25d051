"""What an ordinary program does with a chain, through web3.py. Called by scripts/interop-rpc."""

import json
import sys

import rlp
from eth_account import Account
from eth_utils import keccak
from web3 import Web3
from web3.exceptions import ContractCustomError, Web3RPCError

HEADER = """parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit
gasUsed timestamp extraData mixHash nonce baseFeePerGas withdrawalsRoot blobGasUsed excessBlobGas
parentBeaconBlockRoot requestsHash""".split()


def header_bytes(value):
    if isinstance(value, int):
        return value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)


def main(url, key):
    w3 = Web3(Web3.HTTPProvider(url))
    payer = Account.from_key(key)
    stranger = Account.create().address

    def send(transaction):
        raw = payer.sign_transaction(transaction).raw_transaction
        receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(raw))
        assert receipt.status == 1
        return receipt, raw

    def base():
        nonce = w3.eth.get_transaction_count(payer.address, "pending")
        return {"from": payer.address, "nonce": nonce, "chainId": w3.eth.chain_id}

    # Fees as the client chooses them
    history = w3.eth.fee_history(4, "latest", [10, 90])
    tip, base_fee = w3.eth.max_priority_fee, history["baseFeePerGas"][-1]
    fees = {"maxFeePerGas": 2 * base_fee + tip, "maxPriorityFeePerGas": tip}
    transfer = base() | fees | {"to": stranger, "value": 1, "type": 2}
    send(transfer | {"gas": w3.eth.estimate_gas(transfer)})
    legacy = base() | {"to": stranger, "value": 1, "gas": 21000, "gasPrice": w3.eth.gas_price}
    _, raw = send(legacy)
    assert w3.eth.get_balance(stranger) == 2
    try:
        w3.eth.send_raw_transaction(raw)
        raise SystemExit("a transaction was accepted twice")
    except Web3RPCError as err:
        assert "already known" in str(err)

    # A contract: deployed, called, its events, its typed error, its past
    with open("contracts/artifacts/OPGToken.json", encoding="utf-8") as file:
        artifact = json.load(file)
    factory = w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    receipt, _ = send(factory.constructor(payer.address, 1000).build_transaction(base()))
    token = w3.eth.contract(address=receipt.contractAddress, abi=artifact["abi"])
    receipt, _ = send(token.functions.transfer(stranger, 7).build_transaction(base()))
    assert token.functions.balanceOf(stranger).call() == 7
    assert token.functions.balanceOf(stranger).call(block_identifier=receipt.blockNumber - 1) == 0
    events = token.events.Transfer().get_logs(from_block=0)
    assert [event.args.value for event in events] == [1000, 7]
    try:
        token.functions.transfer(stranger, 10**9).call({"from": payer.address})
        raise SystemExit("a call that must revert did not")
    except ContractCustomError:
        pass

    # The block hash is the hash of the header that we were shown
    block = w3.eth.get_block("latest", full_transactions=True)
    assert keccak(rlp.encode([header_bytes(block[name]) for name in HEADER])) == block.hash
    print(f"{w3.client_version}: ok at block {block.number}")


main(*sys.argv[1:])
