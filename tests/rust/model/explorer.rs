//! Visits every state that can be reached, the nearest first, and remembers the way to each.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

pub(super) type Name = (Option<u8>, &'static str);

/// Something with states and steps between them.
pub(super) trait Model {
    type State: Copy + Debug + Eq + Hash;

    fn first(&self) -> Self::State;

    /// The steps from `state`: what each is called, where it leads or why it must not be, and whether it is a fault.
    fn steps(&self, state: &Self::State) -> Vec<Step<Self::State>>;

    /// What is wrong with a state, whatever led to it.
    fn wrong(&self, state: &Self::State) -> Option<&'static str>;

    /// Whether all is well where nothing more happens by itself.
    fn is_good_end(&self, state: &Self::State) -> bool;
}

/// One step.
pub(super) struct Step<S> {
    /// Whose it is, if it is a process's, and what happens.
    pub(super) name: Name,
    pub(super) to: Result<S, &'static str>,
    pub(super) fault: bool,
}

/// What an exploration saw.
#[derive(Debug)]
pub(super) struct Explored {
    pub(super) states: usize,
    pub(super) steps: usize,
    /// States in which nothing more happens by itself.
    pub(super) ends: usize,
}

/// A way to something that must not be, step by step.
#[derive(Debug)]
pub(super) struct Counterexample {
    pub(super) wrong: &'static str,
    pub(super) way: Vec<String>,
}

/// Visits all states.
///
/// # Errors
/// The shortest way to a state or step that must not be; or to one from which, without further faults, no good end can
/// be reached.
pub(super) fn explore<M: Model>(model: &M) -> Result<Explored, Counterexample> {
    let first = model.first();
    let mut states = vec![first];
    let mut numbers = HashMap::from([(first, 0_u32)]);
    // By state: the one it was reached from, and by which step.
    let mut reached: Vec<(u32, Name)> = vec![(0, (None, ""))];
    // Steps that are no faults, backwards.
    let mut before: Vec<Vec<u32>> = vec![Vec::new()];
    let mut good = Vec::new();
    let (mut count, mut ends) = (0, 0);
    let mut at = 0;
    while at < states.len() {
        let state = states[at];
        let number = u32::try_from(at).unwrap();
        let way = |reached: &[(u32, Name)]| way(reached, number);
        if let Some(wrong) = model.wrong(&state) {
            let way = way(&reached);
            return Err(Counterexample { wrong, way });
        }
        let mut goes_on = false;
        for step in model.steps(&state) {
            count += 1;
            goes_on |= !step.fault;
            let to = match step.to {
                Ok(to) => to,
                Err(wrong) => {
                    let mut way = way(&reached);
                    way.push(words(step.name));
                    return Err(Counterexample { wrong, way });
                }
            };
            let next = *numbers.entry(to).or_insert_with_key(|to| {
                states.push(*to);
                reached.push((number, step.name));
                before.push(Vec::new());
                u32::try_from(states.len() - 1).unwrap()
            });
            if !step.fault {
                before[next as usize].push(number);
            }
        }
        if !goes_on {
            ends += 1;
            if !model.is_good_end(&state) {
                let wrong = "nothing more happens, and it is no good end";
                return Err(Counterexample {
                    wrong,
                    way: way(&reached),
                });
            }
            good.push(number);
        }
        at += 1;
    }
    let mut can_end = vec![false; states.len()];
    while let Some(number) = good.pop() {
        if !std::mem::replace(&mut can_end[number as usize], true) {
            good.extend(&before[number as usize]);
        }
    }
    match can_end.iter().position(|can_end| !can_end) {
        None => Ok(Explored {
            states: states.len(),
            steps: count,
            ends,
        }),
        Some(stuck) => Err(Counterexample {
            wrong: "no good end can be reached from here",
            way: way(&reached, u32::try_from(stuck).unwrap()),
        }),
    }
}

fn words((who, what): Name) -> String {
    who.map_or_else(|| what.to_owned(), |who| format!("process {who} {what}"))
}

fn way(reached: &[(u32, Name)], mut number: u32) -> Vec<String> {
    let mut way = Vec::new();
    while number != 0 {
        let (from, name) = &reached[number as usize];
        way.push(words(*name));
        number = *from;
    }
    way.reverse();
    way
}
