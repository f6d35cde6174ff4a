//! `core.http_poll`: the same request until its status or a condition says that it is enough.

use std::time::Duration;

use super::arguments::{Arguments, invalid};
use super::request::{SHARED, prepare};
use super::{POLL, reply, send};
use crate::action::run::PythonStep;
use crate::action::run::runner::Runner;
use crate::action::value::{Mapping, Value};
use crate::error::{Error, Result};

const OWN: &[&str] = &[
    "poll_retry_codes",
    "poll_interval",
    "poll_max_attempts",
    "poll_condition",
];
const MOST_ATTEMPTS: usize = 10;
/// The longest pause where the template names none.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(super) async fn run(runner: &Runner, given: &Mapping) -> Result<Value> {
    let arguments = Arguments::read(POLL, given, &[SHARED, OWN])?;
    let condition = arguments.text("poll_condition")?;
    let codes = arguments.codes("poll_retry_codes")?;
    if condition.is_none() && codes.is_none() {
        return Err(invalid(format!(
            "{POLL} needs poll_condition or poll_retry_codes"
        )));
    }
    let interval = arguments.seconds("poll_interval")?;
    let most = arguments.count("poll_max_attempts", MOST_ATTEMPTS)?;
    let request = prepare(runner, &arguments)?;
    let mut attempts = 0;
    loop {
        let answer = send::send(runner, request.clone()).await?;
        attempts += 1;
        let is_done = match condition {
            Some(source) => {
                let step = PythonStep::Lambda {
                    source: source.to_owned(),
                    values: vec![reply::lenient(runner, &answer)],
                };
                runner.ask(step).await?.is_true()
            }
            None => {
                let mut codes = codes.iter().flatten();
                !codes.any(|code| *code == answer.reply.status)
            }
        };
        if is_done {
            // No status is an error here.
            return reply::result(runner, &answer, false);
        }
        // None at all is no bound.
        if attempts == most {
            let reason = format!("{} was not done after {attempts} attempts", answer.what);
            return Err(Error::action("attempts_used_up", reason));
        }
        let pause = interval.unwrap_or_else(|| pause_after(attempts));
        runner.pause(pause).await;
    }
}

/// 2, 4, 8, 16, 32 seconds, and 60 from then on.
fn pause_after(attempts: usize) -> Duration {
    let doubled = u32::try_from(attempts)
        .ok()
        .and_then(|attempts| 1_u64.checked_shl(attempts));
    let seconds = doubled.filter(|seconds| *seconds <= 32);
    seconds.map_or(LONGEST_PAUSE, Duration::from_secs)
}
