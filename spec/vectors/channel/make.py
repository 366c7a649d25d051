#!/usr/bin/env python3
"""Recomputes golden.json with the official x402 package for Python: `pip install "x402[evm]==2.25.0"`.

Ids, digests, signatures (RFC 6979) and the JSON of every payload come from that package, with its clock
and its random numbers replaced by the constants below. Run with `--check` it compares instead of writing.
"""

import json
import pathlib
import sys

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from x402.mechanisms.evm.batch_settlement import authorizer_signer, constants, encoding, types, utils
from x402.mechanisms.evm.batch_settlement.client import eip3009, permit2, voucher
from x402.mechanisms.evm.signers import EthAccountSigner
from x402.schemas import PaymentRequirements

KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
AUTHORIZER_KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
RECEIVER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
TOKEN = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
NETWORK = "eip155:84532"
NOW = 1_763_596_800
SALT = "0x" + "77" * 32
NONCE = "98765432109876543210"
FILE = pathlib.Path(__file__).with_name("golden.json")


def digest(domain, message_types, message):
    it = encode_typed_data(domain_data=domain, message_types=message_types, message_data=message)
    return "0x" + keccak(b"\x19" + it.version + it.header + it.body).hex()


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def vectors():
    account = Account.from_key(KEY)
    authorizer = Account.from_key(AUTHORIZER_KEY)
    signer = EthAccountSigner(account)
    seller = authorizer_signer.LocalAuthorizerSigner(authorizer)
    for module in (eip3009, permit2):
        module.time.time = lambda: NOW
    eip3009.create_nonce = lambda: SALT
    permit2.create_permit2_nonce = lambda: NONCE
    config = types.ChannelConfig(
        payer=account.address, payer_authorizer=account.address, receiver=RECEIVER,
        receiver_authorizer=authorizer.address, token=TOKEN, withdraw_delay=900, salt="0x" + "00" * 32,
    )
    channel_id = utils.compute_channel_id(config, NETWORK)
    domain = utils.get_batch_settlement_eip712_domain(84532)
    extra = {
        "receiverAuthorizer": authorizer.address, "withdrawDelay": 900, "name": "USDC", "version": "2",
    }
    requirements = PaymentRequirements(
        scheme="batch-settlement", network=NETWORK, asset=TOKEN, amount="1000", pay_to=RECEIVER,
        max_timeout_seconds=300, extra=extra,
    )
    by_token = eip3009.create_batch_settlement_eip3009_deposit_payload(
        signer, requirements, config, "5000", "1000")
    by_permit2 = permit2.create_batch_settlement_permit2_deposit_payload(
        signer, requirements, config, "5000", "1000")
    first = voucher.sign_voucher(signer, channel_id, "3900", NETWORK)
    claim = types.VoucherClaim(
        channel=config, max_claimable_amount="3900", signature=first.signature, total_claimed="3500")
    refund_signature = authorizer_signer.sign_refund(seller, channel_id, "1500", "4", NETWORK)
    claim_signature = authorizer_signer.sign_claim_batch(seller, [claim], NETWORK)
    plain = types.VoucherPayload()
    plain.channel_config, plain.voucher = config, first
    refund = types.RefundPayload()
    refund.channel_config, refund.voucher, refund.amount = config, first, "1500"
    order = types.EnrichedRefundPayload()
    order.channel_config, order.voucher, order.amount, order.refund_nonce = config, first, "1500", "4"
    order.claims = [claim]
    order.refund_authorizer_signature = refund_signature
    order.claim_authorizer_signature = claim_signature
    claims = types.ClaimPayload()
    claims.claims, claims.claim_authorizer_signature = [claim], claim_signature
    settle = types.SettlePayload(receiver=RECEIVER, token=TOKEN)
    erc3009 = by_token.deposit.authorization.erc3009_authorization
    witnessed = by_permit2.deposit.authorization.permit2_authorization
    entry = {
        "channelId": utils.coerce_bytes32(channel_id), "maxClaimableAmount": 3900, "totalClaimed": 3500}
    refund_message = {"channelId": utils.coerce_bytes32(channel_id), "nonce": 4, "amount": 1500}
    lone = voucher.sign_voucher(signer, "0x" + "ab" * 32, "3900", NETWORK)
    lone_message = {"channelId": bytes.fromhex("ab" * 32), "maxClaimableAmount": 3900}
    return {
        "_about": "Ids, digests, signatures and payloads of batch-settlement, made by the official x402 "
                  "package for Python (see make.py). Keys are for tests only.",
        "private_key": KEY,
        "authorizer_private_key": AUTHORIZER_KEY,
        "chain_id": 84532,
        "now": NOW,
        "requirements": json.loads(requirements.model_dump_json(by_alias=True, exclude_none=True)),
        "channel_config": config.to_dict(),
        "channel_id": channel_id,
        "voucher": {
            "channel_id": "0x" + "ab" * 32,
            "max_claimable": "3900",
            "digest": digest(domain, constants.VOUCHER_TYPES, lone_message),
            "signature": lone.signature,
        },
        "claim_batch": {
            "digest": digest(domain, constants.CLAIM_BATCH_TYPES, {"claims": [entry]}),
            "signature": claim_signature,
        },
        "refund": {
            "nonce": "4",
            "amount": "1500",
            "digest": digest(domain, constants.REFUND_TYPES, refund_message),
            "signature": refund_signature,
        },
        "deposit_erc3009": {
            "salt": SALT,
            "nonce": encoding.build_erc3009_deposit_nonce(channel_id, SALT),
            "collector_data": "0x" + encoding.build_erc3009_collector_data(
                erc3009.valid_after, erc3009.valid_before, erc3009.salt, erc3009.signature).hex(),
        },
        "deposit_permit2": {
            "nonce": NONCE,
            "collector_data": "0x" + encoding.build_permit2_collector_data(
                witnessed.nonce, witnessed.deadline, witnessed.signature).hex(),
            "collector_data_sponsored": "0x" + encoding.build_permit2_collector_data(
                witnessed.nonce, witnessed.deadline, witnessed.signature,
                encoding.build_eip2612_permit_data("5000", "1763597100", 27, "0x" + "11" * 32, "0x" + "22" * 32),
            ).hex(),
        },
        "payloads": {
            "deposit_erc3009": compact(by_token.to_dict()),
            "deposit_permit2": compact(by_permit2.to_dict()),
            "voucher": compact(plain.to_dict()),
            "refund": compact(refund.to_dict()),
            "refund_order": compact(order.to_dict()),
            "claim": compact(claims.to_dict()),
            "settle": compact(settle.to_dict()),
        },
    }


if __name__ == "__main__":
    made = json.dumps(vectors(), indent=1) + "\n"
    if "--check" in sys.argv:
        sys.exit(0 if FILE.read_text() == made else "golden.json differs")
    FILE.write_text(made)
