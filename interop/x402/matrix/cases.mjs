// What is asked for, and how what is not what was asked for is refused.

/** Prices in base units of the token. */
export const prices = { exact: "1000", ceiling: "5000", charged: "2350", deposit: "5000" };

const permit2 = {
  replayed: "permit2_invalid_nonce",
  amount: "permit2_amount_mismatch",
  payTo: "invalid_permit2_recipient_mismatch",
  asset: "permit2_token_mismatch",
  expired: "permit2_deadline_expired",
};

/** What a call costs, by path. */
export const charged = { "/exact": 1000n, "/permit2": 1000n, "/upto": 2350n };

/** The reasons with which payments are refused, by path and by what is wrong with them. */
const reasons = {
  "/exact": {
    replayed: "invalid_exact_evm_nonce_already_used",
    amount: "invalid_exact_evm_payload_authorization_value_mismatch",
    payTo: "invalid_exact_evm_payload_recipient_mismatch",
    asset: "invalid_exact_evm_payload_signature",
    expired: "invalid_exact_evm_payload_authorization_valid_before",
  },
  "/permit2": permit2,
  "/sponsored": permit2,
  "/upto": permit2,
};

/** Facilitators that use other words for some of them. */
const otherWords = {
  ts: {
    "/exact": { payTo: "invalid_exact_evm_recipient_mismatch", asset: "invalid_exact_evm_signature" },
    "/permit2": { replayed: "permit2_simulation_failed" },
    "/sponsored": { replayed: "permit2_allowance_required" },
    "/upto": { replayed: "permit2_simulation_failed" },
  },
  // It does not look at the nonce before it settles, and does not read why that failed.
  py: {
    "/permit2": { replayed: "transaction_failed" },
    "/sponsored": { replayed: "transaction_failed" },
    "/upto": { replayed: "invalid_upto_evm_transaction_failed" },
  },
};

/** The reason with which a payment to `path` of `triple` is refused that is wrong in one way. */
export function reasonOf({ server, facilitator }, path, wrong) {
  // Our paywall reads what an authorization says before it asks; only the signature it leaves to the facilitator.
  if (server.kind === "seamline" && wrong !== "asset") return reasons[path][wrong];
  return otherWords[facilitator.kind]?.[path]?.[wrong] ?? reasons[path][wrong];
}

/** How long an authorization lives that is to expire. */
export const LIFETIME_S = 20;

/** How an offer is altered so that an honest payer signs something that the server did not ask for. */
export function alterations({ otherToken, stranger }) {
  return {
    amount: offer => (offer.amount = String(BigInt(offer.amount) - 1n)),
    payTo: offer => (offer.payTo = stranger),
    asset: offer => (offer.asset = otherToken),
    // The shortest life that a careful payer signs for; the authorization is sent when it is over.
    expired: offer => (offer.maxTimeoutSeconds = LIFETIME_S),
  };
}
