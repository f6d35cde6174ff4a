//! Replies that survive their process: slots, orphans, torn frames.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use _core::store::spill::{SLOT_SIZE, Spill};
use _core::store::{AttemptId, Owner, Sealed, Spilled};
use _core::system::owner;
use proptest::prelude::*;

use crate::store::{connection, spilled};

#[test]
fn a_slot_has_its_space_on_the_disk_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    let _first = spill.reserve().expect("the disk has room");
    let _second = spill.reserve().expect("the disk has room");
    let metadata = fs::metadata(own_file(folder.path())).expect("it was made");
    assert_eq!(metadata.len(), 2 * SLOT_SIZE);
    assert!(metadata.blocks() * 512 >= 2 * SLOT_SIZE);
}

#[test]
fn a_slot_is_used_again_after_its_flight() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    for _ in 0..3 {
        let slot = spill.reserve().expect("the disk has room");
        slot.write(&spilled(1, "alice"))
            .and_then(|()| slot.clear())
            .expect("the disk works");
    }
    let metadata = fs::metadata(own_file(folder.path())).expect("it was made");
    assert_eq!(metadata.len(), SLOT_SIZE);
}

#[test]
fn a_reply_that_nobody_can_find_again_is_not_called_safe() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    let slot = spill.reserve().expect("the disk has room");
    slot.write(&spilled(1, "alice"))
        .and_then(|()| slot.sync())
        .expect("the disk works");
    fs::remove_dir_all(folder.path().join("spill")).expect("it is ours");
    assert_eq!(
        slot.sync().expect_err("its name is gone").code(),
        "spill_failed"
    );
}

#[test]
fn a_reply_of_a_process_that_is_gone_is_found_and_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    let path = left_by(
        folder.path(),
        &dead(),
        &[&spilled(1, "alice"), &spilled(1, "bob")],
    );
    let of_bob = spill.orphans(Some(&connection("bob"))).expect("readable");
    assert_eq!(of_bob.len(), 1);
    assert_eq!(
        (&of_bob[0].spilled, &of_bob[0].place),
        (&spilled(1, "bob"), &(path.clone(), 1))
    );
    spill.forget(&of_bob[0]).expect("writable");
    let left = spill.orphans(None).expect("readable");
    assert_eq!(left.len(), 1);
    spill.forget(&left[0]).expect("writable");
    assert!(spill.orphans(None).expect("readable").is_empty());
    assert!(!path.exists());
}

#[test]
fn a_reply_of_a_process_that_stands_still_is_found_by_its_attempt_and_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    let neighbour = Spill::new(folder.path().join("spill"));
    let slot = neighbour.reserve().expect("the disk has room");
    slot.write(&spilled(1, "alice")).expect("it fits");
    for _ in 0..2 {
        let found = spill.reply_of(AttemptId([7; 16])).expect("readable");
        assert_eq!(found, Some(spilled(1, "alice")));
    }
    let other = spill.reply_of(AttemptId([8; 16])).expect("readable");
    assert_eq!(other, None);
}

#[test]
fn a_reply_of_another_boot_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = Owner {
        boot_id: "another".to_owned(),
        ..owner()
    };
    left_by(folder.path(), &before, &[&spilled(1, "alice")]);
    assert_eq!(
        Spill::new(folder.path().join("spill"))
            .orphans(None)
            .expect("readable")
            .len(),
        1
    );
}

#[test]
fn a_reply_of_a_process_in_another_container_is_found_and_its_file_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let container = Owner {
        pid_namespace: owner().pid_namespace + 1,
        ..owner()
    };
    let path = left_by(folder.path(), &container, &[&spilled(1, "alice")]);
    let spill = Spill::new(folder.path().join("spill"));
    let orphans = spill.orphans(None).expect("readable");
    assert_eq!(orphans.len(), 1);
    spill.forget(&orphans[0]).expect("writable");
    assert!(spill.orphans(None).expect("readable").is_empty());
    assert!(path.exists());
}

#[test]
fn an_empty_file_of_a_process_that_can_not_be_seen_is_removed_after_a_week() {
    let folder = tempfile::tempdir().expect("a folder");
    let container = Owner {
        pid_namespace: owner().pid_namespace + 1,
        ..owner()
    };
    let path = left_by(folder.path(), &container, &[&spilled(1, "alice")]);
    let spill = Spill::new(folder.path().join("spill"));
    for orphan in spill.orphans(None).expect("readable") {
        spill.forget(&orphan).expect("writable");
    }
    for (days, stays) in [(6, true), (8, false)] {
        let used = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
        let file = OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.set_modified(used))
            .expect("writable");
        assert!(spill.orphans(None).expect("readable").is_empty());
        assert_eq!(path.exists(), stays);
    }
}

#[test]
fn a_reply_that_is_forgotten_twice_frees_its_slot_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    let slot = spill.reserve().expect("room");
    slot.write(&spilled(1, "alice")).expect("it fits");
    drop(slot);
    let orphans = spill.orphans(None).expect("readable");
    spill
        .forget(&orphans[0])
        .and_then(|()| spill.forget(&orphans[0]))
        .expect("writable");
    let (first, second) = (
        spill.reserve().expect("room"),
        spill.reserve().expect("room"),
    );
    first
        .write(&spilled(1, "bob"))
        .and_then(|()| second.write(&spilled(1, "carol")))
        .expect("they fit");
    drop((first, second));
    assert_eq!(spill.orphans(None).expect("readable").len(), 2);
}

#[test]
fn a_slot_that_got_another_reply_meanwhile_is_not_emptied() {
    let folder = tempfile::tempdir().expect("a folder");
    let container = Owner {
        pid_namespace: owner().pid_namespace + 1,
        ..owner()
    };
    left_by(folder.path(), &container, &[&spilled(1, "alice")]);
    let spill = Spill::new(folder.path().join("spill"));
    let seen = spill.orphans(None).expect("readable");
    left_by(folder.path(), &container, &[&spilled(1, "bob")]);
    spill.forget(&seen[0]).expect("writable");
    let left = spill.orphans(None).expect("readable");
    assert_eq!(
        left.iter()
            .map(|orphan| &orphan.spilled)
            .collect::<Vec<_>>(),
        [&spilled(1, "bob")]
    );
}

#[test]
fn a_reply_of_a_living_process_is_left_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    let slot = spill.reserve().expect("the disk has room");
    slot.write(&spilled(1, "alice")).expect("it fits");
    assert!(spill.orphans(None).expect("readable").is_empty());
}

#[test]
fn a_reply_of_a_store_that_was_closed_in_this_process_is_found_by_the_next_and_its_slot_not_reused()
{
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    let slot = spill.reserve().expect("the disk has room");
    slot.write(&spilled(1, "alice")).expect("it fits");
    drop(spill);
    let next = Spill::new(folder.path().join("spill"));
    let _other = next.reserve().expect("the disk has room");
    let orphans = next.orphans(None).expect("readable");
    assert_eq!(
        orphans
            .iter()
            .map(|orphan| &orphan.spilled)
            .collect::<Vec<_>>(),
        [&spilled(1, "alice")]
    );
    next.forget(&orphans[0]).expect("writable");
    drop(slot);
    assert!(next.orphans(None).expect("readable").is_empty());
}

#[test]
fn a_torn_frame_is_nothing_wherever_it_was_torn() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    let path = left_by(folder.path(), &dead(), &[&spilled(1, "alice")]);
    let whole = fs::read(&path).expect("readable");
    let used = whole.iter().rposition(|&byte| byte != 0).expect("a frame") + 1;
    for cut in 0..used {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        fs::write(&path, torn).expect("writable");
        assert!(
            spill.orphans(None).expect("readable").is_empty(),
            "torn at {cut}"
        );
    }
    for at in 0..used {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        fs::write(&path, changed).expect("writable");
        assert!(
            spill.orphans(None).expect("readable").is_empty(),
            "changed at {at}"
        );
    }
}

#[test]
fn files_that_are_no_replies_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    fs::create_dir(folder.path().join("spill")).expect("a folder");
    for name in ["notes.txt", "1-2-3", "a-1-1-0-boot"] {
        fs::write(folder.path().join("spill").join(name), b"theirs").expect("writable");
    }
    assert!(spill.orphans(None).expect("readable").is_empty());
    assert_eq!(
        fs::read_dir(folder.path().join("spill"))
            .expect("a folder")
            .count(),
        3
    );
}

#[test]
fn a_reply_too_big_for_its_slot_is_an_error_and_touches_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    let (first, second) = (
        spill.reserve().expect("room"),
        spill.reserve().expect("room"),
    );
    second.write(&spilled(1, "bob")).expect("it fits");
    let mut big = spilled(1, "alice");
    big.sealed.blob = vec![1; SLOT_SIZE as usize];
    assert_eq!(
        first.write(&big).expect_err("too big").code(),
        "reply_too_big"
    );
    drop(second);
    assert_eq!(
        spill.orphans(None).expect("readable")[0].spilled,
        spilled(1, "bob")
    );
}

#[test]
fn a_new_file_is_made_when_the_folder_was_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(folder.path().join("spill"));
    drop(spill.reserve().expect("the disk has room"));
    fs::remove_dir_all(folder.path().join("spill")).expect("it is ours");
    let slot = spill.reserve().expect("the disk has room");
    slot.write(&spilled(1, "alice")).expect("it fits");
    drop(slot);
    assert_eq!(spill.orphans(None).expect("readable").len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read_back(
        name in "\\PC{0,80}",
        attempt: [u8; 16],
        key_id: i64,
        generation: u64,
        blob in proptest::collection::vec(any::<u8>(), 0..9000),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let spill = Spill::new(folder.path().join("spill"));
        let reply = Spilled {
            connection: connection(&name),
            attempt: AttemptId(attempt),
            sealed: Sealed { key_id, generation, blob },
        };
        let slot = spill.reserve().expect("the disk has room");
        slot.write(&reply).expect("it fits");
        drop(slot);
        let orphans = spill.orphans(None).expect("readable");
        prop_assert_eq!(&orphans[0].spilled, &reply);
    }
}

/// A process of this boot and namespace that is gone.
fn dead() -> Owner {
    Owner {
        start_time: owner().start_time - 1,
        ..owner()
    }
}

/// The file of replies that `owner` left in the folder of replies below `folder`.
fn left_by(folder: &Path, owner: &Owner, replies: &[&Spilled]) -> PathBuf {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let spill = Spill::new(elsewhere.path().join("spill"));
    let slots: Vec<_> = replies
        .iter()
        .map(|_| spill.reserve().expect("room"))
        .collect();
    for (slot, reply) in slots.iter().zip(replies) {
        slot.write(reply).expect("it fits");
    }
    let bytes = fs::read(own_file(elsewhere.path())).expect("it was made");
    fs::create_dir_all(folder.join("spill")).expect("a folder");
    let path = folder.join("spill").join(name_of(owner));
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path);
    file.and_then(|file| file.write_all_at(&bytes, 0))
        .expect("writable");
    path
}

/// The file of the only store that has slots below `folder`.
fn own_file(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder.join("spill")).expect("it was made");
    files.next().expect("a file").expect("readable").path()
}

fn name_of(owner: &Owner) -> String {
    let Owner {
        pid,
        start_time,
        pid_namespace,
        boot_id,
    } = owner;
    format!("{pid}-{start_time}-{pid_namespace}-0-{boot_id}")
}
