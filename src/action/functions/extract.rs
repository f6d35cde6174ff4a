//! What can be found in text: addresses, hashes and the like, each once, in the order of appearance.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use indexmap::IndexSet;
use regex::Regex;

use super::Arguments;
use super::addresses::normalized;
use crate::action::value::{Failure, Value};

type Outcome = Result<Value, Failure>;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is constant")
}

static ASN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bAS\d+\b"));
static CVE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bCVE-\d{4}-\d{4,}\b"));
static DOMAIN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]\b",
    )
});
static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b"));
static IPV4: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"));
static IPV6: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[0-9A-Fa-f:]*:[0-9A-Fa-f:]*(?:\d{1,3}(?:\.\d{1,3}){3})?"));
static MAC: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})\b")
});
static HEX: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b[0-9A-Fa-f]+\b"));
static URL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"\b(?:https?|tcp|udp|s?ftp|ftps)://[^\s<>"'`{}|\\^\[\]]+"#));
static DOT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\[\.\]|\(\.\)|\[dot\]| dot "));
static SCHEME: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bhxxp(s?)(?:\[:\]|:)//"));

/// The text, with the dots put back that keep an address from being clicked.
fn fanged(arguments: &Arguments<'_>, flag: usize) -> Result<String, Failure> {
    let text = arguments.text(0)?;
    if !arguments.flag(flag) {
        return Ok(text.to_owned());
    }
    let text = DOT.replace_all(text, ".");
    Ok(SCHEME.replace_all(&text, "http$1://").into_owned())
}

fn list(found: impl Iterator<Item = String>) -> Outcome {
    let found: IndexSet<String> = found.collect();
    Ok(Value::list(found.into_iter().map(Value::from).collect()))
}

fn all(pattern: &Regex, text: &str) -> Outcome {
    list(
        pattern
            .find_iter(text)
            .map(|found| found.as_str().to_owned()),
    )
}

pub(super) fn extract_asns(arguments: &Arguments<'_>) -> Outcome {
    all(&ASN, arguments.text(0)?)
}

pub(super) fn extract_cves(arguments: &Arguments<'_>) -> Outcome {
    all(&CVE, arguments.text(0)?)
}

pub(super) fn extract_domains(arguments: &Arguments<'_>) -> Outcome {
    let text = fanged(arguments, 1)?;
    let text = URL.replace_all(&text, " ");
    let domains = DOMAIN.find_iter(&text).filter(|found| {
        // The name of an e-mail address is no domain; its domain is one.
        !text[found.end()..].starts_with('@')
    });
    list(domains.map(|found| found.as_str().to_owned()))
}

pub(super) fn extract_emails(arguments: &Arguments<'_>) -> Outcome {
    let is_normalizing = arguments.flag(1);
    let found = EMAIL
        .find_iter(arguments.text(0)?)
        .map(|found| found.as_str());
    list(found.map(|address| match normalized(address) {
        Some(normalized) if is_normalizing => normalized,
        _ => address.to_owned(),
    }))
}

fn addresses_v4(text: &str) -> impl Iterator<Item = String> {
    let found = IPV4.find_iter(text).map(|found| found.as_str());
    found
        .filter(|text| text.parse::<Ipv4Addr>().is_ok())
        .map(str::to_owned)
}

fn addresses_v6(text: &str) -> impl Iterator<Item = String> {
    IPV6.find_iter(text).filter_map(|found| {
        let before = text[..found.start()].chars().next_back();
        if before.is_some_and(char::is_alphanumeric) {
            return None;
        }
        // A colon that ends a clause is not part of the address.
        let whole = found.as_str();
        let shorter = whole.strip_suffix(':').unwrap_or(whole);
        let is_address = |text: &&str| text.parse::<Ipv6Addr>().is_ok();
        [whole, shorter]
            .into_iter()
            .find(is_address)
            .map(str::to_owned)
    })
}

pub(super) fn extract_ip(arguments: &Arguments<'_>) -> Outcome {
    let text = fanged(arguments, 1)?;
    list(addresses_v4(&text).chain(addresses_v6(&text)))
}

pub(super) fn extract_ipv4(arguments: &Arguments<'_>) -> Outcome {
    list(addresses_v4(&fanged(arguments, 1)?))
}

pub(super) fn extract_ipv6(arguments: &Arguments<'_>) -> Outcome {
    list(addresses_v6(&fanged(arguments, 1)?))
}

pub(super) fn extract_mac(arguments: &Arguments<'_>) -> Outcome {
    let found = MAC
        .find_iter(arguments.text(0)?)
        .map(|found| found.as_str());
    list(found.map(|address| address.to_lowercase().replace('-', ":")))
}

fn of_length(arguments: &Arguments<'_>, length: usize) -> Outcome {
    let found = HEX
        .find_iter(arguments.text(0)?)
        .map(|found| found.as_str());
    list(found.filter(|hash| hash.len() == length).map(str::to_owned))
}

pub(super) fn extract_md5(arguments: &Arguments<'_>) -> Outcome {
    of_length(arguments, 32)
}

pub(super) fn extract_sha1(arguments: &Arguments<'_>) -> Outcome {
    of_length(arguments, 40)
}

pub(super) fn extract_sha256(arguments: &Arguments<'_>) -> Outcome {
    of_length(arguments, 64)
}

pub(super) fn extract_sha512(arguments: &Arguments<'_>) -> Outcome {
    of_length(arguments, 128)
}

pub(super) fn extract_urls(arguments: &Arguments<'_>) -> Outcome {
    let is_http_only = arguments.flag(1);
    let text = fanged(arguments, 2)?;
    let found = URL.find_iter(&text).map(|found| {
        // Punctuation at the end belongs to the sentence.
        found
            .as_str()
            .trim_end_matches(['.', ',', ';', ':', '!', '?', ')'])
    });
    list(
        found
            .filter(|url| !is_http_only || url.starts_with("http"))
            .map(str::to_owned),
    )
}
