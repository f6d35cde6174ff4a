//! One flight at a time for a connection, whatever the order of things.

use std::fs;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use _core::model::{ConnectionKey, GrantType, IntegrationKey};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner, thread};

use crate::engine::flight::{Flights, Landed};
use crate::engine::freshness::StoredToken;
use crate::engine::runtime::UNFINISHED;

/// Orders tried by each scheduler, for each test.
const ORDERS: usize = 10_000;

/// Tries `story` in many orders: random ones, and those in which few switches happen, at the worst places (PCT).
fn in_many_orders(name: &str, story: fn()) {
    // A flight that some order left unfinished is the failure, and no later one's.
    let story = move || {
        UNFINISHED.set(0);
        story();
    };
    let run = |scheduler: Box<dyn Scheduler + Send>| {
        let mut config = Config::new();
        config.max_steps = MaxSteps::FailAfter(100_000);
        Runner::new(scheduler, config).run(story)
    };
    let tried =
        run(Box::new(RandomScheduler::new(ORDERS))) + run(Box::new(PctScheduler::new(3, ORDERS)));
    assert_eq!(tried, 2 * ORDERS);
    let figure = format!("flight.rs, {name}: {tried} orders of its steps tried\n");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/figures");
    fs::create_dir_all(folder).unwrap();
    fs::write(format!("{folder}/flight-{name}.txt"), figure).unwrap();
}

fn key(connection: &str) -> ConnectionKey {
    ConnectionKey {
        integration: IntegrationKey {
            workspace: "default".into(),
            provider: "acme".into(),
            grant_type: GrantType::AuthorizationCode,
        },
        connection: connection.into(),
    }
}

/// The flights of a process, and how many of one connection are in the air.
#[derive(Clone, Default)]
struct Airport {
    flights: Arc<Flights>,
    flying: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
}

impl Airport {
    /// A flight that lands with its number.
    async fn fly(self) -> Landed {
        assert_eq!(self.flying.fetch_add(1, Ordering::SeqCst), 0, "two fly");
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        shuttle::future::yield_now().await;
        self.flying.fetch_sub(1, Ordering::SeqCst);
        Ok(Arc::new(StoredToken(number)))
    }

    /// Boards, flies, and answers with the number of the flight.
    async fn travel(&self) -> usize {
        let seat = self
            .flights
            .board(&key("default"), "", || self.clone().fly());
        seat.landed().await.unwrap().0
    }

    fn all_have_landed(&self) {
        // One that never lands runs into the limit of steps.
        while UNFINISHED.get() > 0 {
            thread::yield_now();
        }
        // The next one starts: no flight stands in the table any more.
        assert!(
            self.flights
                .board(&key("default"), "", || self.clone().fly())
                .leads
        );
    }
}

/// Runs `traveller` on so many threads, and answers with what each saw.
fn travellers<T: Send + 'static>(
    count: usize,
    traveller: impl AsyncFnOnce() -> T + Clone + Send + 'static,
) -> Vec<T> {
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let traveller = traveller.clone();
            thread::spawn(move || shuttle::future::block_on(traveller()))
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

// Fails without the lock being held from the look at the table to the entry in it (`let mut table = self.table();` in
// flight.rs, taken a second time for the entry).
#[test]
fn one_flight_at_a_time_whatever_the_order() {
    in_many_orders("callers", || {
        let airport = Airport::default();
        let traveller = airport.clone();
        travellers(3, async move || traveller.travel().await);
        assert!(airport.begun.load(Ordering::SeqCst) <= 3);
        airport.all_have_landed();
    });
}

// Fails without the flight being off the table before its result is told (`Lead::land` in flight.rs).
#[test]
fn who_has_landed_and_boards_again_gets_a_later_flight() {
    in_many_orders("again", || {
        let airport = Airport::default();
        let traveller = airport.clone();
        travellers(2, async move || {
            let first = traveller.travel().await;
            assert!(traveller.travel().await > first, "an old result was shared");
        });
        airport.all_have_landed();
    });
}

// Fails without `impl Drop for Lead` in flight.rs: the flight would stand in the table for ever.
#[test]
fn a_panic_wakes_all_with_an_error_and_the_next_flight_starts() {
    in_many_orders("panic", || {
        let airport = Airport::default();
        let traveller = airport.clone();
        travellers(3, async move || {
            let falling = async {
                shuttle::future::yield_now().await;
                // Past the hook that would print it.
                resume_unwind(Box::new("on purpose"));
            };
            let seat = traveller.flights.board(&key("default"), "", || falling);
            assert!(seat.landed().await.is_err());
        });
        airport.all_have_landed();
    });
}

#[test]
fn who_stops_waiting_stops_no_flight() {
    in_many_orders("dropped", || {
        let airport = Airport::default();
        let (leaver, stayer) = (airport.clone(), airport.clone());
        let leaving = thread::spawn(move || {
            let seat = leaver
                .flights
                .board(&key("default"), "", || leaver.clone().fly());
            drop(seat);
        });
        travellers(2, async move || stayer.travel().await);
        leaving.join().unwrap();
        // It may still fly, with nobody in it.
        shuttle::future::block_on(airport.travel());
        airport.all_have_landed();
    });
}

#[test]
fn another_resource_waits_for_the_flight_and_then_looks_again() {
    in_many_orders("resources", || {
        let airport = Airport::default();
        let callers: Vec<_> = ["", "https://other.example"]
            .into_iter()
            .map(|resource| {
                let airport = airport.clone();
                thread::spawn(move || {
                    shuttle::future::block_on(async {
                        loop {
                            let fly = || airport.clone().fly();
                            let seat = airport.flights.board(&key("default"), resource, fly);
                            let same_resource = seat.same_resource;
                            let landed = seat.landed().await.unwrap();
                            if same_resource {
                                return landed.0;
                            }
                        }
                    })
                })
            })
            .collect();
        let mut flown: Vec<_> = callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect();
        flown.sort_unstable();
        assert_eq!(flown, [1, 2], "each resource has a flight of its own");
        airport.all_have_landed();
    });
}

#[test]
fn connections_fly_side_by_side() {
    in_many_orders("connections", || {
        let flights = Arc::new(Flights::default());
        let callers: Vec<_> = ["alice", "bob"]
            .into_iter()
            .map(|name| {
                let flights = Arc::clone(&flights);
                thread::spawn(move || {
                    let fly = async { Ok(Arc::new(StoredToken(name.len()))) };
                    let seat = flights.board(&key(name), "", || fly);
                    assert!(seat.leads && seat.same_resource);
                    let landed = shuttle::future::block_on(seat.landed()).unwrap();
                    assert_eq!(landed.0, name.len());
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
    });
}
