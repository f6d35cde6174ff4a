//! Addresses of networks and people, and what can be found in text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::extract::{
    extract_asns, extract_cves, extract_domains, extract_emails, extract_ip, extract_ipv4,
    extract_ipv6, extract_mac, extract_md5, extract_sha1, extract_sha256, extract_sha512,
    extract_urls,
};
use super::{Arguments, Function, function};
use crate::action::value::{Failure, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "ipv4_in_subnet",
        "ip, net",
        ipv4_in_subnet,
        r#"FN.ipv4_in_subnet("10.1.2.3", "10.0.0.0/8")"#,
        "True",
    ),
    function(
        "ipv6_in_subnet",
        "ip, net",
        ipv6_in_subnet,
        r#"FN.ipv6_in_subnet("2001:db8::1", "2001:db8::/32")"#,
        "True",
    ),
    function(
        "ipv4_is_public",
        "ip",
        ipv4_is_public,
        r#"FN.ipv4_is_public("192.168.0.1")"#,
        "False",
    ),
    function(
        "ipv6_is_public",
        "ip",
        ipv6_is_public,
        r#"FN.ipv6_is_public("2606:4700::1")"#,
        "True",
    ),
    function(
        "check_ip_version",
        "ip",
        check_ip_version,
        r#"FN.check_ip_version("::1")"#,
        "6",
    ),
    function(
        "normalize_email",
        "x",
        normalize_email,
        r#"FN.normalize_email("Ann+news@Example.com")"#,
        "'ann@example.com'",
    ),
    function(
        "extract_asns",
        "text",
        extract_asns,
        r#"FN.extract_asns("from AS13335 and AS15169")"#,
        "['AS13335', 'AS15169']",
    ),
    function(
        "extract_cves",
        "text",
        extract_cves,
        r#"FN.extract_cves("CVE-2021-44228, cve-1-1")"#,
        "['CVE-2021-44228']",
    ),
    function(
        "extract_domains",
        "text, include_defanged=False",
        extract_domains,
        r#"FN.extract_domains("see example[.]com", True)"#,
        "['example.com']",
    ),
    function(
        "extract_emails",
        "text, normalize=False",
        extract_emails,
        r#"FN.extract_emails("to Ann+x@example.com", True)"#,
        "['ann@example.com']",
    ),
    function(
        "extract_ip",
        "text, include_defanged=False",
        extract_ip,
        r#"FN.extract_ip("10.0.0.1 and ::1")"#,
        "['10.0.0.1', '::1']",
    ),
    function(
        "extract_ipv4",
        "text, include_defanged=False",
        extract_ipv4,
        r#"FN.extract_ipv4("10[.]0[.]0[.]1", True)"#,
        "['10.0.0.1']",
    ),
    function(
        "extract_ipv6",
        "text, include_defanged=False",
        extract_ipv6,
        r#"FN.extract_ipv6("at 2001:db8::1.")"#,
        "['2001:db8::1']",
    ),
    function(
        "extract_mac",
        "text",
        extract_mac,
        r#"FN.extract_mac("00-1A-2b-3c-4D-5e")"#,
        "['00:1a:2b:3c:4d:5e']",
    ),
    function(
        "extract_md5",
        "text",
        extract_md5,
        r#"FN.extract_md5("66ddcd97cfdeabb2f6fb8a999b4bc76f")"#,
        "['66ddcd97cfdeabb2f6fb8a999b4bc76f']",
    ),
    function(
        "extract_sha1",
        "text",
        extract_sha1,
        r#"FN.length(FN.extract_sha1(FN.hash_sha1("a")))"#,
        "1",
    ),
    function(
        "extract_sha256",
        "text",
        extract_sha256,
        r#"FN.length(FN.extract_sha256(FN.hash_sha256("a")))"#,
        "1",
    ),
    function(
        "extract_sha512",
        "text",
        extract_sha512,
        r#"FN.length(FN.extract_sha512(FN.hash_sha512("a")))"#,
        "1",
    ),
    function(
        "extract_urls",
        "text, http_only=False, include_defanged=False",
        extract_urls,
        r#"FN.extract_urls("ftp://a.example/x and https://b.example", True)"#,
        "['https://b.example']",
    ),
    function(
        "get_interaction",
        "",
        get_interaction,
        "FN.get_interaction()",
        "None",
    ),
];

type Outcome = Result<Value, Failure>;

fn not_an_address() -> Failure {
    Failure::new("the text is not an IP address of this kind")
}

fn ipv4(arguments: &Arguments<'_>) -> Result<Ipv4Addr, Failure> {
    arguments.text(0)?.parse().map_err(|_| not_an_address())
}

fn ipv6(arguments: &Arguments<'_>) -> Result<Ipv6Addr, Failure> {
    arguments.text(0)?.parse().map_err(|_| not_an_address())
}

/// The bits of a network of `width` bits, moved down by those that belong to hosts; there must be none of them set.
fn network(text: &str, width: u32, read: fn(&str) -> Option<u128>) -> Result<(u128, u32), Failure> {
    let wrong = || Failure::new("the text is not a network of this kind");
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let bits = read(address).ok_or_else(wrong)?;
    let length = match (length, read(length)) {
        ("", _) => width,
        // 255.255.0.0 says the length too.
        (_, Some(mask)) => {
            let mask = mask << (128 - width);
            if mask.count_ones() != mask.leading_ones() {
                return Err(wrong());
            }
            mask.leading_ones()
        }
        (length, None) => length
            .parse()
            .ok()
            .filter(|length| *length <= width)
            .ok_or_else(wrong)?,
    };
    let hosts = width - length;
    let network = bits.checked_shr(hosts).unwrap_or(0);
    if network.checked_shl(hosts).unwrap_or(0) != bits {
        return Err(Failure::new("the network has bits of a host set"));
    }
    Ok((network, hosts))
}

fn ipv4_in_subnet(arguments: &Arguments<'_>) -> Outcome {
    let read = |text: &str| text.parse::<Ipv4Addr>().ok().map(|ip| ip.to_bits().into());
    let (network, hosts) = network(arguments.text(1)?, 32, read)?;
    let address = u128::from(ipv4(arguments)?.to_bits());
    Ok(Value::Bool(
        address.checked_shr(hosts).unwrap_or(0) == network,
    ))
}

fn ipv6_in_subnet(arguments: &Arguments<'_>) -> Outcome {
    let read = |text: &str| text.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits);
    let (network, hosts) = network(arguments.text(1)?, 128, read)?;
    let address = ipv6(arguments)?.to_bits();
    Ok(Value::Bool(
        address.checked_shr(hosts).unwrap_or(0) == network,
    ))
}

/// What IANA's registry of special IPv4 blocks does not hold.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, d] = ip.octets();
    let is_special = match (a, b, c) {
        (0 | 10 | 127, ..) | (240..=255, ..) => true,
        (100, 64..=127, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => true,
        (192, 0, 0) => !matches!(d, 9 | 10),
        (192, 0, 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => true,
        _ => false,
    };
    !is_special
}

/// What IANA's registry of special IPv6 blocks does not hold.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(ip) = ip.to_ipv4_mapped() {
        return is_public_v4(ip);
    }
    let segments = ip.segments();
    let is_special = match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => true,
        [0x64, 0xff9b, 1, ..] | [0x100, 0, 0, 0, ..] => true,
        [0x2001, 0x1, 0, 0, 0, 0, 0, 1 | 2] => false,
        [0x2001, 0x3 | 0x20..=0x3f, ..] | [0x2001, 0x4, 0x112, ..] => false,
        [0x2001, 0..=0x1ff | 0xdb8, ..] => true,
        [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => true,
        [0xfc00..=0xfdff | 0xfe80..=0xfebf, ..] => true,
        _ => false,
    };
    !is_special
}

fn ipv4_is_public(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Bool(is_public_v4(ipv4(arguments)?)))
}

fn ipv6_is_public(arguments: &Arguments<'_>) -> Outcome {
    Ok(Value::Bool(is_public_v6(ipv6(arguments)?)))
}

fn check_ip_version(arguments: &Arguments<'_>) -> Outcome {
    match arguments.text(0)?.parse() {
        Ok(IpAddr::V4(_)) => Ok(Value::Integer(4)),
        Ok(IpAddr::V6(_)) => Ok(Value::Integer(6)),
        Err(_) => Err(not_an_address()),
    }
}

/// Lower case, without what follows a + in the name.
pub(super) fn normalized(address: &str) -> Option<String> {
    let address = address.to_lowercase();
    let (name, domain) = address.rsplit_once('@')?;
    let name = name.split('+').next().unwrap_or(name);
    Some(format!("{name}@{domain}"))
}

fn normalize_email(arguments: &Arguments<'_>) -> Outcome {
    let normalized = normalized(arguments.text(0)?);
    normalized
        .map(Value::from)
        .ok_or_else(|| Failure::new("the text is not an e-mail address"))
}

fn get_interaction(_: &Arguments<'_>) -> Outcome {
    Ok(Value::None)
}
