//! The records of paywalls that several replicas share: Postgres.

use core::fmt;

use deadpool_postgres::{Object, Pool};
use seamline_core::{B256, Timestamp};
use seamline_net::{PaywallStore, Record, StoreError, StoreFuture};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::facilitator::postgres_pool;

/// Records of paywalls in a Postgres database: replicas behind one balancer serve an authorization
/// once, and one takes up what another left.
///
/// Each method is one conditional statement. A record is keyed by what the chain spends once, so that
/// any number of paywalls may share a database, whatever they sell, where each shop has a
/// [`PaywallConfig::scope`](seamline_net::PaywallConfig::scope) of its own. Leases name times of the
/// replicas' clocks, which must agree within a few seconds.
///
/// # Security
///
/// Records hold live authorizations: see [`Record`]. To another machine the connection is TLS, checked
/// by the authorities of the system.
#[derive(Clone)]
pub struct PostgresStore {
    pool: Pool,
}

/// The layout that this version writes.
const LAYOUT: i32 = 1;
/// Serialises the making of tables: an arbitrary number that nothing else locks.
const SCHEMA_LOCK: i64 = 0x7061_7977_616c_6c31;
/// Most abandoned records that are read at once; the next look finds the others.
const MOST_ABANDONED: i64 = 1_000;
/// How often an insertion meets a record that is gone when it looks.
const INSERTIONS: usize = 8;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS seamline_paywall_layout (version integer NOT NULL);
CREATE TABLE IF NOT EXISTS seamline_paywall_records (
    key bytea PRIMARY KEY,
    version bigint NOT NULL,
    unfinished boolean NOT NULL,
    lease_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS seamline_paywall_records_unfinished
    ON seamline_paywall_records (lease_ms) WHERE unfinished;
CREATE INDEX IF NOT EXISTS seamline_paywall_records_expiry
    ON seamline_paywall_records (expires_ms);";

const INSERT: &str = "INSERT INTO seamline_paywall_records \
    (key, version, unfinished, lease_ms, expires_ms, body) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (key) DO NOTHING";
const REPLACE: &str = "UPDATE seamline_paywall_records SET version = $2::bigint, unfinished = $3, \
    lease_ms = $4, expires_ms = $5, body = $6 WHERE key = $1 AND version = $2::bigint - 1";
const REMOVE: &str = "DELETE FROM seamline_paywall_records WHERE key = $1 AND version = $2";
const GET: &str = "SELECT body FROM seamline_paywall_records WHERE key = $1";
const ABANDONED: &str = "SELECT body FROM seamline_paywall_records \
    WHERE unfinished AND lease_ms <= $1 ORDER BY lease_ms LIMIT $2";
const SWEEP: &str = "DELETE FROM seamline_paywall_records WHERE expires_ms < $1";

impl PostgresStore {
    /// Connects to the database at `url` (`postgres://…`), and makes or checks the tables.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] where the URL does not read or the database is out of reach;
    /// [`StoreError::Layout`].
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let pool = postgres_pool(url).map_err(failed)?;
        let mut client = pool.get().await.map_err(failed)?;
        let transaction = client.transaction().await.map_err(failed)?;
        let lock: &[&(dyn ToSql + Sync)] = &[&SCHEMA_LOCK];
        let locked = transaction.execute("SELECT pg_advisory_xact_lock($1)", lock);
        locked.await.map_err(failed)?;
        transaction.batch_execute(SCHEMA).await.map_err(failed)?;
        let found = transaction
            .query_opt("SELECT version FROM seamline_paywall_layout", &[])
            .await
            .map_err(failed)?;
        match found.map(|row| row.try_get::<_, i32>(0)).transpose() {
            Ok(Some(LAYOUT)) => {}
            Ok(Some(found)) => {
                let known = LAYOUT;
                return Err(StoreError::Layout { found, known });
            }
            Ok(None) => {
                let insert = "INSERT INTO seamline_paywall_layout VALUES ($1)";
                let written = transaction.execute(insert, &[&LAYOUT]).await;
                written.map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        transaction.commit().await.map_err(failed)?;
        Ok(Self { pool })
    }

    async fn client(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(failed)
    }

    /// Runs one statement; returns how many rows it changed.
    async fn run(&self, query: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(query).await.map_err(failed)?;
        client.execute(&statement, values).await.map_err(failed)
    }

    async fn rows(
        &self,
        query: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Record>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(query).await.map_err(failed)?;
        let rows = client.query(&statement, values).await.map_err(failed)?;
        rows.iter().map(record).collect()
    }

    async fn write(&self, query: &str, record: &Record) -> Result<bool, StoreError> {
        let body = serde_json::to_vec(record).map_err(|_| StoreError::Corrupt)?;
        let values: &[&(dyn ToSql + Sync)] = &[
            &record.key.as_slice(),
            &signed(record.version),
            &record.is_open(),
            &signed(record.lease_ms),
            &signed(record.expires_ms),
            &body,
        ];
        Ok(self.run(query, values).await? > 0)
    }
}

impl PaywallStore for PostgresStore {
    fn insert<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, Option<Record>> {
        Box::pin(async move {
            for _ in 0..INSERTIONS {
                if self.write(INSERT, record).await? {
                    return Ok(None);
                }
                // Whoever was faster may have removed it since.
                if let Some(present) = self.get(record.key).await? {
                    return Ok(Some(present));
                }
            }
            Err(StoreError::Corrupt)
        })
    }

    fn replace<'a>(&'a self, record: &'a Record) -> StoreFuture<'a, bool> {
        Box::pin(self.write(REPLACE, record))
    }

    fn remove(&self, key: B256, version: u64) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let values: &[&(dyn ToSql + Sync)] = &[&key.as_slice(), &signed(version)];
            Ok(self.run(REMOVE, values).await? > 0)
        })
    }

    fn get(&self, key: B256) -> StoreFuture<'_, Option<Record>> {
        Box::pin(async move {
            let found = self.rows(GET, &[&key.as_slice()]).await?;
            Ok(found.into_iter().next())
        })
    }

    fn abandoned(&self, now: Option<Timestamp>) -> StoreFuture<'_, Vec<Record>> {
        Box::pin(async move {
            let now_ms = now.map_or(i64::MAX, |now| signed(now.as_millis()));
            self.rows(ABANDONED, &[&now_ms, &MOST_ABANDONED]).await
        })
    }

    fn sweep(&self, now: Timestamp) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let now_ms = signed(now.as_millis());
            self.run(SWEEP, &[&now_ms]).await.map(drop)
        })
    }

    fn is_exclusive(&self) -> bool {
        false
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresStore")
    }
}

fn record(row: &Row) -> Result<Record, StoreError> {
    let body: &[u8] = row.try_get(0).map_err(failed)?;
    serde_json::from_slice(body).map_err(|_| StoreError::Corrupt)
}

/// Later than any clock: an authorization may name a deadline beyond the type.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Database(Box::new(error))
}
