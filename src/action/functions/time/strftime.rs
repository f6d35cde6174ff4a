//! Python's `strftime` and `strptime`, in the C locale.

use std::fmt::Write as _;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use super::iso::read_zone_offset;
use super::{MONTHS, WEEKDAYS, no_such_time, weekday};
use crate::action::value::{Failure, Moment, Value, Zone, date_iso, offset_text, time_iso};

/// The text of a moment, day or time in this format.
pub(in crate::action::functions) fn write(value: &Value, format: &str) -> Result<String, Failure> {
    let moment = match value {
        Value::Moment(moment) => moment.clone(),
        Value::Date(date) => Moment::naive(date.to_datetime(Time::midnight())),
        Value::Time(time) => Moment::naive(Date::constant(1900, 1, 1).to_datetime(*time)),
        other => return Err(super::wrong("a datetime is needed", other)),
    };
    let mut out = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some(directive) => put(&moment, directive, &mut out)?,
            None => out.push('%'),
        }
    }
    Ok(out)
}

fn put(moment: &Moment, directive: char, out: &mut String) -> Result<(), Failure> {
    let clock = moment.clock;
    let (date, time) = (clock.date(), clock.time());
    let day = weekday(date);
    let weekday_name = WEEKDAYS[day.unsigned_abs() as usize];
    let month_name = MONTHS[date.month().unsigned_abs() as usize - 1];
    let twelve = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let day_of_year = date.day_of_year();
    let week = |first: i16| (day_of_year + 6 - first) / 7;
    let iso = date.iso_week_date();
    let written = match directive {
        'a' => write!(out, "{}", &weekday_name[..3]),
        'A' => write!(out, "{weekday_name}"),
        'b' | 'h' => write!(out, "{}", &month_name[..3]),
        'B' => write!(out, "{month_name}"),
        'c' => write!(
            out,
            "{} {} {:2} {} {}",
            &weekday_name[..3],
            &month_name[..3],
            date.day(),
            whole_seconds(time),
            date.year()
        ),
        'C' => write!(out, "{:02}", date.year() / 100),
        'd' => write!(out, "{:02}", date.day()),
        'D' | 'x' => write!(
            out,
            "{:02}/{:02}/{:02}",
            date.month(),
            date.day(),
            date.year() % 100
        ),
        'e' => write!(out, "{:2}", date.day()),
        'f' => write!(out, "{:06}", time.subsec_nanosecond() / 1000),
        'F' => write!(out, "{}", date_iso(date)),
        'G' => write!(out, "{:04}", iso.year()),
        'H' => write!(out, "{:02}", time.hour()),
        'I' => write!(out, "{twelve:02}"),
        'j' => write!(out, "{day_of_year:03}"),
        'k' => write!(out, "{:2}", time.hour()),
        'l' => write!(out, "{twelve:2}"),
        'm' => write!(out, "{:02}", date.month()),
        'M' => write!(out, "{:02}", time.minute()),
        'n' => out.write_char('\n'),
        'p' => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
        'r' => write!(
            out,
            "{twelve:02}:{:02}:{:02} {}",
            time.minute(),
            time.second(),
            if time.hour() < 12 { "AM" } else { "PM" }
        ),
        'R' => write!(out, "{:02}:{:02}", time.hour(), time.minute()),
        's' => write!(out, "{}", moment.instant().div_euclid(1_000_000)),
        'S' => write!(out, "{:02}", time.second()),
        't' => out.write_char('\t'),
        'T' | 'X' => write!(out, "{}", whole_seconds(time)),
        'u' => write!(out, "{}", day + 1),
        'U' => write!(out, "{:02}", week(i16::from((day + 1) % 7))),
        'V' => write!(out, "{:02}", iso.week()),
        'w' => write!(out, "{}", (day + 1) % 7),
        'W' => write!(out, "{:02}", week(i16::from(day))),
        'y' => write!(out, "{:02}", date.year() % 100),
        'Y' => write!(out, "{:04}", date.year()),
        'z' => match &moment.zone {
            Some(zone) => write!(out, "{}", offset_text(zone.offset).replace(':', "")),
            None => Ok(()),
        },
        'Z' => match &moment.zone {
            Some(zone)
                if zone.offset.is_zero()
                    && zone.place.iana_name().is_none_or(|name| name == "UTC") =>
            {
                write!(out, "UTC")
            }
            Some(zone) => write!(out, "{}", abbreviation(moment, zone)),
            None => Ok(()),
        },
        '%' => write!(out, "%"),
        _ => return Err(Failure::new(format!("there is no directive %{directive}"))),
    };
    written.map_err(|_| no_such_time())
}

fn whole_seconds(time: Time) -> String {
    time_iso(time).chars().take(8).collect()
}

/// `CEST`, or `UTC+02:00` for an offset without a place.
fn abbreviation(moment: &Moment, zone: &Zone) -> String {
    let instant = i64::try_from(moment.instant()).ok();
    let instant = instant.and_then(|instant| jiff::Timestamp::from_microsecond(instant).ok());
    match (zone.place.iana_name(), instant) {
        (Some(_), Some(instant)) => zone.place.to_offset_info(instant).abbreviation().to_owned(),
        _ => format!("UTC{}", offset_text(zone.offset)),
    }
}

/// The moment that a text in this format is.
pub(super) fn read(text: &str, format: &str) -> Result<Moment, Failure> {
    let mut reader = Reader {
        rest: text,
        found: Found::default(),
    };
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        let matches = match character {
            '%' => match characters.next() {
                Some(directive) => reader.take(directive),
                None => return Err(Failure::new("the format ends within a directive")),
            },
            _ if character.is_whitespace() => {
                reader.rest = reader.rest.trim_start();
                Some(())
            }
            character => reader.literal(character),
        };
        if matches.is_none() {
            return Err(Failure::new("the text does not have this format"));
        }
    }
    if !reader.rest.is_empty() {
        return Err(Failure::new("the text goes on where the format ends"));
    }
    reader.found.moment().ok_or_else(no_such_time)
}

#[derive(Default)]
struct Found {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    hour: Option<i8>,
    is_twelve: bool,
    is_afternoon: Option<bool>,
    minute: Option<i8>,
    second: Option<i8>,
    microsecond: Option<i32>,
    offset: Option<Offset>,
}

impl Found {
    fn moment(self) -> Option<Moment> {
        let year = self.year.unwrap_or(1900);
        let date = match (self.day_of_year, self.month) {
            (Some(day), None) => {
                let date = Date::new(year, 1, 1).ok()?;
                date.with().day_of_year(day).build().ok()?
            }
            (_, month) => Date::new(year, month.unwrap_or(1), self.day.unwrap_or(1)).ok()?,
        };
        let hour = self.hour.unwrap_or(0);
        let hour = match (self.is_twelve, self.is_afternoon) {
            (true, Some(true)) => hour % 12 + 12,
            (true, _) => hour % 12,
            (false, _) => hour,
        };
        let nanosecond = self.microsecond.unwrap_or(0) * 1000;
        let time = Time::new(
            hour,
            self.minute.unwrap_or(0),
            self.second.unwrap_or(0),
            nanosecond,
        );
        let clock = DateTime::from_parts(date, time.ok()?);
        let zone = self.offset.map(|offset| {
            if offset.is_zero() {
                Zone::UTC
            } else {
                Zone::fixed(offset)
            }
        });
        Some(Moment { clock, zone })
    }
}

struct Reader<'text> {
    rest: &'text str,
    found: Found,
}

impl Reader<'_> {
    fn literal(&mut self, character: char) -> Option<()> {
        let first = self.rest.chars().next()?;
        let is_same = first == character || first.to_lowercase().eq(character.to_lowercase());
        is_same.then(|| self.rest = &self.rest[first.len_utf8()..])
    }

    fn digits(&mut self, most: usize) -> Option<&str> {
        let count = self
            .rest
            .bytes()
            .take(most)
            .take_while(u8::is_ascii_digit)
            .count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        (count > 0).then_some(digits)
    }

    fn number<T: std::str::FromStr + PartialOrd>(
        &mut self,
        most: usize,
        from: T,
        to: T,
    ) -> Option<T> {
        // A second digit that makes the number too large belongs to what follows.
        for most in (1..=most).rev() {
            let before = self.rest;
            let number: T = self.digits(most)?.parse().ok()?;
            if number >= from && number <= to {
                return Some(number);
            }
            self.rest = before;
        }
        None
    }

    /// The place of the name that comes next.
    fn name(&mut self, names: &[&str], length: Option<usize>) -> Option<i8> {
        let index = names.iter().position(|name| {
            let name = &name[..length.unwrap_or(name.len())];
            self.rest
                .get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        })?;
        self.rest = &self.rest[length.unwrap_or(names[index].len())..];
        i8::try_from(index).ok()
    }

    fn take(&mut self, directive: char) -> Option<()> {
        match directive {
            'Y' => {
                let digits = self.digits(4)?;
                let year = (digits.len() == 4).then(|| digits.parse().ok())??;
                self.found.year = Some((year > 0).then_some(year)?);
            }
            'y' => {
                let year: i16 = self.number(2, 0, 99)?;
                self.found.year = Some(year + if year < 69 { 2000 } else { 1900 });
            }
            'm' => self.found.month = Some(self.number(2, 1, 12)?),
            'd' => {
                self.rest = self.rest.strip_prefix(' ').unwrap_or(self.rest);
                self.found.day = Some(self.number(2, 1, 31)?);
            }
            'j' => self.found.day_of_year = Some(self.number(3, 1, 366)?),
            'H' => self.found.hour = Some(self.number(2, 0, 23)?),
            'I' => {
                self.found.is_twelve = true;
                self.found.hour = Some(self.number(2, 1, 12)?);
            }
            'M' => self.found.minute = Some(self.number(2, 0, 59)?),
            'S' => self.found.second = Some(self.number(2, 0, 59)?),
            'f' => {
                let digits = format!("{:0<6}", self.digits(6)?);
                self.found.microsecond = Some(digits.parse().ok()?);
            }
            'p' => self.found.is_afternoon = Some(self.name(&["AM", "PM"], None)? == 1),
            'b' | 'h' => self.found.month = Some(self.name(&MONTHS, Some(3))? + 1),
            'B' => self.found.month = Some(self.name(&MONTHS, None)? + 1),
            // A day of the week is read, and does not count.
            'a' => _ = self.name(&WEEKDAYS, Some(3))?,
            'A' => _ = self.name(&WEEKDAYS, None)?,
            'w' => _ = self.number(1, 0, 6)?,
            'u' => _ = self.number(1, 1, 7)?,
            'F' => "Y-m-d".chars().try_for_each(|part| self.part(part))?,
            'T' | 'X' => "H:M:S".chars().try_for_each(|part| self.part(part))?,
            'R' => "H:M".chars().try_for_each(|part| self.part(part))?,
            'D' | 'x' => "m/d/y".chars().try_for_each(|part| self.part(part))?,
            'z' => {
                let is_offset = |byte: &u8| byte.is_ascii_digit() || *byte == b':';
                let after = self.rest.bytes().skip(1);
                let length = match self.rest.starts_with('Z') {
                    true => 1,
                    false => 1 + after.take_while(is_offset).count(),
                };
                self.found.offset = Some(read_zone_offset(self.rest.get(..length)?)?);
                self.rest = &self.rest[length..];
            }
            'Z' => _ = self.name(&["UTC", "GMT"], None)?,
            '%' => self.literal('%')?,
            _ => return None,
        }
        Some(())
    }

    fn part(&mut self, part: char) -> Option<()> {
        if part.is_ascii_alphabetic() {
            self.take(part)
        } else {
            self.literal(part)
        }
    }
}
