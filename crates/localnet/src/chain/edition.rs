//! Bringing a stored chain to a later edition of its genesis.

use alloy_consensus::Header;
use alloy_eips::eip1559::BaseFeeParams;
use alloy_primitives::{Bytes, KECCAK256_EMPTY, keccak256};

use super::MIN_BASE_FEE;
use super::error::Error;
use super::evm;
use super::genesis::{Genesis, empty_header};
use super::record::Head;
use super::state::{Diff, StateView};
use super::store::{Identity, Sealed, Store};

/// In the header of a block that brought a chain to a later edition. Such a block is not taken back: nothing would bring it again.
pub(super) const EXTRA_DATA: &[u8] = b"seamline edition";

/// Places what editions after `from` have added, in one block without transactions, and makes `identity` the chain's: both or
/// neither, so a process killed here does it at the next start.
///
/// Balances are added to what an account holds by now. Code that somebody put at an address meanwhile stays.
pub(super) fn upgrade(
    store: &Store,
    identity: Identity,
    genesis: &Genesis,
    from: u32,
) -> Result<(), Error> {
    let reader = store.reader()?;
    let parent = reader.head()?;
    let diff = additions(genesis, from, &StateView::latest(reader))?;
    let mut header = next_header(genesis, &parent);
    header.state_root = diff.root(parent.header.state_root);
    let hash = header.hash_slow();
    store.adopt(
        identity,
        &Sealed {
            header: &header,
            hash,
            transactions: &[],
            transaction_hashes: &[],
            diff: &diff,
        },
    )?;
    tracing::info!(block = header.number, "chain brought to a later edition");
    Ok(())
}

fn additions(genesis: &Genesis, from: u32, view: &StateView) -> Result<Diff, Error> {
    let mut diff = Diff::default();
    let added = genesis.accounts.iter();
    for (address, account) in added.filter(|(_, account)| account.edition > from) {
        if !account.init_code.is_empty() {
            return Err(Error::Genesis {
                address: *address,
                reason: "an addition cannot be constructed".to_owned(),
            });
        }
        let mut record = view.account(*address)?;
        record.balance = record.balance.saturating_add(account.balance);
        if record.code_hash == KECCAK256_EMPTY && !account.code.is_empty() {
            record.code_hash = keccak256(&account.code);
            // EIP-161: contracts start at nonce 1.
            record.account_nonce = record.account_nonce.max(account.account_nonce).max(1);
            diff.codes.insert(record.code_hash, account.code.clone());
            for (slot, value) in &account.storage {
                diff.slots.insert((*address, *slot), *value);
            }
        }
        diff.accounts.insert(*address, Some(record));
    }
    Ok(diff)
}

fn next_header(genesis: &Genesis, parent: &Head) -> Header {
    let base_fee = parent
        .header
        .next_block_base_fee(BaseFeeParams::ethereum())
        .unwrap_or_default();
    Header {
        parent_hash: parent.hash,
        number: parent.header.number.saturating_add(1),
        timestamp: genesis.time.as_secs().max(parent.header.timestamp),
        mix_hash: evm::prevrandao(parent.hash),
        base_fee_per_gas: Some(base_fee.max(MIN_BASE_FEE)),
        extra_data: Bytes::from_static(EXTRA_DATA),
        ..empty_header()
    }
}
