//! Names of chains: those of x402 version 1, and which chains hold no money.

/// The `eip155` chains that version 1 of x402 has a name for: name, chain id, whether it is a test
/// chain. From the official SDKs' tables.
const EVM: &[(&str, u64, bool)] = &[
    ("abstract", 2741, false),
    ("abstract-testnet", 11124, true),
    ("avalanche", 43114, false),
    ("avalanche-fuji", 43113, true),
    ("base", 8453, false),
    ("base-sepolia", 84532, true),
    ("celo", 42220, false),
    ("educhain", 656_476, false),
    ("ethereum", 1, false),
    ("flare", 14, false),
    ("iotex", 4689, false),
    ("megaeth", 4326, false),
    ("monad", 143, false),
    ("monad-testnet", 10143, true),
    ("peaq", 3338, false),
    ("polygon", 137, false),
    ("polygon-amoy", 80002, true),
    ("sei", 1329, false),
    ("sei-testnet", 1328, true),
    ("skale-base-sepolia", 1_444_673_419, true),
    ("stable", 988, false),
    ("stable-testnet", 2201, true),
    ("story", 1513, false),
];

/// Other networks that version 1 names.
const OTHER: &[(&str, &str)] = &[
    ("solana", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
    ("solana-devnet", "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"),
];

/// Test chains without a name in version 1: Sepolia, Holesky, Hoodi, OP Sepolia, Arbitrum Sepolia,
/// the local chains of Anvil, Hardhat and Ganache, and this project's embedded chain.
const UNNAMED_TEST: &[u64] = &[
    11_155_111, 17_000, 560_048, 11_155_420, 421_614, 31_337, 1_337, 31_610,
];

/// The CAIP-2 network of a name of version 1; `None` for a name that it does not have.
pub fn network_of_name(name: &str) -> Option<String> {
    let evm = EVM.iter().find(|(known, ..)| *known == name);
    let other = || OTHER.iter().find(|(known, _)| *known == name);
    evm.map(|(_, id, _)| format!("eip155:{id}"))
        .or_else(|| other().map(|(_, network)| (*network).to_owned()))
}

/// The name of version 1 of a CAIP-2 network; `None` for a network without one.
pub fn name_of_network(network: &str) -> Option<&'static str> {
    if let Some(id) = super::offer::chain_id(network) {
        let known = EVM.iter().find(|(_, known, _)| *known == id);
        return known.map(|(name, ..)| *name);
    }
    let known = OTHER.iter().find(|(_, known)| *known == network);
    known.map(|(name, _)| *name)
}

/// Whether an `eip155` network is known to hold no money. A chain that is not known may hold some.
pub fn is_test_network(network: &str) -> bool {
    super::offer::chain_id(network).is_some_and(|id| {
        UNNAMED_TEST.contains(&id) || EVM.iter().any(|(_, known, test)| *known == id && *test)
    })
}
