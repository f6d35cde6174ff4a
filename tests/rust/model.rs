//! The claim protocol, exhaustively: every order of the steps of two and three leaders, with a kill, a freeze, a lost
//! request or reply and a failing commit at every step. Then each protecting step is left out, and must be missed.

use std::fs;

use self::explorer::explore;
use self::protocol::{Faults, Part, Protocol};

mod explorer;
mod protocol;

const NONE: Faults = Faults {
    kills: 0,
    freezes: 0,
    losses: 0,
    commits: 0,
};

const TWO: Protocol = Protocol {
    processes: 2,
    faults: Faults {
        kills: 1,
        freezes: 1,
        losses: 1,
        commits: 0,
    },
    expiries: 1,
    wishes: 1,
    reconnects: 1,
    visible: true,
    without: None,
};

/// Visits all states of a protocol, and notes how many there were.
fn holds(name: &str, protocol: &Protocol) {
    let explored = match explore(protocol) {
        Ok(explored) => explored,
        Err(counterexample) => panic!(
            "{}:\n{}",
            counterexample.wrong,
            counterexample.way.join("\n")
        ),
    };
    let figure = format!(
        "model, {name}: {} states, {} steps, {} ends: every one is good\n",
        explored.states, explored.steps, explored.ends
    );
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/figures");
    fs::create_dir_all(folder).unwrap();
    fs::write(
        format!("{folder}/model-{}.txt", name.replace(' ', "-")),
        figure,
    )
    .unwrap();
}

#[test]
fn two_leaders_keep_every_promise() {
    holds("two leaders", &TWO);
}

#[test]
fn two_leaders_that_cannot_see_each_other_keep_every_promise() {
    let visible = false;
    holds(
        "two leaders in two containers",
        &Protocol { visible, ..TWO },
    );
}

#[test]
fn two_leaders_of_whom_two_die_keep_every_promise() {
    let protocol = Protocol {
        faults: Faults {
            kills: 2,
            commits: 1,
            ..NONE
        },
        expiries: 2,
        reconnects: 0,
        ..TWO
    };
    holds("two leaders and two deaths", &protocol);
}

#[test]
fn three_leaders_keep_every_promise() {
    let protocol = Protocol {
        processes: 3,
        wishes: 0,
        reconnects: 0,
        ..TWO
    };
    holds("three leaders", &protocol);
}

/// What goes wrong first with so few faults when a part is left out; with it, nothing does.
fn without(part: Part, faults: Faults) -> &'static str {
    let whole = Protocol {
        faults,
        wishes: 2,
        ..TWO
    };
    assert!(explore(&whole).is_ok());
    let without = Some(part);
    match explore(&Protocol { without, ..whole }) {
        Ok(explored) => panic!("{part:?} protects nothing: {explored:?}"),
        Err(counterexample) => counterexample.wrong,
    }
}

#[test]
fn without_compare_and_swap_a_reply_overwrites_a_new_consent() {
    let wrong = without(Part::CompareAndSwap, NONE);
    assert_eq!(wrong, "a new consent is lost to the reply of an old one");
}

#[test]
fn without_the_check_before_sending_a_frozen_leader_sends_all_the_same() {
    let wrong = without(Part::RecheckBeforeSend, Faults { freezes: 1, ..NONE });
    assert_eq!(wrong, "a used refresh token is sent");
}

#[test]
fn without_the_slot_a_kill_before_the_commit_loses_the_reply() {
    let wrong = without(Part::SlotBeforeCommit, Faults { kills: 1, ..NONE });
    assert_eq!(wrong, "a reply is lost");
}

#[test]
fn without_the_attempts_row_two_leaders_send() {
    let wrong = without(Part::Attempt, NONE);
    assert_eq!(wrong, "a used refresh token is sent");
}

#[test]
fn without_a_look_at_what_the_dead_left_its_reply_is_asked_for_again() {
    let wrong = without(Part::OrphansFirst, Faults { kills: 1, ..NONE });
    assert_eq!(wrong, "a request is sent whose reply lies in a slot");
}

#[test]
fn without_patience_after_an_unknown_outcome_a_token_that_works_is_risked() {
    let wrong = without(Part::PatienceAfterUnknown, Faults { losses: 1, ..NONE });
    assert_eq!(wrong, "a used refresh token is sent");
}
