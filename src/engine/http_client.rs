//! The HTTP client of this process: a forked child neither uses its parent's nor lets go of it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::http;
use crate::system;

/// Makes the client at the first need, and anew in a forked child.
#[derive(Debug)]
pub(crate) struct HttpClient {
    options: http::Options,
    clock: Clock,
    /// In the network's place, in tests.
    instead: Option<Arc<dyn http::Transport>>,
    /// With the epoch it was made in.
    client: Mutex<Option<(u64, Arc<http::Client>)>>,
}

impl HttpClient {
    /// No client yet.
    pub(crate) fn new(
        options: http::Options,
        clock: Clock,
        instead: Option<Arc<dyn http::Transport>>,
    ) -> Self {
        Self {
            options,
            clock,
            instead,
            client: Mutex::default(),
        }
    }

    /// How its clients are made.
    pub(crate) fn options(&self) -> &http::Options {
        &self.options
    }

    /// The client of this process.
    pub(crate) fn client(&self) -> Arc<http::Client> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = system::epoch();
        if let Some((born, client)) = &*client
            && *born == epoch
        {
            return Arc::clone(client);
        }
        let built = match &self.instead {
            None => http::Client::new(self.options.clone()),
            Some(transport) => http::Client::over(Arc::clone(transport)),
        };
        let built = Arc::new(built.with_clock(self.clock.clone()));
        if let Some(inherited) = client.replace((epoch, Arc::clone(&built))) {
            std::mem::forget(inherited);
        }
        built
    }
}

impl Drop for HttpClient {
    /// Letting go of connections wakes tasks of the runtime that they were made on. A parent's is not there any more,
    /// and a lock of it that another thread held at the fork is held for ever.
    fn drop(&mut self) {
        let client = self
            .client
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if client
            .as_ref()
            .is_some_and(|(born, _)| *born != system::epoch())
        {
            std::mem::forget(client.take());
        }
    }
}
