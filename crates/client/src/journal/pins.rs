//! Whom each origin was paid through: the address that came first is the one that is expected again.

use redb::TableDefinition;
use seamline_core::Address;

use super::{Fault, Journal, JournalError};
use crate::client::lock;

/// Origin -> addresses, 20 bytes each.
const PINS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("pins");
/// Most addresses that one origin is remembered with: more is no pin.
const MAX_PINS: usize = 16;

impl Journal {
    /// The addresses that an origin was paid through, oldest first.
    ///
    /// # Errors
    ///
    /// [`JournalError`] where the file cannot be read.
    pub fn pins(&self, origin: &str) -> Result<Vec<Address>, JournalError> {
        let txn = self.begin_read()?;
        let table = match txn.open_table(PINS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(err) => return Err(self.storage(err.into())),
        };
        let found = table.get(origin).map_err(|err| self.fault(err.into()))?;
        Ok(found.map_or_else(Vec::new, |bytes| read(bytes.value())))
    }

    /// Remembers that an origin is paid through `pay_to`, durably, beside the addresses that are known.
    ///
    /// # Errors
    ///
    /// [`JournalError`] where the file cannot be written.
    pub fn pin(&self, origin: &str, pay_to: Address) -> Result<(), JournalError> {
        let _in_turn = lock(&self.pinning);
        let mut pins = self.pins(origin)?;
        if pins.contains(&pay_to) || pins.len() >= MAX_PINS {
            return Ok(());
        }
        pins.push(pay_to);
        self.write_pins(origin, Some(&pins))
    }

    /// Takes the first address that an origin names for the one to pay. `false` where another one was
    /// first: of two purchases at once only one can be.
    pub(crate) fn pin_first(&self, origin: &str, pay_to: Address) -> Result<bool, JournalError> {
        let _in_turn = lock(&self.pinning);
        let pins = self.pins(origin)?;
        if pins.is_empty() {
            self.write_pins(origin, Some(&[pay_to]))?;
            return Ok(true);
        }
        Ok(pins.contains(&pay_to))
    }

    /// Forgets whom an origin is paid through: the next address is taken as the first.
    ///
    /// # Errors
    ///
    /// [`JournalError`] where the file cannot be written.
    pub fn unpin(&self, origin: &str) -> Result<(), JournalError> {
        self.write_pins(origin, None)
    }

    fn write_pins(&self, origin: &str, pins: Option<&[Address]>) -> Result<(), JournalError> {
        let storage = |err| self.storage(err);
        let txn = self.begin_write()?;
        {
            let table = txn.open_table(PINS);
            let mut table = table.map_err(|err| storage(err.into()))?;
            let written = match pins {
                Some(pins) => {
                    let bytes: Vec<u8> = pins.iter().flat_map(|pin| pin.0.0).collect();
                    table.insert(origin, bytes.as_slice()).map(drop)
                }
                None => table.remove(origin).map(drop),
            };
            written.map_err(|err| self.fault(Fault::from(err)))?;
        }
        txn.commit().map_err(|err| storage(err.into()))
    }
}

fn read(bytes: &[u8]) -> Vec<Address> {
    let (pins, _) = bytes.as_chunks::<20>();
    pins.iter().map(|pin| Address::from(*pin)).collect()
}
