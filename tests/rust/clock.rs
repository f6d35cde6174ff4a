//! The clock of a test whose deadlines come sooner.

use std::num::NonZeroU32;
use std::time::Duration;

use _core::clock::Clock;

fn paced(pace: u32) -> Clock {
    Clock::paced(NonZeroU32::new(pace).unwrap())
}

#[test]
fn the_monotonic_time_of_a_paced_clock_is_that_of_the_machine_many_times_over() {
    let before = Clock::system().monotonic().millis();
    let paced = paced(50).monotonic().millis();
    let after = Clock::system().monotonic().millis();
    assert!(before * 50 <= paced && paced <= after * 50);
}

#[test]
fn the_wall_time_of_a_paced_clock_is_that_of_the_machine() {
    let before = Clock::system().wall();
    let paced = paced(50).wall();
    assert!(before <= paced && paced <= Clock::system().wall());
}

#[test]
fn a_deadline_comes_sooner_by_a_paced_clock_and_by_no_other() {
    let lease = Duration::from_secs(150);
    assert_eq!(paced(50).real(lease), Duration::from_secs(3));
    assert_eq!(Clock::system().real(lease), lease);
    assert_eq!(crate::support::clock().real(lease), lease);
}

#[test]
fn clocks_of_one_pace_are_the_same() {
    assert!(paced(50).same(&paced(50)));
    assert!(!paced(50).same(&paced(20)));
    assert!(!paced(50).same(&Clock::system()));
    assert!(!crate::support::clock().same(&paced(50)));
}
