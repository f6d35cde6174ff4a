//! What `flight.rs` imports of the engine, and itself.
#![allow(dead_code, missing_docs, unreachable_pub)]

#[path = "../../../src/engine/flight.rs"]
pub mod flight;

pub mod freshness {
    /// The number of the flight that brought it.
    #[derive(Debug)]
    pub struct StoredToken(pub usize);
}

pub mod runtime {
    use std::cell::Cell;
    use std::future::{Future, poll_fn};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::task::Poll;

    pub use shuttle::sync::{Mutex, MutexGuard};

    thread_local! {
        /// Flights that have begun and not landed; the scheduler keeps all that it runs on one thread.
        pub static UNFINISHED: Cell<usize> = const { Cell::new(0) };
    }

    #[derive(Debug)]
    pub struct Unfinished;

    impl Unfinished {
        pub fn begin() -> Self {
            UNFINISHED.set(UNFINISHED.get() + 1);
            Self
        }
    }

    impl Drop for Unfinished {
        fn drop(&mut self) {
            UNFINISHED.set(UNFINISHED.get() - 1);
        }
    }

    #[derive(Clone, Debug, Default)]
    pub struct Runtime;

    impl Runtime {
        /// As tokio does it, a task that panics is dropped and disturbs nobody else.
        pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
            let mut task = Some(Box::pin(future));
            shuttle::future::spawn(poll_fn(move |context| {
                let Some(running) = &mut task else {
                    return Poll::Ready(());
                };
                let polled = AssertUnwindSafe(|| running.as_mut().poll(context));
                match catch_unwind(polled) {
                    Ok(polled) => polled,
                    Err(_) => {
                        task = None;
                        Poll::Ready(())
                    }
                }
            }));
        }
    }
}
