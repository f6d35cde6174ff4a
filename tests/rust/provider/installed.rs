//! Packages that bring provider files: what their metadata says, without running them.

use std::fs;
use std::path::{Path, PathBuf};

use _core::provider::installed::folders;
use tempfile::TempDir;

/// A folder of Python's path with metadata of that text, and these packages.
fn site(entry_points: &str, packages: &[&str]) -> TempDir {
    let site = tempfile::tempdir().unwrap();
    let metadata = site.path().join("files-1.0.dist-info");
    fs::create_dir(&metadata).unwrap();
    fs::write(metadata.join("entry_points.txt"), entry_points).unwrap();
    for package in packages {
        fs::create_dir_all(site.path().join(package)).unwrap();
    }
    site
}

fn found(path: &[&Path]) -> Vec<PathBuf> {
    let path: Vec<PathBuf> = path.iter().map(|folder| folder.to_path_buf()).collect();
    folders(&path)
}

#[test]
fn the_folder_of_a_package_is_found_by_its_entry_point() {
    let site = site(
        "[console_scripts]\nx = other\n\n[evergrant.providers]\n# ours\nnorth = north.files [extra]\n",
        &["north/files", "other"],
    );
    assert_eq!(found(&[site.path()]), [site.path().join("north/files")]);
}

#[test]
fn metadata_and_package_may_be_in_two_folders_of_the_path() {
    let metadata = site("[evergrant.providers]\nnorth=north_files\n", &[]);
    let source = site("", &["north_files"]);
    assert_eq!(
        found(&[metadata.path(), source.path()]),
        [source.path().join("north_files")]
    );
}

#[test]
fn what_names_no_package_is_left_out() {
    for value in ["gone", "north:folder", "../north", "/etc", "north..x", ""] {
        let site = site(&format!("[evergrant.providers]\nx = {value}\n"), &["north"]);
        assert_eq!(found(&[site.path()]), [""; 0].map(PathBuf::from), "{value}");
    }
}

#[test]
fn entry_points_of_other_groups_and_a_path_that_is_gone_bring_nothing() {
    let site = site("[evergrant.actions]\nx = north\n", &["north"]);
    assert!(found(&[site.path(), Path::new("/nowhere/at/all")]).is_empty());
}
