//! Moments, days, times and spans.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::{Arguments, Function, function, wrong};
use crate::action::value::{Duration, Failure, Moment, Value};

pub(super) mod iso;
pub(super) mod strftime;

use iso::{offset_text, read_moment, read_time};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "datetime",
        "y, m, d, h=0, mi=0, s=0",
        datetime,
        "str(FN.datetime(2024, 1, 2, 3))",
        "'2024-01-02 03:00:00'",
    ),
    function(
        "to_datetime",
        "x, timezone=None",
        to_datetime,
        r#"str(FN.to_datetime(0, "Asia/Tokyo"))"#,
        "'1970-01-01 09:00:00+09:00'",
    ),
    function(
        "parse_datetime",
        "x, format",
        parse_datetime,
        r#"str(FN.parse_datetime("02/01/2024 03:04", "%d/%m/%Y %H:%M"))"#,
        "'2024-01-02 03:04:00'",
    ),
    function(
        "format_datetime",
        "x, format",
        format_datetime,
        r#"FN.format_datetime("2024-01-02", "%A %d %b %Y")"#,
        "'Tuesday 02 Jan 2024'",
    ),
    function(
        "parse_time",
        "x",
        parse_time,
        r#"str(FN.parse_time("10:00"))"#,
        "'10:00:00'",
    ),
    function(
        "to_time",
        "x",
        to_time,
        r#"str(FN.to_time("2024-01-02T03:04:05"))"#,
        "'03:04:05'",
    ),
    function(
        "to_isoformat",
        "x, timespec=\"auto\"",
        to_isoformat,
        r#"FN.to_isoformat("2024-01-02T03:04:05Z")"#,
        "'2024-01-02T03:04:05+00:00'",
    ),
    function(
        "to_timestamp",
        "x, unit=\"s\"",
        to_timestamp,
        r#"FN.to_timestamp("1970-01-02T00:00:00", "ms")"#,
        "86400000",
    ),
    function(
        "from_timestamp",
        "x, unit=\"s\"",
        from_timestamp,
        r#"str(FN.from_timestamp("1.5"))"#,
        "'1970-01-01 00:00:01.500000+00:00'",
    ),
    function(
        "get_year",
        "x",
        get_year,
        r#"FN.get_year("2024-01-02")"#,
        "2024",
    ),
    function(
        "get_month",
        "x, format=\"number\"",
        get_month,
        r#"FN.get_month("2024-01-02", "short")"#,
        "'Jan'",
    ),
    function("get_day", "x", get_day, r#"FN.get_day("2024-01-02")"#, "2"),
    function(
        "get_day_of_week",
        "x, format=\"number\"",
        get_day_of_week,
        r#"FN.get_day_of_week("2024-01-02")"#,
        "1",
    ),
    function(
        "get_hour",
        "x",
        get_hour,
        r#"FN.get_hour("2024-01-02 03:04")"#,
        "3",
    ),
    function(
        "get_minute",
        "x",
        get_minute,
        r#"FN.get_minute("2024-01-02 03:04")"#,
        "4",
    ),
    function(
        "get_second",
        "x",
        get_second,
        r#"FN.get_second("2024-01-02 03:04:05")"#,
        "5",
    ),
    function(
        "seconds",
        "n",
        seconds,
        "str(FN.seconds(1.5))",
        "'0:00:01.500000'",
    ),
    function("minutes", "n", minutes, "str(FN.minutes(90))", "'1:30:00'"),
    function("hours", "n", hours, "str(FN.hours(25))", "'1 day, 1:00:00'"),
    function("days", "n", days, "str(FN.days(-2))", "'-2 days, 0:00:00'"),
    function("weeks", "n", weeks, "str(FN.weeks(1))", "'7 days, 0:00:00'"),
    function(
        "seconds_between",
        "a, b",
        seconds_between,
        r#"FN.seconds_between("2024-01-02", "2024-01-01")"#,
        "-86400.0",
    ),
    function(
        "minutes_between",
        "a, b",
        minutes_between,
        r#"FN.minutes_between("2024-01-01", "2024-01-01T01:00")"#,
        "60.0",
    ),
    function(
        "hours_between",
        "a, b",
        hours_between,
        r#"FN.hours_between("2024-01-01", "2024-01-02")"#,
        "24.0",
    ),
    function(
        "days_between",
        "a, b",
        days_between,
        r#"FN.days_between("2024-01-01", "2024-01-02T12:00:00")"#,
        "1.5",
    ),
    function(
        "weeks_between",
        "a, b",
        weeks_between,
        r#"FN.weeks_between("2024-01-01", "2024-01-08")"#,
        "1.0",
    ),
    function(
        "is_working_hours",
        "x, start, end, include_weekends=False, timezone=None",
        is_working_hours,
        r#"FN.is_working_hours("2024-01-02T09:30", "09:00", "17:00")"#,
        "True",
    ),
    function(
        "set_timezone",
        "x, iana",
        set_timezone,
        r#"str(FN.set_timezone("2024-07-01T00:00:00Z", "Europe/Berlin"))"#,
        "'2024-07-01 02:00:00+02:00'",
    ),
    function(
        "unset_timezone",
        "x",
        unset_timezone,
        r#"str(FN.unset_timezone("2024-07-01T02:00:00+02:00"))"#,
        "'2024-07-01 02:00:00'",
    ),
    function(
        "now",
        "as_isoformat=False, timespec=\"auto\"",
        now,
        "FN.length(FN.now(True, \"seconds\"))",
        "19",
    ),
    function(
        "utcnow",
        "as_isoformat=False, timespec=\"auto\"",
        utcnow,
        "FN.slice(FN.utcnow(True, \"seconds\"), 19, 6)",
        "'+00:00'",
    ),
    function("today", "", today, "FN.length(str(FN.today()))", "10"),
    function(
        "wall_clock",
        "as_isoformat=False, timespec=\"auto\"",
        now,
        "FN.length(FN.wall_clock(True, \"minutes\"))",
        "16",
    ),
    function(
        "windows_filetime",
        "x",
        windows_filetime,
        r#"FN.windows_filetime("1970-01-01")"#,
        "116444736000000000",
    ),
];

type Outcome = Result<Value, Failure>;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// A moment, or its text; a day is its midnight.
fn moment(value: &Value) -> Result<Moment, Failure> {
    match value {
        Value::Moment(moment) => Ok(moment.clone()),
        Value::Date(date) => Ok(Moment::naive(date.to_datetime(Time::midnight()))),
        Value::Text(text) => {
            read_moment(text).ok_or_else(|| Failure::new("the text is not an ISO date or datetime"))
        }
        other => Err(wrong("a datetime or its text is needed", other)),
    }
}

/// A moment whose clock is UTC's when it has no zone.
fn in_utc(moment: Moment) -> Result<Moment, Failure> {
    match moment.zone {
        Some(_) => Ok(moment),
        None => Moment::of_clock(moment.clock, TimeZone::UTC),
    }
}

fn zone(name: &str) -> Result<TimeZone, Failure> {
    TimeZone::get(name)
        .map_err(|_| Failure::new("there is no such time zone; names are like Europe/Berlin"))
}

fn no_such_time() -> Failure {
    Failure::new("there is no such date or time")
}

fn datetime(arguments: &Arguments<'_>) -> Outcome {
    let part = |index: usize| arguments.integer_or(index, 0);
    let small = |index: usize| i8::try_from(part(index)?).map_err(|_| no_such_time());
    let year = i16::try_from(part(0)?).map_err(|_| no_such_time())?;
    if !(1..=9999).contains(&year) {
        return Err(no_such_time());
    }
    let clock = DateTime::new(
        year,
        small(1)?,
        small(2)?,
        small(3)?,
        small(4)?,
        small(5)?,
        0,
    );
    clock
        .map(|clock| Value::Moment(Moment::naive(clock)))
        .map_err(|_| no_such_time())
}

fn at_microsecond(microseconds: i128) -> Result<Moment, Failure> {
    let epoch = Moment::of_clock(DateTime::constant(1970, 1, 1, 0, 0, 0, 0), TimeZone::UTC)?;
    epoch.plus(Duration::from_microseconds(microseconds)?)
}

fn to_datetime(arguments: &Arguments<'_>) -> Outcome {
    let moment = match arguments.value(0) {
        Value::Integer(seconds) => {
            at_microsecond(seconds.saturating_mul(1_000_000).min(i128::MAX / 2))?
        }
        value => moment(value)?,
    };
    let moment = match arguments.value(1) {
        Value::None => moment,
        _ => moment.moved_to(zone(arguments.text(1)?)?)?,
    };
    Ok(Value::Moment(moment))
}

fn parse_datetime(arguments: &Arguments<'_>) -> Outcome {
    strftime::read(arguments.text(0)?, arguments.text(1)?).map(Value::Moment)
}

fn format_datetime(arguments: &Arguments<'_>) -> Outcome {
    let moment = Value::Moment(moment(arguments.value(0))?);
    strftime::write(&moment, arguments.text(1)?).map(Value::from)
}

fn parse_time(arguments: &Arguments<'_>) -> Outcome {
    time(arguments.value(0)).map(Value::Time)
}

fn time(value: &Value) -> Result<Time, Failure> {
    match value {
        Value::Time(time) => Ok(*time),
        Value::Text(text) => {
            read_time(text).ok_or_else(|| Failure::new("a time is HH:MM or HH:MM:SS"))
        }
        other => Err(wrong("a time or its text is needed", other)),
    }
}

fn to_time(arguments: &Arguments<'_>) -> Outcome {
    let value = arguments.value(0);
    time(value)
        .or_else(|_| moment(value).map(|moment| moment.clock.time()))
        .map(Value::Time)
}

fn iso_text(moment: &Moment, precision: &str) -> Outcome {
    let (time, zone) = (moment.clock.time(), moment.zone.as_ref());
    let whole = moment.iso('T');
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let microsecond = time.subsec_nanosecond() / 1000;
    let clock = match precision {
        "auto" => return Ok(Value::from(whole)),
        "hours" => format!("{hour:02}"),
        "minutes" => format!("{hour:02}:{minute:02}"),
        "seconds" => format!("{hour:02}:{minute:02}:{second:02}"),
        "milliseconds" => format!(
            "{hour:02}:{minute:02}:{second:02}.{:03}",
            microsecond / 1000
        ),
        "microseconds" => format!("{hour:02}:{minute:02}:{second:02}.{microsecond:06}"),
        _ => {
            return Err(Failure::new(
                "timespec is auto, hours, minutes, seconds, milliseconds or microseconds",
            ));
        }
    };
    let offset = zone.map_or(String::new(), |zone| offset_text(zone.offset));
    Ok(Value::from(format!("{}T{clock}{offset}", &whole[..10])))
}

fn to_isoformat(arguments: &Arguments<'_>) -> Outcome {
    iso_text(&moment(arguments.value(0))?, arguments.text_or(1, "auto")?)
}

/// Microseconds of a unit of time stamps.
fn unit(arguments: &Arguments<'_>) -> Result<i128, Failure> {
    match arguments.text_or(1, "s")? {
        "s" => Ok(1_000_000),
        "ms" => Ok(1000),
        _ => Err(Failure::new("the unit is s or ms")),
    }
}

fn to_timestamp(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Integer(
        moment(arguments.value(0))?.instant() / unit(arguments)?,
    ))
}

fn from_timestamp(arguments: &Arguments<'_>) -> Outcome {
    let unit = unit(arguments)?;
    let value = arguments.value(0);
    let microseconds = match value.integer() {
        Some(number) => number.checked_mul(unit).ok_or_else(no_such_time)?,
        None => {
            let number = match value {
                Value::Text(text) => crate::action::expression::evaluate::read_float(text),
                other => other.float(),
            };
            let number = number.ok_or_else(|| wrong("a number is needed", value))?;
            Duration::from_seconds(number * unit as f64 / 1e6)?.microseconds()
        }
    };
    at_microsecond(microseconds).map(Value::Moment)
}

fn part(arguments: &Arguments<'_>, of: fn(DateTime) -> i128) -> Outcome {
    Ok(Value::Integer(of(moment(arguments.value(0))?.clock)))
}

fn get_year(arguments: &Arguments<'_>) -> Outcome {
    part(arguments, |clock| clock.year().into())
}

fn get_day(arguments: &Arguments<'_>) -> Outcome {
    part(arguments, |clock| clock.day().into())
}

fn get_hour(arguments: &Arguments<'_>) -> Outcome {
    part(arguments, |clock| clock.hour().into())
}

fn get_minute(arguments: &Arguments<'_>) -> Outcome {
    part(arguments, |clock| clock.minute().into())
}

fn get_second(arguments: &Arguments<'_>) -> Outcome {
    part(arguments, |clock| clock.second().into())
}

/// A number, or the name that stands there, in full or its first three letters.
fn named(arguments: &Arguments<'_>, number: i8, name: &str) -> Outcome {
    match arguments.text_or(1, "number")? {
        "number" => Ok(Value::Integer(number.into())),
        "full" => Ok(Value::from(name)),
        "short" => Ok(Value::from(&name[..3])),
        _ => Err(Failure::new("the format is number, full or short")),
    }
}

fn get_month(arguments: &Arguments<'_>) -> Outcome {
    let month = moment(arguments.value(0))?.clock.month();
    named(arguments, month, MONTHS[month.unsigned_abs() as usize - 1])
}

fn weekday(date: Date) -> i8 {
    date.weekday().to_monday_zero_offset()
}

fn get_day_of_week(arguments: &Arguments<'_>) -> Outcome {
    let day = weekday(moment(arguments.value(0))?.clock.date());
    named(arguments, day, WEEKDAYS[day.unsigned_abs() as usize])
}

fn span(arguments: &Arguments<'_>, seconds: i128) -> Outcome {
    let value = arguments.value(0);
    let span = match (value.integer(), value.float()) {
        (Some(count), _) => {
            let microseconds = count.checked_mul(seconds * 1_000_000);
            Duration::from_microseconds(microseconds.unwrap_or(i128::MAX))
        }
        (None, Some(count)) => Duration::from_seconds(count * seconds as f64),
        (None, None) => return Err(wrong("a number is needed", value)),
    };
    span.map(Value::Duration)
}

fn seconds(arguments: &Arguments<'_>) -> Outcome {
    span(arguments, 1)
}

fn minutes(arguments: &Arguments<'_>) -> Outcome {
    span(arguments, 60)
}

fn hours(arguments: &Arguments<'_>) -> Outcome {
    span(arguments, 3600)
}

fn days(arguments: &Arguments<'_>) -> Outcome {
    span(arguments, 86_400)
}

fn weeks(arguments: &Arguments<'_>) -> Outcome {
    span(arguments, 604_800)
}

fn between(arguments: &Arguments<'_>, seconds: f64) -> Outcome {
    let (from, to) = (moment(arguments.value(0))?, moment(arguments.value(1))?);
    Ok(Value::Float(to.since(&from)?.seconds() / seconds))
}

fn seconds_between(arguments: &Arguments<'_>) -> Outcome {
    between(arguments, 1.0)
}

fn minutes_between(arguments: &Arguments<'_>) -> Outcome {
    between(arguments, 60.0)
}

fn hours_between(arguments: &Arguments<'_>) -> Outcome {
    between(arguments, 3600.0)
}

fn days_between(arguments: &Arguments<'_>) -> Outcome {
    between(arguments, 86_400.0)
}

fn weeks_between(arguments: &Arguments<'_>) -> Outcome {
    between(arguments, 604_800.0)
}

fn is_working_hours(arguments: &Arguments<'_>) -> Outcome {
    let mut moment = moment(arguments.value(0))?;
    let (start, end) = (time(arguments.value(1))?, time(arguments.value(2))?);
    if !matches!(arguments.value(4), Value::None) {
        moment = moment.moved_to(zone(arguments.text(4)?)?)?;
    }
    let now = moment.clock.time();
    let is_weekend = weekday(moment.clock.date()) >= 5;
    let is_inside = if start <= end {
        start <= now && now <= end
    } else {
        start <= now || now <= end
    };
    Ok(Value::Bool(is_inside && (arguments.flag(3) || !is_weekend)))
}

fn set_timezone(arguments: &Arguments<'_>) -> Outcome {
    let place = zone(arguments.text(1)?)?;
    moment(arguments.value(0))?
        .moved_to(place)
        .map(Value::Moment)
}

fn unset_timezone(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Moment(Moment::naive(
        moment(arguments.value(0))?.clock,
    )))
}

/// This very moment on the clocks of a place.
fn current(arguments: &Arguments<'_>, place: TimeZone) -> Result<Moment, Failure> {
    let millis = arguments.contexts.clock.wall().millis();
    let instant = Timestamp::from_millisecond(millis).map_err(|_| no_such_time())?;
    Ok(Moment::at(instant, place))
}

fn told(arguments: &Arguments<'_>, moment: Moment) -> Outcome {
    if arguments.flag(0) {
        return iso_text(&moment, arguments.text_or(1, "auto")?);
    }
    Ok(Value::Moment(moment))
}

fn now(arguments: &Arguments<'_>) -> Outcome {
    let moment = current(arguments, arguments.contexts.place.clone())?;
    told(arguments, Moment::naive(moment.clock))
}

fn utcnow(arguments: &Arguments<'_>) -> Outcome {
    told(arguments, current(arguments, TimeZone::UTC)?)
}

fn today(arguments: &Arguments<'_>) -> Outcome {
    let moment = current(arguments, arguments.contexts.place.clone())?;
    Ok(Value::Date(moment.clock.date()))
}

fn windows_filetime(arguments: &Arguments<'_>) -> Outcome {
    /// Seconds from 1601 to 1970.
    const FROM_1601: i128 = 11_644_473_600;
    let moment = in_utc(moment(arguments.value(0))?)?;
    Ok(Value::Integer(
        (moment.instant() + FROM_1601 * 1_000_000) * 10,
    ))
}
