//! No secret type shows its secret, whatever formats, unwraps or wraps it, and none leaves it in freed memory.

use std::fmt::{Debug, Display};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use _core::error::Error;
use _core::secret::{
    AccessToken, AuthorizationCode, ClientSecret, IdToken, PkceVerifier, RefreshToken, Secret,
    SecretBytes,
};

const HIDDEN: &str = "hunter2-hunter2-hunter2";

#[derive(Debug, thiserror::Error)]
#[error("the server refused {0}")]
struct Refused<T: Debug + Display>(T);

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer<T: Debug + Display + 'static>(#[source] Refused<T>);

#[test]
fn no_format_of_a_secret_type_shows_it() {
    for shown in shown_by_all() {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("[redacted]"), "{shown}");
    }
}

#[test]
fn a_panic_that_formats_a_secret_does_not_show_it() {
    let secret = AccessToken::from(HIDDEN);
    let message = panic_of(|| panic!("no use for {secret} {secret:?}"));
    assert_eq!(message, "no use for [redacted] AccessToken([redacted])");
}

#[test]
fn unwrapping_an_error_that_is_a_secret_does_not_show_it() {
    let refuse = |token: &str| -> Result<(), RefreshToken> { Err(token.into()) };
    let message = panic_of(|| refuse(HIDDEN).expect("a reply"));
    assert_eq!(message, "a reply: RefreshToken([redacted])");
}

#[test]
fn a_chain_of_errors_that_holds_a_secret_does_not_show_it() {
    let outer = Outer(Refused(ClientSecret::from(HIDDEN)));
    let mut chain = format!("{outer} {outer:?} {outer:#?}");
    let mut cause = std::error::Error::source(&outer);
    while let Some(error) = cause {
        chain += &format!(" <- {error} {error:?}");
        cause = error.source();
    }
    assert!(chain.contains("the server refused [redacted]"), "{chain}");
    assert!(!chain.contains("hunter2"), "{chain}");
}

#[test]
fn an_error_of_the_core_about_a_secret_does_not_show_it() {
    let secret = IdToken::from(HIDDEN);
    let error = Error::internal(format!("cannot read {secret}"));
    assert_eq!(error.to_string(), "cannot read [redacted]");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn the_only_way_out_gives_the_text_unchanged() {
    assert_eq!(PkceVerifier::from(HIDDEN.to_owned()).expose(), HIDDEN);
    assert_eq!(SecretBytes::from(vec![1, 2, 3]).expose(), [1, 2, 3]);
}

#[test]
fn equal_secrets_are_equal_and_others_are_not() {
    assert_eq!(AccessToken::from(HIDDEN), AccessToken::from(HIDDEN));
    for other in ["", "hunter2", "hunter2-hunter2-hunter3"] {
        assert!(AccessToken::from(HIDDEN) != AccessToken::from(other));
    }
}

#[test]
fn serde_neither_writes_nor_reads_a_secret_type() {
    macro_rules! known_to_serde {
        ($($name:ty),*) => {[$((Probe::<$name>::WRITES, Probe::<$name>::READS)),*]};
    }
    assert_eq!(known_to_serde![String], [(true, true)]);
    let known = known_to_serde![
        Secret,
        SecretBytes,
        AccessToken,
        AuthorizationCode,
        ClientSecret,
        IdToken,
        PkceVerifier,
        RefreshToken
    ];
    assert_eq!(known, [(false, false); 8]);
}

/// Asks the compiler: a constant of the type itself, where serde's traits allow it, hides that of a trait.
struct Probe<T>(PhantomData<T>);

trait UnknownToSerde {
    const WRITES: bool = false;
    const READS: bool = false;
}

impl<T> UnknownToSerde for Probe<T> {}

impl<T: serde::Serialize> Probe<T> {
    const WRITES: bool = true;
}

impl<T: serde::de::DeserializeOwned> Probe<T> {
    const READS: bool = true;
}

#[cfg(target_os = "linux")]
mod wiped {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    // Long enough that what the allocator writes into a freed block does not hide the rest of it.
    const LENGTH: usize = 4096;

    #[test]
    fn a_dropped_secret_is_no_longer_in_memory() {
        let secret = Secret::from("wiped-secret/".repeat(LENGTH / 13).as_str());
        let address = secret.expose().as_ptr().addr();
        assert!(memory(address).contains("wiped-secret/"));
        drop(secret);
        assert!(!memory(address).contains("wiped-secret/"));
    }

    #[test]
    fn a_dropped_record_is_no_longer_in_memory() {
        let record = SecretBytes::from(b"wiped-record/".repeat(LENGTH / 13));
        let address = record.expose().as_ptr().addr();
        assert!(memory(address).contains("wiped-record/"));
        drop(record);
        assert!(!memory(address).contains("wiped-record/"));
    }

    #[test]
    fn the_string_that_a_secret_was_made_of_is_wiped_though_it_had_room_to_spare() {
        let mut text = String::with_capacity(3 * LENGTH);
        text.push_str(&"wiped-source/".repeat(LENGTH / 13));
        let address = text.as_ptr().addr();
        let secret = Secret::from(text);
        assert_ne!(secret.expose().as_ptr().addr(), address);
        assert!(!memory(address).contains("wiped-source/"));
    }

    /// What stands at `address`, or nothing where it was given back to the system.
    fn memory(address: usize) -> String {
        let mut bytes = vec![0; LENGTH / 2];
        let own = File::open("/proc/self/mem").expect("Linux shows a process its own memory");
        let read = own.read_at(&mut bytes, address as u64).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }
}

fn shown_by_all() -> Vec<String> {
    fn shown<T: From<&'static str> + Debug + Display>() -> String {
        let secret = T::from(HIDDEN);
        format!("{secret} {secret:>40} {secret:.60} {secret:?} {secret:#?}")
    }
    let bytes = SecretBytes::from(HIDDEN.as_bytes().to_vec());
    vec![
        shown::<Secret>(),
        shown::<AccessToken>(),
        shown::<AuthorizationCode>(),
        shown::<ClientSecret>(),
        shown::<IdToken>(),
        shown::<PkceVerifier>(),
        shown::<RefreshToken>(),
        format!("{bytes:?} {bytes:#?}"),
    ]
}

fn panic_of<T>(action: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(action)) else {
        panic!("it did not panic");
    };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(_) => panic!("the panic carries no message"),
    }
}
