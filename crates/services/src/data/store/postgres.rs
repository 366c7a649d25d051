use std::io;

use deadpool_postgres::Pool;
use seamline_core::B256;
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;

use super::{Table, Transaction, Work};
use crate::facilitator::{StoreError, StoreFuture, postgres_pool};

/// A table in a database that replicas share.
pub(super) struct Postgres {
    pool: Pool,
    scope: B256,
}

struct Open<'a> {
    handle: Handle,
    transaction: deadpool_postgres::Transaction<'a>,
    scope: B256,
}

/// The layout is one of keys and values: what the values are has a version of its own.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS seamline_data (
    scope bytea NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (scope, key)
);";
/// Serialises the making of the table: an arbitrary number that nothing else locks.
const SCHEMA_LOCK: i64 = 0x7365_616d_6461_7461;
const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
const GET: &str = "SELECT value FROM seamline_data WHERE scope = $1 AND key = $2";
const PUT: &str = "INSERT INTO seamline_data VALUES ($1, $2, $3) \
    ON CONFLICT (scope, key) DO UPDATE SET value = excluded.value";
const REMOVE: &str = "DELETE FROM seamline_data WHERE scope = $1 AND key = $2";
const KEYS: &str = "SELECT key FROM seamline_data \
    WHERE scope = $1 AND key >= $2 AND key < $3 ORDER BY key LIMIT $4";

impl Postgres {
    pub(super) async fn open(url: &str, scope: B256) -> Result<Self, StoreError> {
        let pool = postgres_pool(url)?;
        let mut client = pool.get().await.map_err(failed)?;
        let transaction = client.transaction().await.map_err(failed)?;
        let lock: &[&(dyn ToSql + Sync)] = &[&SCHEMA_LOCK];
        transaction.execute(LOCK, lock).await.map_err(failed)?;
        transaction.batch_execute(SCHEMA).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(Self { pool, scope })
    }
}

impl Table for Postgres {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    /// One transaction of all replicas at a time: data comes a few hundred times a second at most,
    /// and a transaction is a handful of statements.
    fn transact(&self, work: Work) -> StoreFuture<'_, ()> {
        let (pool, scope) = (self.pool.clone(), self.scope);
        let handle = Handle::current();
        Box::pin(async move {
            // The work asks and answers synchronously: on a thread that may wait.
            let done = tokio::task::spawn_blocking(move || {
                let mut client = handle.block_on(pool.get()).map_err(failed)?;
                let transaction = handle.block_on(client.transaction()).map_err(failed)?;
                let mut open = Open {
                    handle: handle.clone(),
                    transaction,
                    scope,
                };
                open.execute(LOCK, &[&lock_of(scope)])?;
                // Rolled back on drop where the work fails.
                work(&mut open)?;
                handle.block_on(open.transaction.commit()).map_err(failed)
            });
            match done.await {
                Ok(done) => done,
                Err(_) => Err(failed(io::Error::other("the runtime stopped"))),
            }
        })
    }
}

impl Open<'_> {
    fn execute(&self, query: &str, values: &[&(dyn ToSql + Sync)]) -> Result<(), StoreError> {
        let run = async {
            let statement = self.transaction.prepare_cached(query).await?;
            self.transaction.execute(&statement, values).await
        };
        let done = self.handle.block_on(run);
        done.map(|_| ()).map_err(failed)
    }

    fn column(
        &self,
        query: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let run = async {
            let statement = self.transaction.prepare_cached(query).await?;
            self.transaction.query(&statement, values).await
        };
        let rows = self.handle.block_on(run).map_err(failed)?;
        let value = |row: &tokio_postgres::Row| row.try_get(0).map_err(failed);
        rows.iter().map(value).collect()
    }
}

impl Transaction for Open<'_> {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.column(GET, &[&self.scope.as_slice(), &key])?;
        Ok(found.into_iter().next())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.execute(PUT, &[&self.scope.as_slice(), &key, &value])
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.execute(REMOVE, &[&self.scope.as_slice(), &key])
    }

    fn keys(&mut self, first: &[u8], end: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.column(KEYS, &[&self.scope.as_slice(), &first, &end, &limit])
    }
}

fn lock_of(scope: B256) -> i64 {
    let (words, _) = scope.as_slice().as_chunks::<8>();
    words.first().map_or(0, |word| i64::from_be_bytes(*word))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Database(Box::new(error))
}
