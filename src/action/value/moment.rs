//! Moments as Python's `datetime` has them (a clock and perhaps a zone), and spans between them.

use std::cmp::Ordering;
use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan as _};

use super::Failure;

const SECOND: i128 = 1_000_000;
const DAY: i128 = 86_400 * SECOND;
/// Python's `timedelta` ends here.
const MOST_DAYS: i128 = 999_999_999;

/// A span of time in microseconds, at most 999,999,999 days.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Duration(i128);

impl Duration {
    /// A span of so many microseconds.
    pub fn from_microseconds(microseconds: i128) -> Result<Self, Failure> {
        if microseconds.div_euclid(DAY).abs() > MOST_DAYS {
            return Err(Failure::new("the duration is too long"));
        }
        Ok(Self(microseconds))
    }

    /// A span of so many seconds, rounded to the microsecond (half to even, as Python does).
    pub fn from_seconds(seconds: f64) -> Result<Self, Failure> {
        let microseconds = seconds * 1e6;
        if !microseconds.is_finite() || microseconds.abs() > (MOST_DAYS * DAY) as f64 {
            return Err(Failure::new("the duration is too long"));
        }
        Self::from_microseconds(microseconds.round_ties_even() as i128)
    }

    /// All of it in microseconds.
    pub const fn microseconds(self) -> i128 {
        self.0
    }

    /// All of it in seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }

    /// Days, then seconds and microseconds that are never negative: how Python keeps it.
    pub const fn parts(self) -> (i128, i128, i128) {
        let rest = self.0.rem_euclid(DAY);
        (self.0.div_euclid(DAY), rest / SECOND, rest % SECOND)
    }

    /// ISO 8601, as in `P1DT2H3M4S`: how JSON holds it (a year is 365 days there).
    pub fn iso(self) -> String {
        let magnitude = self.0.abs();
        let (days, seconds, fraction) = (
            magnitude / DAY,
            magnitude % DAY / SECOND,
            magnitude % SECOND,
        );
        let part = |amount: i128, unit: &str| match amount {
            0 => String::new(),
            amount => format!("{amount}{unit}"),
        };
        let sign = if self.0 < 0 { "-" } else { "" };
        let mut text = format!("{sign}P{}{}", part(days / 365, "Y"), part(days % 365, "D"));
        if seconds != 0 || fraction != 0 {
            text.push('T');
        }
        text.push_str(&part(seconds / 3600, "H"));
        text.push_str(&part(seconds / 60 % 60, "M"));
        if fraction == 0 {
            text.push_str(&part(seconds % 60, "S"));
        } else {
            let fraction = format!("{fraction:06}");
            text.push_str(&format!(
                "{}.{}S",
                seconds % 60,
                fraction.trim_end_matches('0')
            ));
        }
        if self.0 == 0 {
            text.push_str("T0S");
        }
        text
    }
}

impl fmt::Display for Duration {
    /// Python's `str`: `1 day, 0:00:00`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds, microseconds) = self.parts();
        if days != 0 {
            let plural = if days.abs() == 1 { "" } else { "s" };
            write!(formatter, "{days} day{plural}, ")?;
        }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(formatter, "{hours}:{minutes:02}:{:02}", seconds % 60)?;
        if microseconds != 0 {
            write!(formatter, ".{microseconds:06}")?;
        }
        Ok(())
    }
}

/// The zone of a moment and its offset from UTC just then.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Where: arithmetic moves the clock and asks it for the offset again.
    pub place: TimeZone,
    /// How far the clock is ahead of UTC.
    pub offset: Offset,
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self {
        place: TimeZone::UTC,
        offset: Offset::UTC,
    };

    /// The zone of this offset at all times.
    pub fn fixed(offset: Offset) -> Self {
        Self {
            place: TimeZone::fixed(offset),
            offset,
        }
    }
}

/// A clock's day and time to the microsecond; aware when it has a zone, naive when not.
#[derive(Clone, Debug)]
pub struct Moment {
    /// What a clock on the wall shows.
    pub clock: DateTime,
    /// Where that clock hangs.
    pub zone: Option<Zone>,
}

impl Moment {
    /// What the clock shows, of nowhere in particular.
    pub const fn naive(clock: DateTime) -> Self {
        Self { clock, zone: None }
    }

    /// This instant as the clocks of `place` show it.
    pub fn at(instant: Timestamp, place: TimeZone) -> Self {
        let offset = place.to_offset(instant);
        Self {
            clock: offset.to_datetime(instant),
            zone: Some(Zone { place, offset }),
        }
    }

    /// The clock of `place` showing `clock`; of two such instants the first.
    pub fn of_clock(clock: DateTime, place: TimeZone) -> Result<Self, Failure> {
        let instant = place
            .to_ambiguous_timestamp(clock)
            .compatible()
            .map_err(|_| out_of_range())?;
        let offset = place.to_offset(instant);
        Ok(Self {
            clock,
            zone: Some(Zone { place, offset }),
        })
    }

    /// Microseconds since 1970 in UTC (a naive clock is read as UTC's).
    pub fn instant(&self) -> i128 {
        let clock = since_epoch(self.clock);
        match &self.zone {
            Some(zone) => clock - i128::from(zone.offset.seconds()) * SECOND,
            None => clock,
        }
    }

    /// Microseconds since 1970 of the clock itself.
    pub fn clock_microseconds(&self) -> i128 {
        since_epoch(self.clock)
    }

    /// The same instant in another place; a naive clock is read as UTC's.
    pub fn moved_to(&self, place: TimeZone) -> Result<Self, Failure> {
        let instant = i64::try_from(self.instant())
            .ok()
            .and_then(|instant| Timestamp::from_microsecond(instant).ok())
            .ok_or_else(out_of_range)?;
        in_range(Self::at(instant, place))
    }

    /// Later by this much, on its own clock.
    pub fn plus(&self, duration: Duration) -> Result<Self, Failure> {
        let clock = self
            .clock_microseconds()
            .checked_add(duration.microseconds())
            .and_then(from_epoch)
            .ok_or_else(out_of_range)?;
        match &self.zone {
            None => Ok(Self::naive(clock)),
            Some(zone) => Self::of_clock(clock, zone.place.clone()),
        }
    }

    /// The span from `earlier` to this one. Both are naive or both aware.
    pub fn since(&self, earlier: &Self) -> Result<Duration, Failure> {
        self.same_awareness(earlier)?;
        Duration::from_microseconds(self.instant() - earlier.instant())
    }

    /// Which comes first. Both are naive or both aware.
    pub fn compare(&self, other: &Self) -> Result<Ordering, Failure> {
        self.same_awareness(other)?;
        Ok(self.instant().cmp(&other.instant()))
    }

    fn same_awareness(&self, other: &Self) -> Result<(), Failure> {
        if self.zone.is_some() == other.zone.is_some() {
            return Ok(());
        }
        Err(Failure::new(
            "a datetime with a zone and one without don't mix",
        ))
    }

    /// Python's `isoformat` with this between day and time.
    pub fn iso(&self, separator: char) -> String {
        let mut text = format!(
            "{}{separator}{}",
            date_iso(self.clock.date()),
            time_iso(self.clock.time())
        );
        if let Some(zone) = &self.zone {
            text.push_str(&offset_text(zone.offset));
        }
        text
    }

    /// How JSON holds it: `Z` for UTC.
    pub fn json(&self) -> String {
        let text = self.iso('T');
        match text.strip_suffix("+00:00") {
            Some(clock) => format!("{clock}Z"),
            None => text,
        }
    }
}

fn out_of_range() -> Failure {
    Failure::new("the date is outside of the years 1 to 9999")
}

fn in_range(moment: Moment) -> Result<Moment, Failure> {
    if (1..=9999).contains(&moment.clock.year()) {
        Ok(moment)
    } else {
        Err(out_of_range())
    }
}

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

fn since_epoch(clock: DateTime) -> i128 {
    clock.duration_since(EPOCH).as_micros()
}

fn from_epoch(microseconds: i128) -> Option<DateTime> {
    let microseconds = i64::try_from(microseconds).ok()?;
    let clock = EPOCH.checked_add(microseconds.microseconds()).ok()?;
    (1..=9999).contains(&clock.year()).then_some(clock)
}

/// `2024-01-02`.
pub(crate) fn date_iso(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

/// `03:04:05`, with microseconds where there are any.
pub(crate) fn time_iso(time: Time) -> String {
    let text = format!(
        "{:02}:{:02}:{:02}",
        time.hour(),
        time.minute(),
        time.second()
    );
    match time.subsec_nanosecond() / 1000 {
        0 => text,
        microseconds => format!("{text}.{microseconds:06}"),
    }
}

/// `+02:00`, with seconds where there are any.
pub(crate) fn offset_text(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let text = format!("{sign}{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    match seconds % 60 {
        0 => text,
        rest => format!("{text}:{rest:02}"),
    }
}
