//! What the watch tells of real directories and files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// What to do below a folder, by the paths `a`, `a/b` and so on.
type Act = fn(&Path);

fn touch(path: PathBuf) {
    fs::write(path, "x").unwrap();
}

fn mode(path: PathBuf, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A story: what is there first; what is watched; what is done then, one after the other, and whether each is told.
type Story<'a> = (
    &'a str,
    Act,
    fn(PathBuf) -> Target,
    &'a str,
    &'a [(Act, bool)],
);

#[tokio::test]
async fn what_changes_is_told_once_and_what_does_not_is_not() {
    let presence: fn(PathBuf) -> Target = Target::presence;
    let (content, entries) = (Target::content, Target::entries);
    let table: &[Story<'_>] = &[
        (
            "a name comes and goes",
            |_| {},
            presence,
            "x",
            &[
                (|at| touch(at.join("y")), false),
                (|at| touch(at.join("x")), true),
                (|at| fs::remove_file(at.join("y")).unwrap(), false),
                (|at| touch(at.join("x")), false), // written, which is not what was asked
                (|at| mode(at.join("x"), 0o600), true),
                (|at| fs::rename(at.join("x"), at.join("z")).unwrap(), true),
                (|at| mode(at.join("z"), 0o644), false),
                (|at| fs::rename(at.join("z"), at.join("x")).unwrap(), true),
                (|at| fs::remove_file(at.join("x")).unwrap(), true),
            ],
        ),
        (
            "a file is written, or replaced",
            |at| touch(at.join("x")),
            content,
            "x",
            &[
                (|at| touch(at.join("x")), true),
                (|at| touch(at.join("x.new")), false),
                (
                    |at| fs::rename(at.join("x.new"), at.join("x")).unwrap(),
                    true,
                ),
                (|at| touch(at.join("x")), true),
                (|at| drop(fs::read(at.join("x")).unwrap()), false),
            ],
        ),
        (
            "everything up to it comes later, goes, and comes again",
            |_| {},
            presence,
            "a/b/x",
            &[
                (|at| fs::create_dir(at.join("a")).unwrap(), true),
                (|at| fs::create_dir(at.join("c")).unwrap(), false),
                (|at| fs::create_dir(at.join("a/b")).unwrap(), true),
                (|at| touch(at.join("a/b/x")), true),
                (|at| fs::remove_dir_all(at.join("a")).unwrap(), true),
                (|at| fs::create_dir_all(at.join("a/b")).unwrap(), true),
                (|at| touch(at.join("a/b/x")), true),
            ],
        ),
        (
            "a directory on the way goes elsewhere, and another takes its place",
            |at| {
                fs::create_dir_all(at.join("a/b/c")).unwrap();
                touch(at.join("a/b/c/x"));
            },
            content,
            "a/b/c/x",
            &[
                (|at| fs::rename(at.join("a"), at.join("old")).unwrap(), true),
                (|at| touch(at.join("old/b/c/x")), false),
                (|at| fs::create_dir_all(at.join("a/b/c")).unwrap(), true),
                (|at| touch(at.join("a/b/c/x")), true),
            ],
        ),
        (
            "through links, as udev makes them",
            |at| {
                fs::create_dir_all(at.join("serial/by-id")).unwrap();
                symlink("../../tty0", at.join("serial/by-id/x")).unwrap();
            },
            presence,
            "serial/by-id/x",
            &[
                (|at| touch(at.join("tty0")), true),
                (|at| mode(at.join("tty0"), 0o660), true),
                (|at| touch(at.join("tty1")), false),
                (
                    |at| fs::remove_file(at.join("serial/by-id/x")).unwrap(),
                    true,
                ),
                (|at| fs::remove_file(at.join("tty0")).unwrap(), false),
                (
                    |at| symlink("../../tty1", at.join("serial/by-id/x")).unwrap(),
                    true,
                ),
                (|at| fs::remove_file(at.join("tty1")).unwrap(), true),
                (|at| fs::remove_dir_all(at.join("serial")).unwrap(), true),
                (
                    |at| fs::create_dir_all(at.join("serial/by-id")).unwrap(),
                    true,
                ),
                (
                    |at| symlink("../../tty2", at.join("serial/by-id/x")).unwrap(),
                    true,
                ),
                (|at| touch(at.join("tty2")), true),
            ],
        ),
        (
            "a directory is reached by a link that is exchanged, as Kubernetes does with secrets",
            |at| {
                fs::create_dir(at.join("v1")).unwrap();
                touch(at.join("v1/tokens"));
                symlink("v1", at.join("data")).unwrap();
                symlink("data/tokens", at.join("tokens")).unwrap();
            },
            content,
            "tokens",
            &[
                (|at| fs::create_dir(at.join("v2")).unwrap(), false),
                (|at| touch(at.join("v2/tokens")), false),
                (
                    |at| {
                        symlink("v2", at.join("data.new")).unwrap();
                        fs::rename(at.join("data.new"), at.join("data")).unwrap();
                    },
                    true,
                ),
                (|at| touch(at.join("v1/tokens")), false),
                (|at| touch(at.join("v2/tokens")), true),
            ],
        ),
        (
            "another name of the same file changes it, as on a file mounted alone",
            |at| {
                fs::create_dir_all(at.join("elsewhere")).unwrap();
                touch(at.join("elsewhere/y"));
                fs::hard_link(at.join("elsewhere/y"), at.join("x")).unwrap();
            },
            content,
            "x",
            &[
                (|at| touch(at.join("elsewhere/y")), true),
                (|at| mode(at.join("elsewhere/y"), 0o600), true),
            ],
        ),
        (
            "links that lead in a circle",
            |at| symlink("y", at.join("x")).unwrap(),
            presence,
            "x",
            &[
                (|at| symlink("x", at.join("y")).unwrap(), true),
                (|at| fs::remove_file(at.join("y")).unwrap(), true),
                (|at| touch(at.join("y")), true),
            ],
        ),
        (
            "what is in a directory",
            |_| {},
            entries,
            "d",
            &[
                (|at| touch(at.join("e")), false),
                (|at| fs::create_dir(at.join("d")).unwrap(), true),
                (|at| touch(at.join("d/x")), true),
                (|at| touch(at.join("d/x")), false),
                (|at| mode(at.join("d/x"), 0o600), true),
                (|at| fs::remove_file(at.join("d/x")).unwrap(), true),
                (|at| fs::remove_dir(at.join("d")).unwrap(), true),
                (|at| fs::create_dir(at.join("d")).unwrap(), true),
                (|at| touch(at.join("d/x")), true),
            ],
        ),
        (
            "a path with steps back",
            |at| fs::create_dir_all(at.join("a/b")).unwrap(),
            presence,
            "a/b/../x",
            &[
                (|at| touch(at.join("a/b/x")), false),
                (|at| touch(at.join("a/x")), true),
            ],
        ),
    ];
    for (what, before, target, path, steps) in table {
        let folder = folder();
        before(folder.path());
        let mut watch = Watch::new([target(folder.path().join(path))]).unwrap();
        for (number, (step, told)) in steps.iter().enumerate() {
            step(folder.path());
            let step = number + 1;
            assert_eq!(watch.has_changed().unwrap(), *told, "{what}: step {step}");
            assert!(!watch.has_changed().unwrap(), "{what}: step {step}, again");
        }
    }
}

#[tokio::test]
async fn whoever_waits_is_woken() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let mut first = Watch::new([Target::presence(at("x")), Target::presence(at("d/x"))]).unwrap();
    let mut second = Watch::new([Target::presence(at("x"))]).unwrap();
    let mut other = Watch::new([Target::presence(at("y"))]).unwrap();
    let limit = Duration::from_secs(60);
    for _ in 0..3 {
        let (first, second, _) = tokio::join!(
            tokio::time::timeout(limit, first.changed()),
            tokio::time::timeout(limit, second.changed()),
            async {
                touch(at("x"));
                fs::remove_file(at("x")).unwrap();
            }
        );
        first.unwrap().unwrap();
        second.unwrap().unwrap();
    }
    // One that waits does not depend on another that waited first and has left.
    let waits = tokio::time::timeout(limit, other.changed());
    let (other, ()) = tokio::join!(waits, async {
        let mut leaves = first;
        let mut second = second;
        tokio::select! {
            biased;
            _ = leaves.changed() => {}
            _ = second.changed() => {}
            () = tokio::task::yield_now() => {}
        }
        drop((leaves, second));
        touch(at("y"));
    });
    other.unwrap().unwrap();
}

#[tokio::test]
async fn all_of_a_thread_share_one_instance_that_forgets_what_nobody_wants() {
    let (folder, elsewhere) = (folder(), folder());
    let first = Watch::new([Target::entries(folder.path())]).unwrap();
    let instance = Rc::downgrade(&first.instance);
    let watched = || instance.upgrade().map(|instance| instance.watched());
    let alone = watched();
    let many: Vec<Watch> = (0..500)
        .map(|n| Watch::new([Target::presence(folder.path().join(format!("{n}")))]).unwrap())
        .collect();
    assert!(
        many.iter()
            .all(|watch| Rc::ptr_eq(&watch.instance, &first.instance))
    );
    assert_eq!(watched(), alone, "the same directories");
    let more = Watch::new([Target::presence(elsewhere.path().join("x"))]).unwrap();
    assert!(watched() > alone);
    drop((more, many));
    assert_eq!(watched(), alone);
    drop(first);
    assert_eq!(watched(), None);
}

#[tokio::test]
async fn when_the_kernel_drops_events_everybody_looks() {
    let folder = folder();
    let mut busy = Watch::new([Target::entries(folder.path())]).unwrap();
    let mut quiet = Watch::new([Target::presence(folder.path().join("quiet/x"))]).unwrap();
    let most: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let path = folder.path().join("x");
    for _ in 0..=most / 2 {
        touch(path.clone());
        fs::remove_file(&path).unwrap();
    }
    assert!(busy.has_changed().unwrap());
    assert!(quiet.has_changed().unwrap());
    assert!(!quiet.has_changed().unwrap());
}

#[test]
fn a_limit_is_named() {
    let path = Path::new("/dev");
    let text = refused(path, Errno::NOSPC).to_string();
    assert!(text.contains("max_user_watches is reached"), "{text}");
    let text = refused(path, Errno::ACCESS).to_string();
    assert!(
        text.starts_with("cannot watch /dev for changes: Permission denied"),
        "{text}"
    );
    let text = instance::not_made(Errno::MFILE).to_string();
    assert!(
        text.contains("max_user_instances, or the limit of open files"),
        "{text}"
    );
}
