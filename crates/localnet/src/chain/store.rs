//! The chain on disk: one redb file, one write transaction per block.

mod write;

use std::path::Path;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_rlp::Decodable;
use redb::backends::InMemoryBackend;
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction,
};

use super::error::Error;
use super::record::{AccountRecord, Block, Head, TxRecord, Undo};
use super::state::Diff;
use write::{unwrite_block, write_block};

/// Facts about the file as a whole, by name.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// RLP header by number.
const HEADERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("headers");
/// RLP list of [`TxRecord`] by block number.
const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("bodies");
/// Block number by block hash.
const NUMBERS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("numbers");
/// Block number and index by transaction hash.
const PLACES: TableDefinition<'_, &[u8; 32], (u64, u64)> = TableDefinition::new("places");
/// [`AccountRecord`] by address.
const ACCOUNTS: TableDefinition<'_, &[u8; 20], &[u8]> = TableDefinition::new("accounts");
/// Storage value by address and slot.
const SLOTS: TableDefinition<'_, &[u8; 52], &[u8; 32]> = TableDefinition::new("slots");
/// Code by hash. Never deleted: the same code serves every account that has it.
const CODES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("codes");
/// [`Undo`] by number, for the last [`HISTORY_BLOCKS`](super::HISTORY_BLOCKS).
const UNDO: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("undo");

/// Layout of the tables above.
const FORMAT: u64 = 1;

/// What identifies a stored chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) chain_id: u64,
    pub(super) genesis: B256,
}

/// The database of one chain.
pub(super) struct Store {
    db: Database,
}

/// A block with all that it changes, ready to be written.
pub(super) struct Sealed<'a> {
    pub(super) header: &'a Header,
    pub(super) hash: B256,
    pub(super) transactions: &'a [TxRecord],
    /// Hashes of `transactions`, in order.
    pub(super) transaction_hashes: &'a [B256],
    pub(super) diff: &'a Diff,
}

impl Store {
    /// Opens or creates the file; `None` makes a database in memory.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let mut builder = Database::builder();
        // The default of 1 GiB is a server's; the whole state of a local network is a few MiB.
        builder.set_cache_size(CACHE_BYTES);
        let db = match path {
            None => builder
                .create_with_backend(InMemoryBackend::new())
                .map_err(|err| Error::Store {
                    doing: "write",
                    source: Box::new(err.into()),
                })?,
            Some(path) => private_file(path)
                .map_err(redb::Error::from)
                .and_then(|file| Ok(builder.create_file(file)?))
                .map_err(|err| Error::Open {
                    path: path.to_owned(),
                    source: Box::new(err),
                })?,
        };
        Ok(Self { db })
    }

    /// Returns whose chain the file holds; `None` for a new file.
    pub(super) fn identity(&self) -> Result<Option<Identity>, Error> {
        let tx = self.db.begin_read().map_err(reading)?;
        let meta = match tx.open_table(META) {
            Ok(meta) => meta,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(err) => return Err(reading(err)),
        };
        let field = |name: &'static str| -> Result<Vec<u8>, Error> {
            let found = meta
                .get(name)
                .map_err(reading)?
                .ok_or(Error::Corrupt("chain facts"))?;
            Ok(found.value().to_vec())
        };
        let number = |bytes: Vec<u8>| -> Result<u64, Error> {
            let bytes = bytes
                .try_into()
                .map_err(|_| Error::Corrupt("chain facts"))?;
            Ok(u64::from_be_bytes(bytes))
        };
        let found = number(field("format")?)?;
        if found != FORMAT {
            return Err(Error::Format {
                found,
                expected: FORMAT,
            });
        }
        let genesis = field("genesis")?;
        Ok(Some(Identity {
            chain_id: number(field("chain_id")?)?,
            genesis: B256::try_from(genesis.as_slice())
                .map_err(|_| Error::Corrupt("chain facts"))?,
        }))
    }

    /// Writes the first block together with the chain's identity.
    pub(super) fn create(&self, identity: Identity, genesis: &Sealed<'_>) -> Result<(), Error> {
        self.adopt(identity, genesis)
    }

    /// Makes `block` the head and `identity` the chain's, in one transaction.
    pub(super) fn adopt(&self, identity: Identity, block: &Sealed<'_>) -> Result<(), Error> {
        let tx = self.begin()?;
        {
            let mut meta = tx.open_table(META).map_err(writing)?;
            for (name, value) in [
                ("format", FORMAT.to_be_bytes().as_slice()),
                ("chain_id", identity.chain_id.to_be_bytes().as_slice()),
                ("genesis", identity.genesis.as_slice()),
            ] {
                meta.insert(name, value).map_err(writing)?;
            }
        }
        write_block(&tx, block)?;
        tx.commit().map_err(writing)
    }

    /// Makes `block` the head, durably. Nobody sees any part of it before this returns.
    pub(super) fn append(&self, block: &Sealed<'_>) -> Result<(), Error> {
        let tx = self.begin()?;
        write_block(&tx, block)?;
        tx.commit().map_err(writing)
    }

    /// Takes away all blocks above `number`, in one transaction.
    pub(super) fn rewind(&self, number: u64) -> Result<(), Error> {
        self.replace(number, &[])
    }

    /// Puts `blocks` in the place of all above `number`. Readers see the old chain or the new one.
    pub(super) fn replace(&self, number: u64, blocks: &[Sealed<'_>]) -> Result<(), Error> {
        let reader = self.reader()?;
        let head = reader.head()?.header.number;
        let tx = self.begin()?;
        for above in (number.saturating_add(1)..=head).rev() {
            let undo = reader.undo(above)?.ok_or(Error::TooOld(number))?;
            let block = reader.block(above)?.ok_or(Error::Corrupt("block"))?;
            unwrite_block(&tx, &block, &undo)?;
        }
        for block in blocks {
            write_block(&tx, block)?;
        }
        tx.commit().map_err(writing)
    }

    /// Takes a snapshot for reading.
    pub(super) fn reader(&self) -> Result<Reader, Error> {
        let tx = self.db.begin_read().map_err(reading)?;
        Ok(Reader {
            headers: tx.open_table(HEADERS).map_err(reading)?,
            accounts: tx.open_table(ACCOUNTS).map_err(reading)?,
            slots: tx.open_table(SLOTS).map_err(reading)?,
            codes: tx.open_table(CODES).map_err(reading)?,
            tx,
        })
    }

    fn begin(&self) -> Result<WriteTransaction, Error> {
        let mut tx = self.db.begin_write().map_err(writing)?;
        // Costs a second fsync per block and saves walking the whole file after a crash.
        tx.set_quick_repair(true);
        Ok(tx)
    }
}

/// A consistent snapshot of the chain at one head.
pub(super) struct Reader {
    tx: ReadTransaction,
    headers: ReadOnlyTable<u64, &'static [u8]>,
    accounts: ReadOnlyTable<&'static [u8; 20], &'static [u8]>,
    slots: ReadOnlyTable<&'static [u8; 52], &'static [u8; 32]>,
    codes: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
}

impl Reader {
    /// Returns the newest header.
    pub(super) fn head(&self) -> Result<Head, Error> {
        use redb::ReadableTable as _;
        let (_, bytes) = self
            .headers
            .last()
            .map_err(reading)?
            .ok_or(Error::Corrupt("head"))?;
        decode_head(bytes.value())
    }

    /// Returns the header at `number`.
    pub(super) fn header(&self, number: u64) -> Result<Option<Head>, Error> {
        self.headers
            .get(number)
            .map_err(reading)?
            .map(|bytes| decode_head(bytes.value()))
            .transpose()
    }

    /// Returns the block at `number` with its transactions.
    pub(super) fn block(&self, number: u64) -> Result<Option<Block>, Error> {
        let Some(Head { header, hash }) = self.header(number)? else {
            return Ok(None);
        };
        let bodies = self.tx.open_table(BODIES).map_err(reading)?;
        let body = bodies
            .get(number)
            .map_err(reading)?
            .ok_or(Error::Corrupt("block body"))?;
        let transactions =
            Vec::decode(&mut body.value()).map_err(|_| Error::Corrupt("block body"))?;
        Ok(Some(Block {
            header,
            hash,
            transactions,
        }))
    }

    /// Returns the number of the block with this hash.
    pub(super) fn number_of(&self, hash: B256) -> Result<Option<u64>, Error> {
        let numbers = self.tx.open_table(NUMBERS).map_err(reading)?;
        Ok(numbers
            .get(&hash.0)
            .map_err(reading)?
            .map(|number| number.value()))
    }

    /// Returns block number and index of a transaction.
    pub(super) fn place_of(&self, hash: B256) -> Result<Option<(u64, u64)>, Error> {
        let places = self.tx.open_table(PLACES).map_err(reading)?;
        Ok(places
            .get(&hash.0)
            .map_err(reading)?
            .map(|place| place.value()))
    }

    /// Returns what the block at `number` replaced; `None` for genesis and for old blocks.
    pub(super) fn undo(&self, number: u64) -> Result<Option<Undo>, Error> {
        let table = self.tx.open_table(UNDO).map_err(reading)?;
        let Some(bytes) = table.get(number).map_err(reading)? else {
            return Ok(None);
        };
        Undo::decode(&mut bytes.value())
            .map(Some)
            .map_err(|_| Error::Corrupt("undo"))
    }

    /// Returns an account.
    pub(super) fn account(&self, address: Address) -> Result<Option<AccountRecord>, Error> {
        let Some(bytes) = self.accounts.get(&*address.0).map_err(reading)? else {
            return Ok(None);
        };
        AccountRecord::decode(&mut bytes.value())
            .map(Some)
            .map_err(|_| Error::Corrupt("account"))
    }

    /// Returns a storage slot.
    pub(super) fn slot(&self, address: Address, slot: U256) -> Result<U256, Error> {
        let found = self.slots.get(&slot_key(address, slot)).map_err(reading)?;
        Ok(found.map_or(U256::ZERO, |value| U256::from_be_bytes(*value.value())))
    }

    /// Returns code by its hash.
    pub(super) fn code(&self, hash: B256) -> Result<Bytes, Error> {
        if hash == KECCAK256_EMPTY || hash.is_zero() {
            return Ok(Bytes::new());
        }
        let found = self
            .codes
            .get(&hash.0)
            .map_err(reading)?
            .ok_or(Error::Corrupt("code"))?;
        Ok(Bytes::copy_from_slice(found.value()))
    }
}

fn decode_head(mut bytes: &[u8]) -> Result<Head, Error> {
    let hash = alloy_primitives::keccak256(bytes);
    let header = Header::decode(&mut bytes).map_err(|_| Error::Corrupt("header"))?;
    Ok(Head { header, hash })
}

fn slot_key(address: Address, slot: U256) -> [u8; 52] {
    let mut key = [0; 52];
    let bytes = address.iter().copied().chain(slot.to_be_bytes::<32>());
    for (to, from) in key.iter_mut().zip(bytes) {
        *to = from;
    }
    key
}

fn reading(err: impl Into<redb::Error>) -> Error {
    Error::Store {
        doing: "read",
        source: Box::new(err.into()),
    }
}

fn writing(err: impl Into<redb::Error>) -> Error {
    Error::Store {
        doing: "write",
        source: Box::new(err.into()),
    }
}

const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Opens or makes a file that only its owner can read.
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
