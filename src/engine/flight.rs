//! One refresh at a time for a connection in this process: the first caller leads, the others wait for its result.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use crate::engine::freshness::StoredToken;
use crate::engine::runtime::{Mutex, MutexGuard, Runtime, Unfinished};
use crate::error::{Error, Result};
use crate::model::ConnectionKey;
use crate::system;

/// What a flight ends with, shared by all who wait.
pub type Landed = Result<Arc<StoredToken>>;

/// The flights of this process.
#[derive(Debug, Default)]
pub struct Flights {
    table: Arc<Mutex<Table>>,
    runtime: Runtime,
}

#[derive(Debug, Default)]
struct Table {
    /// The process: flights of the parent of a fork are nobody's here.
    epoch: u64,
    running: HashMap<ConnectionKey, Running>,
}

#[derive(Debug)]
struct Running {
    resource: Arc<str>,
    landing: watch::Receiver<Option<Landed>>,
}

/// A place in a flight.
#[derive(Debug)]
pub struct Seat {
    landing: watch::Receiver<Option<Landed>>,
    /// Whether this caller started it.
    pub leads: bool,
    /// Whether it is for the resource asked for; the refreshes of one refresh token are serial, so another
    /// resource's flight is waited for and then the caller looks again.
    pub same_resource: bool,
}

impl Seat {
    /// Waits for the result. Whoever drops this future stops waiting; the flight goes on.
    pub async fn landed(mut self) -> Landed {
        match self.landing.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone().expect("waited for the result"),
            Err(_) => Err(Error::internal("a refresh ended without a result")),
        }
    }
}

impl Flights {
    /// None yet; they will belong to `runtime`.
    pub fn on(runtime: Runtime) -> Self {
        Self {
            table: Arc::default(),
            runtime,
        }
    }

    /// Joins the flight of this connection, or starts `flight` on the runtime, to which it belongs from then on.
    pub fn board<F>(&self, key: &ConnectionKey, resource: &str, flight: impl FnOnce() -> F) -> Seat
    where
        F: Future<Output = Landed> + Send + 'static,
    {
        let mut table = self.table();
        if let Some(running) = table.running.get(key) {
            return Seat {
                landing: running.landing.clone(),
                leads: false,
                same_resource: &*running.resource == resource,
            };
        }
        let (sender, landing) = watch::channel(None);
        table.running.insert(
            key.clone(),
            Running {
                resource: resource.into(),
                landing: landing.clone(),
            },
        );
        drop(table);
        let lead = Lead {
            table: Arc::clone(&self.table),
            key: key.clone(),
            sender,
            _unfinished: Unfinished::begin(),
        };
        let flight = flight();
        self.runtime.spawn(async move {
            let landed = flight.await;
            lead.land(landed);
        });
        Seat {
            landing,
            leads: true,
            same_resource: true,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = system::epoch();
        if table.epoch != epoch {
            // A waiter of the parent's may still be parked in these channels: forget, never wake.
            std::mem::forget(std::mem::take(&mut table.running));
            table.epoch = epoch;
        }
        table
    }
}

/// Ends the flight when dropped, so that a panic in it wakes those who wait.
struct Lead {
    table: Arc<Mutex<Table>>,
    key: ConnectionKey,
    sender: watch::Sender<Option<Landed>>,
    _unfinished: Unfinished,
}

impl Lead {
    fn land(&self, landed: Landed) {
        // Off the table first: who comes now judges the stored token instead of sharing an old result.
        self.table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .running
            .remove(&self.key);
        self.sender.send_replace(Some(landed));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.sender.borrow().is_none() {
            self.land(Err(Error::internal("a refresh failed in evergrant itself")));
        }
    }
}
