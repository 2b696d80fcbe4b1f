//! What the directory knows of webhooks: who signs them, and who takes none.

use super::super::{MAX_TENANTS, RECEIVER_MEMORY_MS, Receiver, Swapped};
use super::{EmbeddedDirectory, sql, unsigned};
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use scriptorium_contracts::Timestamp;
use scriptorium_contracts::tenant::TenantName;

impl EmbeddedDirectory {
    pub(in super::super) async fn signing(&self, tenant: &TenantName) -> Result<Option<String>, StoreError> {
        let tenant = tenant.to_string();
        self.read("signing secrets", move |connection| signing(connection, &tenant)).await
    }

    /// An empty text stands for no secrets.
    pub(in super::super) async fn swap_signing(
        &self,
        tenant: &TenantName,
        before: String,
        after: String,
    ) -> Result<Swapped, StoreError> {
        let tenant = tenant.to_string();
        self.write("signing secrets", move |connection| {
            let there = signing(connection, &tenant)?.unwrap_or_default();
            if there == after {
                return Ok(Swapped::Done);
            }
            if there != before {
                return Ok(Swapped::Changed);
            }
            if after.is_empty() {
                connection.execute("DELETE FROM signing WHERE tenant = ?1", [tenant])?;
                return Ok(Swapped::Done);
            }
            let count: u32 = connection.query_row("SELECT count(*) FROM signing", [], |row| row.get(0))?;
            if there.is_empty() && count >= MAX_TENANTS {
                return Ok(Swapped::Full);
            }
            let put = "INSERT OR REPLACE INTO signing (tenant, secrets) VALUES (?1, ?2)";
            connection.execute(put, [tenant, after])?;
            Ok(Swapped::Done)
        })
        .await
    }

    pub(in super::super) async fn disabled_since(
        &self,
        receiver: &Receiver,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let (id, since) = (receiver.as_str().to_owned(), remembered_since(now));
        let found = self.read("receiver", move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT disabled FROM receivers WHERE id = ?1 AND disabled >= ?2")?;
            statement.query_row(params![id, since], |row| unsigned(row, 0)).optional()
        });
        Ok(found.await?.map(Timestamp))
    }

    pub(in super::super) async fn disable(
        &self,
        receiver: &Receiver,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (id, since) = (receiver.as_str().to_owned(), remembered_since(now));
        self.write("receiver", move |connection| {
            connection.execute("DELETE FROM receivers WHERE disabled < ?1", [since])?;
            let put = "INSERT INTO receivers (id, disabled) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            connection.execute(put, params![id, sql(now.0)])?;
            Ok(())
        })
        .await
    }

    pub(in super::super) async fn enable(&self, receiver: &Receiver) -> Result<(), StoreError> {
        let id = receiver.as_str().to_owned();
        self.write("receiver", move |connection| {
            connection.execute("DELETE FROM receivers WHERE id = ?1", [id])?;
            Ok(())
        })
        .await
    }
}

/// What was noted before is forgotten.
fn remembered_since(now: Timestamp) -> i64 {
    sql(now.0.saturating_sub(RECEIVER_MEMORY_MS))
}

fn signing(connection: &Connection, tenant: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT secrets FROM signing WHERE tenant = ?1")?;
    statement.query_row([tenant], |row| row.get(0)).optional()
}
