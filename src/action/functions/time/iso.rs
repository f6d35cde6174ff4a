//! The ISO 8601 texts that Python's `fromisoformat` reads.

use jiff::civil::{Date, ISOWeekDate, Time, Weekday};
use jiff::tz::Offset;

pub(super) use crate::action::value::offset_text;
use crate::action::value::{Moment, Zone};

/// A day, perhaps with a time and an offset behind any one character.
pub(crate) fn read_moment(text: &str) -> Option<Moment> {
    let (date, length) = read_date(text)?;
    let rest = &text[length..];
    if rest.is_empty() {
        return Some(Moment::naive(date.to_datetime(Time::midnight())));
    }
    let separator = rest.chars().next()?;
    let rest = &rest[separator.len_utf8()..];
    let (time, zone) = match rest.find(['Z', '+', '-']) {
        Some(at) => (&rest[..at], Some(read_zone_offset(&rest[at..])?)),
        None => (rest, None),
    };
    let clock = date.to_datetime(read_time(time)?);
    let zone = zone.map(|offset| {
        if offset.is_zero() {
            Zone::UTC
        } else {
            Zone::fixed(offset)
        }
    });
    Some(Moment { clock, zone })
}

/// The number of exactly these digits.
fn number(digits: Option<&str>) -> Option<i16> {
    let digits = digits?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

fn small(digits: Option<&str>) -> Option<i8> {
    i8::try_from(number(digits)?).ok()
}

/// `2024-01-02`, `20240102`, `2024-W01-2` or `2024W012`, and how long it is.
fn read_date(text: &str) -> Option<(Date, usize)> {
    let year = number(text.get(..4)).filter(|year| *year > 0)?;
    let dash = usize::from(text[4..].starts_with('-'));
    let at = 4 + dash;
    if text[at..].starts_with('W') {
        let week = small(text.get(at + 1..at + 3))?;
        let end = at + 3;
        let (day, end) = match small(text.get(end + dash..end + dash + 1)) {
            Some(day) if dash == 0 || text[end..].starts_with('-') => (day, end + dash + 1),
            _ => (1, end),
        };
        let weekday = Weekday::from_monday_one_offset(day).ok()?;
        let date = ISOWeekDate::new(year, week, weekday).ok()?.date();
        return Some((date, end));
    }
    let month = small(text.get(at..at + 2))?;
    if dash == 1 && !text[at + 2..].starts_with('-') {
        return None;
    }
    let day_at = at + 2 + dash;
    let day = small(text.get(day_at..day_at + 2))?;
    Some((Date::new(year, month, day).ok()?, day_at + 2))
}

/// `HH`, `HH:MM`, `HH:MM:SS`, each also without colons, and a fraction of a second.
pub(super) fn read_time(text: &str) -> Option<Time> {
    let (clock, fraction) = match text.split_once(['.', ',']) {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let has_colons = clock.contains(':');
    let parts: Vec<&str> = if has_colons {
        clock.split(':').collect()
    } else {
        (0..clock.len())
            .step_by(2)
            .map(|at| clock.get(at..at + 2))
            .collect::<Option<_>>()?
    };
    if parts.is_empty() || parts.len() > 3 || parts.iter().any(|part| part.len() != 2) {
        return None;
    }
    let nanoseconds = match fraction {
        None => 0,
        Some(_) if parts.len() < 3 => return None,
        Some(fraction) => {
            if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
            digits.parse::<i32>().ok()? * 1000
        }
    };
    let part = |index: usize| match parts.get(index) {
        Some(digits) => small(Some(digits)),
        None => Some(0),
    };
    Time::new(part(0)?, part(1)?, part(2)?, nanoseconds).ok()
}

/// `Z`, `+HH`, `+HH:MM`, `+HHMM` and the like with seconds.
pub(crate) fn read_zone_offset(text: &str) -> Option<Offset> {
    if text == "Z" {
        return Some(Offset::UTC);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let time = read_time(&text[1..])?;
    let (hours, minutes) = (i32::from(time.hour()), i32::from(time.minute()));
    let seconds = hours * 3600 + minutes * 60 + i32::from(time.second());
    Offset::from_seconds(sign * seconds).ok()
}
