//! The store of several replicas: Postgres.

mod connect;

pub(crate) use self::connect::pool;

use core::time::Duration;

use deadpool_postgres::{Object, Pool, Transaction};
use seamline_core::{Address, B256};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::ledger::{Entry, entries, oldest};
use super::{Change, Page, Spent, Store, StoreError, StoreFuture};
use crate::facilitator::settlement::{Lease, Settlement};

/// Settlements of one chain in a database that replicas share.
pub(super) struct Postgres {
    pool: Pool,
    chain_id: i64,
}

/// The layout that this version writes.
const LAYOUT: i32 = 2;
/// The layout before it, to which only tables were added.
const OLDER: i32 = 1;
/// Serialises the making of tables: an arbitrary number that nothing else locks.
const SCHEMA_LOCK: i64 = 0x7365_616d_6c69_6e65;

/// The tables. One row for each payment; a nonce of an account belongs to one open row.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS seamline_layout (version integer NOT NULL);
CREATE TABLE IF NOT EXISTS seamline_settlements (
    chain_id bigint NOT NULL,
    payment_key bytea NOT NULL,
    signer bytea NOT NULL,
    account_nonce bigint,
    unfinished boolean NOT NULL,
    owner bigint NOT NULL,
    fence bigint NOT NULL,
    deadline_s bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (chain_id, payment_key)
);
CREATE UNIQUE INDEX IF NOT EXISTS seamline_settlements_nonce
    ON seamline_settlements (chain_id, signer, account_nonce) WHERE account_nonce IS NOT NULL;
CREATE INDEX IF NOT EXISTS seamline_settlements_unfinished
    ON seamline_settlements (chain_id, signer) WHERE unfinished;
CREATE INDEX IF NOT EXISTS seamline_settlements_finished
    ON seamline_settlements (chain_id, deadline_s) WHERE NOT unfinished;
CREATE TABLE IF NOT EXISTS seamline_lanes (
    chain_id bigint NOT NULL,
    signer bytea NOT NULL,
    next_account_nonce bigint NOT NULL,
    PRIMARY KEY (chain_id, signer)
);
CREATE TABLE IF NOT EXISTS seamline_gas (
    chain_id bigint NOT NULL,
    signer bytea NOT NULL,
    payer bytea NOT NULL,
    minute bigint NOT NULL,
    owner bigint NOT NULL,
    gas bigint NOT NULL,
    PRIMARY KEY (chain_id, signer, payer, minute, owner)
);
CREATE TABLE IF NOT EXISTS seamline_replicas (
    owner bigint PRIMARY KEY,
    alive_until timestamptz NOT NULL
);";

/// Rows are read with their lease, which a takeover changes without touching the body.
const READ: &str = "SELECT payment_key, body, owner, fence FROM seamline_settlements \
    WHERE chain_id = $1 AND payment_key = ANY($2)";
/// Serialises changes of one payment, the first one included, which has no row to lock.
const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
const READ_LOCKED: &str = "SELECT payment_key, body, owner, fence FROM seamline_settlements \
    WHERE chain_id = $1 AND payment_key = $2 FOR UPDATE";
/// Locks the sequence of a signer until the commit, and reads it.
const LANE: &str = "INSERT INTO seamline_lanes VALUES ($1, $2, 0) ON CONFLICT (chain_id, signer) \
    DO UPDATE SET next_account_nonce = seamline_lanes.next_account_nonce \
    RETURNING next_account_nonce";
const NEXT: &str = "UPDATE seamline_lanes SET next_account_nonce = $3 \
    WHERE chain_id = $1 AND signer = $2";
const WRITE: &str = "INSERT INTO seamline_settlements (chain_id, payment_key, signer, \
    account_nonce, unfinished, owner, fence, deadline_s, body) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (chain_id, payment_key) DO UPDATE SET \
    signer = excluded.signer, account_nonce = excluded.account_nonce, \
    unfinished = excluded.unfinished, owner = excluded.owner, fence = excluded.fence, \
    deadline_s = excluded.deadline_s, body = excluded.body";
const REMOVE: &str = "DELETE FROM seamline_settlements WHERE chain_id = $1 AND payment_key = $2";
/// Leases run on the database's clock: replicas need not agree on the time.
const BEAT: &str = "INSERT INTO seamline_replicas \
    VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond') \
    ON CONFLICT (owner) DO UPDATE SET alive_until = excluded.alive_until";
const TAKE_OVER: &str = "WITH orphans AS (\
    SELECT s.payment_key FROM seamline_settlements s \
    WHERE s.chain_id = $1 AND s.signer = $2 AND s.unfinished AND NOT EXISTS (\
        SELECT 1 FROM seamline_replicas r \
        WHERE r.owner = s.owner AND r.alive_until > clock_timestamp()) \
    FOR UPDATE OF s SKIP LOCKED) \
    UPDATE seamline_settlements s SET owner = $3, fence = s.fence + 1 FROM orphans o \
    WHERE s.chain_id = $1 AND s.payment_key = o.payment_key \
    RETURNING s.payment_key, s.body, s.owner, s.fence";
const OPEN_ROWS: &str = "SELECT payment_key, body, owner, fence FROM seamline_settlements \
    WHERE chain_id = $1 AND signer = $2 AND unfinished";
const PRUNE: &str = "DELETE FROM seamline_settlements \
    WHERE chain_id = $1 AND deadline_s < $2 AND NOT unfinished";
/// Two changes of one entry wait for each other.
const COUNT: &str = "INSERT INTO seamline_gas AS g (chain_id, signer, payer, minute, owner, gas) \
    VALUES ($1, $2, $3, $4, $5, $7) ON CONFLICT (chain_id, signer, payer, minute, owner) \
    DO UPDATE SET gas = GREATEST(g.gas - $6, 0) + $7";
const SPENT: &str = "SELECT COALESCE(SUM(gas) FILTER (WHERE payer = $3), 0)::bigint, \
    COALESCE(SUM(gas) FILTER (WHERE payer = $4), 0)::bigint FROM seamline_gas \
    WHERE chain_id = $1 AND signer = $2 AND payer IN ($3, $4) \
    AND minute BETWEEN $5 AND $6 AND owner <> $7";
const PRUNE_GAS: &str = "DELETE FROM seamline_gas WHERE chain_id = $1 AND minute < $2";
const PRUNE_REPLICAS: &str =
    "DELETE FROM seamline_replicas WHERE alive_until < clock_timestamp() - interval '1 day'";

impl Postgres {
    /// Connects, and makes or checks the tables.
    pub(super) async fn open(url: &str, chain_id: u64) -> Result<Self, StoreError> {
        let pool = connect::pool(url)?;
        let mut client = pool.get().await.map_err(failed)?;
        let transaction = client.transaction().await.map_err(failed)?;
        let lock: &[&(dyn ToSql + Sync)] = &[&SCHEMA_LOCK];
        transaction.execute(LOCK, lock).await.map_err(failed)?;
        transaction.batch_execute(SCHEMA).await.map_err(failed)?;
        let rows = transaction
            .query("SELECT version FROM seamline_layout", &[])
            .await
            .map_err(failed)?;
        let found: Option<i32> = rows.first().map(|row| row.get(0));
        match found {
            Some(LAYOUT) => {}
            Some(OLDER) => {
                let update = "UPDATE seamline_layout SET version = $1";
                let written = transaction.execute(update, &[&LAYOUT]).await;
                written.map_err(failed)?;
            }
            Some(found) => {
                return Err(StoreError::Schema {
                    found,
                    known: LAYOUT,
                });
            }
            None => {
                let insert = "INSERT INTO seamline_layout VALUES ($1)";
                let written = transaction.execute(insert, &[&LAYOUT]).await;
                written.map_err(failed)?;
            }
        }
        transaction.commit().await.map_err(failed)?;
        let chain_id = signed(chain_id)?;
        Ok(Self { pool, chain_id })
    }

    async fn client(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(failed)
    }

    async fn rows(
        &self,
        query: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Settlement>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(query).await.map_err(failed)?;
        let rows = client.query(&statement, values).await.map_err(failed)?;
        rows.iter().map(settlement).collect()
    }

    async fn run(&self, query: &str, values: &[&(dyn ToSql + Sync)]) -> Result<(), StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(query).await.map_err(failed)?;
        let done = client.execute(&statement, values).await;
        done.map(|_| ()).map_err(failed)
    }

    async fn apply(
        &self,
        key: B256,
        signer: Option<Address>,
        change: Change,
    ) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(failed)?;
        // The order of the locks is the same everywhere: the payment, then the lane.
        execute(&transaction, LOCK, &[&lock_of(self.chain_id, key)]).await?;
        let statement = transaction.prepare_cached(READ_LOCKED).await;
        let statement = statement.map_err(failed)?;
        let found = transaction
            .query_opt(&statement, &[&self.chain_id, &key.as_slice()])
            .await
            .map_err(failed)?;
        let next = match signer {
            Some(signer) => {
                let statement = transaction.prepare_cached(LANE).await.map_err(failed)?;
                let row = transaction
                    .query_one(&statement, &[&self.chain_id, &signer.as_slice()])
                    .await
                    .map_err(failed)?;
                unsigned(row.get(0))?
            }
            None => 0,
        };
        let mut page = Page {
            settlement: found.as_ref().map(settlement).transpose()?,
            next,
        };
        let before = page.settlement.as_ref();
        let (of, before) = (
            before.map(Settlement::signer),
            before.and_then(Settlement::gas),
        );
        change(&mut page);
        let after = page.settlement.as_ref();
        let of = of
            .or_else(|| after.map(Settlement::signer))
            .unwrap_or_default();
        for entry in entries(before, after.and_then(Settlement::gas)) {
            self.count(&transaction, of, &entry).await?;
        }
        if let Some(signer) = signer {
            let values: &[&(dyn ToSql + Sync)] =
                &[&self.chain_id, &signer.as_slice(), &signed(page.next)?];
            execute(&transaction, NEXT, values).await?;
        }
        match &page.settlement {
            Some(settlement) => self.write(&transaction, settlement).await?,
            None => {
                execute(&transaction, REMOVE, &[&self.chain_id, &key.as_slice()]).await?;
            }
        }
        transaction.commit().await.map_err(failed)
    }

    async fn count(
        &self,
        transaction: &Transaction<'_>,
        signer: Address,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let values: &[&(dyn ToSql + Sync)] = &[
            &self.chain_id,
            &signer.as_slice(),
            &entry.payer.as_slice(),
            &signed(entry.minute)?,
            &signed(entry.owner)?,
            &signed(entry.less)?,
            &signed(entry.more)?,
        ];
        execute(transaction, COUNT, values).await
    }

    async fn write(
        &self,
        transaction: &Transaction<'_>,
        settlement: &Settlement,
    ) -> Result<(), StoreError> {
        let (key, signer) = (settlement.key(), settlement.signer());
        let Lease { owner, fence } = settlement.lease();
        let account_nonce = settlement.held_nonce().map(signed).transpose()?;
        // Later than any clock: an authorization may name a deadline beyond the type.
        let deadline_s = i64::try_from(settlement.keep_until_s()).unwrap_or(i64::MAX);
        let values: &[&(dyn ToSql + Sync)] = &[
            &self.chain_id,
            &key.as_slice(),
            &signer.as_slice(),
            &account_nonce,
            &settlement.is_unfinished(),
            &signed(owner)?,
            &signed(fence)?,
            &deadline_s,
            &settlement.encode()?,
        ];
        execute(transaction, WRITE, values).await
    }
}

impl Store for Postgres {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn read(&self, keys: Vec<B256>) -> StoreFuture<'_, Vec<Option<Settlement>>> {
        Box::pin(async move {
            let wanted: Vec<&[u8]> = keys.iter().map(B256::as_slice).collect();
            let found = self.rows(READ, &[&self.chain_id, &wanted]).await?;
            let pick = |key: &B256| found.iter().find(|it| it.key() == *key).cloned();
            Ok(keys.iter().map(pick).collect())
        })
    }

    fn change(&self, key: B256, signer: Option<Address>, change: Change) -> StoreFuture<'_, ()> {
        Box::pin(self.apply(key, signer, change))
    }

    fn beat(&self, owner: u64, lease: Duration) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let owner = signed(owner)?;
            let millis = i32::try_from(lease.as_millis()).unwrap_or(i32::MAX);
            self.run(BEAT, &[&owner, &f64::from(millis)]).await
        })
    }

    fn take_over(&self, owner: u64, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        Box::pin(async move {
            let owner = signed(owner)?;
            let values: &[&(dyn ToSql + Sync)] = &[&self.chain_id, &signer.as_slice(), &owner];
            self.rows(TAKE_OVER, values).await
        })
    }

    fn unfinished(&self, signer: Address) -> StoreFuture<'_, Vec<Settlement>> {
        Box::pin(async move {
            self.rows(OPEN_ROWS, &[&self.chain_id, &signer.as_slice()])
                .await
        })
    }

    fn spent(
        &self,
        signer: Address,
        payer: Address,
        except: u64,
        minute: u64,
    ) -> StoreFuture<'_, Spent> {
        Box::pin(async move {
            let client = self.client().await?;
            let statement = client.prepare_cached(SPENT).await.map_err(failed)?;
            let values: &[&(dyn ToSql + Sync)] = &[
                &self.chain_id,
                &signer.as_slice(),
                &Address::ZERO.as_slice(),
                &payer.as_slice(),
                &signed(oldest(minute))?,
                &signed(minute)?,
                &signed(except)?,
            ];
            let row = client.query_one(&statement, values).await.map_err(failed)?;
            Ok(Spent {
                all: unsigned(row.try_get(0).map_err(failed)?)?,
                payer: unsigned(row.try_get(1).map_err(failed)?)?,
            })
        })
    }

    fn prune(&self, before_s: u64) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let minute = i64::try_from(before_s.div_euclid(60)).unwrap_or(i64::MAX);
            self.run(PRUNE_GAS, &[&self.chain_id, &minute]).await?;
            let before_s = i64::try_from(before_s).unwrap_or(i64::MAX);
            self.run(PRUNE, &[&self.chain_id, &before_s]).await?;
            self.run(PRUNE_REPLICAS, &[]).await
        })
    }
}

async fn execute(
    transaction: &Transaction<'_>,
    query: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<(), StoreError> {
    let statement = transaction.prepare_cached(query).await.map_err(failed)?;
    match transaction.execute(&statement, values).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            Err(StoreError::AccountNonce)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Reads a row of payment key, body, owner and fence.
fn settlement(row: &Row) -> Result<Settlement, StoreError> {
    let key: &[u8] = row.try_get(0).map_err(failed)?;
    let key = B256::try_from(key).map_err(|_| StoreError::Corrupt)?;
    let body: &[u8] = row.try_get(1).map_err(failed)?;
    let mut settlement = Settlement::decode(key, body)?;
    settlement.set_lease(Lease {
        owner: unsigned(row.try_get(2).map_err(failed)?)?,
        fence: unsigned(row.try_get(3).map_err(failed)?)?,
    });
    Ok(settlement)
}

/// The advisory lock of a payment. Two payments that share one wait for each other, no more.
fn lock_of(chain_id: i64, key: B256) -> i64 {
    let hash = seamline_core::sha256(&[
        b"seamline/v1/settlement-lock".as_slice(),
        &chain_id.to_be_bytes(),
        key.as_slice(),
    ]);
    let (words, _) = hash.as_chunks::<8>();
    words.first().map_or(0, |word| i64::from_be_bytes(*word))
}

fn signed(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Corrupt)
}

fn unsigned(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Database(Box::new(error))
}
