//! A full disk: the run ends with a sentence, and its last checkpoint goes on where there is room.

#![cfg(target_os = "linux")]

mod support;

use support::{Ended, FACEGRAD, Place};

const CHANGES: [&str; 3] = ["run.steps=60", "run.checkpoint_every=5", "run.evaluate_every=30"];

/// The run without a full disk.
fn uninterrupted() -> Place {
    let place = Place::new();
    place.train(&CHANGES).done();
    place
}

/// Checks the end of a run for which there was no room, and returns the last complete checkpoint.
fn ran_out_of_room(ended: Ended, reason: &str) -> String {
    let sentence = ended.code(1).sentence();
    assert!(sentence.starts_with("cannot write "), "{sentence}");
    assert!(sentence.contains(reason), "{sentence}");
    let (_, checkpoint) = sentence.rsplit_once("; the last complete checkpoint is ").unwrap();
    checkpoint.to_owned()
}

#[test]
fn a_full_file_system_leaves_the_last_checkpoint() {
    let place = Place::new();
    // A file system of its own, in a name space of its own, which root may have and, mostly, others too.
    let unshare = place.start("unshare", &["-rm", "sh", "-c", "mkdir -p runs && mount -t tmpfs none runs"]);
    let possible = unshare.wait();
    if possible.code != Some(0) {
        println!("skipped: no tmpfs can be mounted here: {possible}");
        return;
    }
    // Each checkpoint takes 700 kB: there is room for two, not for a third before the first is removed.
    let train = support::train("tiny.toml", &CHANGES);
    let words: Vec<String> = train.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "mount -t tmpfs -o size=1900k none runs
        '{FACEGRAD}' {train} >full.out 2>full.err; echo $? >full.code
        ls -a runs/tiny >full.ls
        mount -o remount,size=64m runs
        '{FACEGRAD}' train --resume runs/tiny >resumed.out 2>resumed.err; echo $? >resumed.code
        mkdir out && cp -r runs/tiny out/tiny",
        train = words.join(" ")
    );
    place.start("unshare", &["-rm", "sh", "-c", &script]).wait().done();
    let ended = |name: &str| Ended {
        command: format!("{name} disk"),
        code: place.text(&format!("{name}.code")).trim().parse().ok(),
        stdout: place.text(&format!("{name}.out")),
        stderr: place.text(&format!("{name}.err")),
    };
    let checkpoint = ran_out_of_room(ended("full"), "No space left on device");
    let files = place.text("full.ls");
    let last = checkpoint.strip_prefix("runs/tiny/").unwrap();
    assert!(files.lines().any(|file| file == last), "{files}");
    assert!(!files.contains(".tmp"), "a half checkpoint takes room:\n{files}");

    let resumed = ended("resumed").done();
    let step: usize = last.strip_prefix("checkpoint-").unwrap().parse().unwrap();
    assert!(resumed.stdout.contains(&format!(", continued after step {step}\n")), "{resumed}");
    let reference = uninterrupted();
    assert!(place.weights("out/tiny") == reference.weights("runs/tiny"));
    assert_eq!(place.metrics("out/tiny"), reference.metrics("runs/tiny"));
}

#[test]
fn a_checkpoint_that_does_not_fit_leaves_the_one_before_it() {
    let place = Place::new();
    place.train(&["run.steps=5", "run.checkpoint_every=5", "run.evaluate_every=5"]).done();
    // The same run, longer.
    let longer = place.text("runs/tiny/config.toml").replace("steps = 5\n", "steps = 60\n");
    let longer = longer.replace("checkpoint_every = 5\n", "checkpoint_every = 7\n");
    place.write("runs/tiny/config.toml", longer);
    // No file may grow beyond 100 kB (blocks of 512 bytes); the signal that goes with it is ignored.
    let script = format!("trap '' XFSZ; ulimit -f 200; exec '{FACEGRAD}' train --resume runs/tiny");
    let ended = place.start("sh", &["-c", &script]).wait();
    let checkpoint = ran_out_of_room(ended, "File too large");
    assert_eq!(checkpoint, "runs/tiny/checkpoint-000005");
    assert_eq!(place.text("runs/tiny/last"), "checkpoint-000005\n");
    let resumed = place.facegrad(&["train", "--resume", "runs/tiny"]).done();
    assert!(resumed.stdout.contains(", continued after step 5\n"), "{resumed}");
    assert!(resumed.stdout.contains("done: 60 steps"), "{resumed}");
}

#[test]
fn where_no_file_can_be_locked_work_goes_on_and_that_is_said_once() {
    let place = Place::new();
    // As on NFS without its service for locks.
    place.write(
        "flock.c",
        "#include <errno.h>\nint flock(int file, int what) { errno = ENOLCK; return -1; }\n",
    );
    place.start("cc", &["-shared", "-fPIC", "-o", "flock.so", "flock.c"]).wait().done();
    let run = |arguments: &[&str]| {
        let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
        let script = format!("LD_PRELOAD=$PWD/flock.so exec '{FACEGRAD}' {}", words.join(" "));
        let ended = place.start("sh", &["-c", &script]).wait().done();
        assert_eq!(ended.stderr.matches(" cannot be locked (No locks available").count(), 1, "{ended}");
    };
    run(&support::train("tiny.toml", &["run.steps=5"]));
    let synth = ["data", "synth", "--size", "20", "--identities", "3", "--images", "2", "--out", "faces"];
    place.facegrad(&synth).done();
    run(&["embed", "faces", "--out", "faces.npz", "--model", "runs/tiny"]);
    run(&["data", "convert", "faces", "faces.rec"]);
}
