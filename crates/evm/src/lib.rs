//! x402 payments, EIP-712 signing, spend policy, contract bindings and registry reads.
