use std::{collections::BTreeMap, sync::Arc};

use facegrad_pictures::Picture;
use tempfile::TempDir;

use super::*;
use crate::SourceConfig;

/// A set in memory.
struct Memory {
    identities: Vec<String>,
    images: Vec<(usize, String, Option<Vec<u8>>)>,
}

/// A PNG file like no other.
fn png(seed: usize) -> Vec<u8> {
    let pixels = (0..48).map(|at| (seed * 37 + at * at) as u8).collect();
    encode(&Picture::new(4, 4, pixels), ImageFormat::Png).unwrap()
}

impl Memory {
    /// `count` images of the identities in turn, so that those of one are not together.
    fn new(identities: &[&str], count: usize) -> Self {
        let image = |at: usize| (at % identities.len(), format!("some/where/{at:05}.jpg"), Some(png(at)));
        Self {
            identities: identities.iter().map(|name| name.to_string()).collect(),
            images: (0..count).map(image).collect(),
        }
    }
}

impl FaceSource for Memory {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn identities(&self) -> &[String] {
        &self.identities
    }

    fn label(&self, index: usize) -> usize {
        self.images[index].0
    }

    fn name(&self, index: usize) -> String {
        format!("memory/{}", self.key(index))
    }

    fn key(&self, index: usize) -> String {
        self.images[index].1.clone()
    }

    fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
        let bytes = self.images[index].2.clone().map(StoredImage::Encoded);
        bytes.ok_or_else(|| FaceError { name: self.name(index), reason: "it is lost".into() })
    }

    fn fingerprint(&self) -> String {
        let parts =
            self.images.iter().map(|(label, key, bytes)| format!("{label} {key} {:?}", bytes.is_some()));
        parts.collect::<Vec<_>>().join("\n")
    }
}

fn target(kind: ConversionFormat, path: &Path) -> ConversionTarget {
    ConversionTarget { kind, path: path.into(), shard_images: 7, on_unreadable: OnUnreadable::Stop }
}

fn done(source: &dyn FaceSource, target: &ConversionTarget) -> Conversion {
    match convert(source, target, &mut |_| true).unwrap() {
        ConvertEnd::Done(converted) => converted,
        stopped => panic!("{stopped:?}"),
    }
}

fn open(path: &Path) -> Arc<dyn FaceSource> {
    SourceConfig::of_path(path).unwrap().open_any().unwrap().source
}

/// The images of each identity, by its name, in order.
fn people(source: &dyn FaceSource) -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut people = BTreeMap::<String, Vec<Vec<u8>>>::new();
    for index in 0..source.len() {
        let StoredImage::Encoded(bytes) = source.stored(index).unwrap() else { panic!("pixels") };
        people.entry(source.identities()[source.label(index)].clone()).or_default().push(bytes);
    }
    people
}

/// Every file below a folder, with its content.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(root).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| (entry.path().strip_prefix(root).unwrap().into(), fs::read(entry.path()).unwrap()))
        .collect()
}

const NAMES: [&str; 3] = ["Ann Lee", "Bo", "Zoë Müller"];

/// Each kind of target, as one file and as a folder.
const TARGETS: [(ConversionFormat, &str); 7] = [
    (ConversionFormat::Folder, "faces"),
    (ConversionFormat::RecordIo, "faces.rec"),
    (ConversionFormat::RecordIo, "records"),
    (ConversionFormat::WebDataset, "faces.tar"),
    (ConversionFormat::WebDataset, "shards"),
    (ConversionFormat::Parquet, "faces.parquet"),
    (ConversionFormat::Parquet, "rows"),
];

/// Nothing can be added to a file of these.
fn is_one_shard(name: &str) -> bool {
    matches!(name, "faces.tar" | "faces.parquet")
}

#[test]
fn what_is_written_reads_back_the_same() {
    let source = Memory::new(&NAMES, 50);
    let folder = TempDir::new().unwrap();
    for (kind, name) in TARGETS {
        let path = folder.path().join(name);
        let converted = done(&source, &target(kind, &path));
        assert_eq!((converted.images, converted.identities), (50, 3));
        assert!(converted.files.iter().all(|file| file.exists()), "{:?}", converted.files);
        let read = open(&path);
        assert_eq!(read.identities(), NAMES);
        assert_eq!(people(read.as_ref()), people(&source), "{name}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 9, "{left:?}");
    assert!(files(folder.path()).keys().all(|path| !path.ends_with(state::FILE)));
    let shards: Vec<PathBuf> = files(&folder.path().join("shards")).into_keys().collect();
    assert_eq!((shards.len(), shards[7].to_str()), (8, Some("shard-000007.tar")));
}

#[test]
fn one_format_after_another_keeps_every_byte() {
    let source = Memory::new(&NAMES, 30);
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    done(&source, &target(ConversionFormat::Folder, &path("a")));
    done(open(&path("a")).as_ref(), &target(ConversionFormat::RecordIo, &path("b.rec")));
    done(open(&path("b.rec")).as_ref(), &target(ConversionFormat::WebDataset, &path("c")));
    done(open(&path("c")).as_ref(), &target(ConversionFormat::Parquet, &path("p")));
    done(open(&path("p")).as_ref(), &target(ConversionFormat::RecordIo, &path("d.rec")));
    done(open(&path("d.rec")).as_ref(), &target(ConversionFormat::Folder, &path("e")));
    assert_eq!(people(open(&path("e")).as_ref()), people(&source));
    assert_eq!(fs::read(path("b.rec")).unwrap(), fs::read(path("d.rec")).unwrap());
    assert_eq!(fs::read(path("b.idx")).unwrap(), fs::read(path("d.idx")).unwrap());
}

#[test]
fn records_follow_the_convention_of_insightface() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train.rec");
    done(&Memory::new(&["a", "b"], 5), &target(ConversionFormat::RecordIo, &path));
    let index = fs::read_to_string(path.with_extension("idx")).unwrap();
    let keys: Vec<&str> = index.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(keys, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    let records = crate::formats::recordio::record::RecordFile::open(&path).unwrap();
    let headers: Vec<_> = index
        .lines()
        .map(|line| records.header(line.split('\t').nth(1).unwrap().parse().unwrap()).unwrap().0)
        .collect();
    assert_eq!(headers[0].keys(), Some([6, 8]));
    assert_eq!((headers[6].keys(), headers[7].keys()), (Some([1, 4]), Some([4, 6])));
    let labels: Vec<Option<u32>> = headers[1..6].iter().map(|header| header.number()).collect();
    assert_eq!(labels, [0, 0, 0, 1, 1].map(Some));
    assert!(headers.iter().zip(0..).all(|(header, key)| header.id == key));
}

/// Stops after every few images, and goes on.
#[test]
fn a_conversion_that_was_stopped_writes_the_same_bytes() {
    let source = Memory::new(&NAMES, 3000);
    let folder = TempDir::new().unwrap();
    for (kind, name) in TARGETS {
        let whole = folder.path().join("whole").join(name);
        let pieces = folder.path().join("pieces").join(name);
        let mut goal = target(kind, &whole);
        goal.shard_images = 900;
        done(&source, &goal);
        goal.path = pieces.clone();
        let (mut runs, mut furthest) = (0, 0);
        loop {
            runs += 1;
            let mut steps = 0;
            let end = convert(&source, &goal, &mut |_| {
                steps += 1;
                steps < 70
            });
            match end.unwrap() {
                ConvertEnd::Done(converted) => {
                    assert_eq!(converted.images, 3000);
                    break;
                }
                ConvertEnd::Stopped { images, work } => {
                    assert!(work.is_dir() && !pieces.exists());
                    // A shard alone begins anew; it gets the time it needs.
                    if is_one_shard(name) {
                        assert_eq!(images, 0);
                        done(&source, &goal);
                        break;
                    }
                    assert!(images > furthest);
                    furthest = images;
                }
            }
        }
        assert!(runs >= 3 || is_one_shard(name), "{name}: {runs} runs");
        assert!(!folder.path().join("pieces").join(format!("{name}.part")).exists());
    }
    assert!(files(&folder.path().join("whole")) == files(&folder.path().join("pieces")));
}

/// As after a kill: the files have more than the state says.
#[test]
fn what_was_written_after_the_last_mark_is_written_again() {
    let source = Memory::new(&NAMES, 2000);
    let folder = TempDir::new().unwrap();
    let whole = folder.path().join("whole.rec");
    done(&source, &target(ConversionFormat::RecordIo, &whole));
    let goal = target(ConversionFormat::RecordIo, &folder.path().join("killed.rec"));
    let mut steps = 0;
    let end = convert(&source, &goal, &mut |_| {
        steps += 1;
        steps < 70
    });
    assert!(matches!(end, Ok(ConvertEnd::Stopped { .. })));
    let work = folder.path().join("killed.rec.part");
    for name in ["killed.rec", "killed.idx"] {
        use std::io::Write;
        let mut file = fs::OpenOptions::new().append(true).open(work.join(name)).unwrap();
        file.write_all(b"half a record").unwrap();
    }
    fs::write(work.join(".writing-x"), "left over").unwrap();
    done(&source, &goal);
    assert!(fs::read(&whole).unwrap() == fs::read(&goal.path).unwrap());
    let index = |path: &Path| fs::read(path.with_extension("idx")).unwrap();
    assert_eq!(index(&whole), index(&goal.path));
    assert!(!work.exists());
    // Files that lost what the state says they have cannot be gone on with.
    let goal = target(ConversionFormat::RecordIo, &folder.path().join("cut.rec"));
    let mut steps = 0;
    convert(&source, &goal, &mut |_| {
        steps += 1;
        steps < 70
    })
    .unwrap();
    fs::write(folder.path().join("cut.rec.part/cut.rec"), "short").unwrap();
    let error = convert(&source, &goal, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("cut.rec has 5 bytes, fewer than the "), "{error}");
}

/// Earlier versions wrote the whole state anew at each mark, without a line feed, and locked another file.
#[test]
fn a_conversion_that_an_earlier_version_began_goes_on() {
    let source = Memory::new(&NAMES, 3000);
    let folder = TempDir::new().unwrap();
    let mut goal = target(ConversionFormat::Folder, &folder.path().join("whole"));
    done(&source, &goal);
    goal.path = folder.path().join("old");
    let mut steps = 0;
    let end = convert(&source, &goal, &mut |_| {
        steps += 1;
        steps < 70
    });
    let Ok(ConvertEnd::Stopped { images, work }) = end else { panic!("{end:?}") };
    let state = fs::read_to_string(work.join(state::FILE)).unwrap();
    let mut lines = state.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut old = lines.next().unwrap();
    old["mark"] = lines.next_back().unwrap()["mark"].clone();
    fs::write(work.join(state::FILE), old.to_string()).unwrap();
    fs::write(work.join(".lock"), "").unwrap();
    let mut first = None;
    convert(&source, &goal, &mut |step| {
        first.get_or_insert(step);
        true
    })
    .unwrap();
    assert_eq!(first, Some(ConvertStep::Writing(images)));
    assert!(files(&folder.path().join("whole")) == files(&goal.path));
}

#[test]
fn what_a_kill_leaves_half_written_is_removed() {
    let source = Memory::new(&NAMES, 40);
    let folder = TempDir::new().unwrap();
    let goal = target(ConversionFormat::WebDataset, &folder.path().join("shards"));
    let work = folder.path().join("shards.part");
    let leave = || fs::write(work.join(".writing-Xy7"), "half a shard").unwrap();
    // Before there is a state, and after.
    fs::create_dir(&work).unwrap();
    leave();
    assert!(matches!(convert(&source, &goal, &mut |_| false), Ok(ConvertEnd::Stopped { .. })));
    leave();
    done(&source, &goal);
    assert_eq!(fs::read_dir(&goal.path).unwrap().count(), 6);
}

#[test]
fn two_processes_cannot_write_the_same_target() {
    let source = Memory::new(&NAMES, 40);
    let folder = TempDir::new().unwrap();
    let goal = target(ConversionFormat::RecordIo, &folder.path().join("x.rec"));
    let mut second = None;
    convert(&source, &goal, &mut |_| {
        second.get_or_insert_with(|| convert(&source, &goal, &mut |_| true).unwrap_err().to_string());
        true
    })
    .unwrap();
    assert!(second.unwrap().ends_with("x.rec.part is being written by another process"));
}

#[test]
fn a_conversion_killed_while_names_are_given_is_finished() {
    let source = Memory::new(&NAMES, 20);
    let folder = TempDir::new().unwrap();
    let rec = target(ConversionFormat::RecordIo, &folder.path().join("x.rec"));
    let layout = Layout::of(&rec).unwrap();
    // Everything is written, and the index has its name already.
    let mut state = State::begin(&source, &rec, &layout, Vec::new()).unwrap();
    let plan = Plan::new(&source, &[]);
    let mut writer = layout.writer(&plan, &rec, &Mark::default()).unwrap();
    let unwritable = |error: io::Error| -> ConvertError { panic!("{error}") };
    assert!(write(&source, &plan, writer.as_mut(), &mut state, &unwritable, &mut |_| true).unwrap());
    writer.finish().unwrap();
    state.written().unwrap();
    drop(state);
    fs::rename(layout.work.join("x.idx"), folder.path().join("x.idx")).unwrap();
    assert_eq!(done(&source, &rec).images, 20);
    assert_eq!(people(open(&rec.path).as_ref()), people(&source));
    assert!(!layout.work.exists());
    // Killed when only the folder was left of it, it is done, and the folder goes.
    fs::create_dir(&layout.work).unwrap();
    let error = convert(&source, &rec, &mut |_| true).unwrap_err();
    assert!(matches!(error, ConvertError::Exists(_)) && !layout.work.exists(), "{error}");

    let goal = target(ConversionFormat::Folder, &folder.path().join("faces"));
    done(&source, &goal);
    let layout = Layout::of(&goal).unwrap();
    State::begin(&source, &goal, &layout, Vec::new()).unwrap().written().unwrap();
    fs::rename(layout.work.join(state::FILE), goal.path.join(state::FILE)).unwrap();
    fs::remove_dir(&layout.work).unwrap();
    assert_eq!(done(&source, &goal).images, 20);
    assert!(!goal.path.join(state::FILE).exists());
}

#[test]
fn images_that_cannot_be_read_stop_it_or_are_left_out() {
    let mut source = Memory::new(&NAMES, 12);
    source.images[4].2 = None;
    source.images[6].2 = Some(b"GIF89a".to_vec());
    let folder = TempDir::new().unwrap();
    let mut goal = target(ConversionFormat::RecordIo, &folder.path().join("x.rec"));
    assert_eq!(
        convert(&source, &goal, &mut |_| true).unwrap_err().to_string(),
        "memory/some/where/00006.jpg: its content is not a JPEG, PNG, WebP, BMP or PNM image"
    );
    goal.path = folder.path().join("y.rec");
    goal.on_unreadable = OnUnreadable::Skip;
    let converted = done(&source, &goal);
    let skipped: Vec<String> = converted.skipped.iter().map(FaceError::to_string).collect();
    assert_eq!(
        skipped,
        [
            "memory/some/where/00004.jpg: it is lost",
            "memory/some/where/00006.jpg: its content is not a JPEG, PNG, WebP, BMP or PNM image"
        ]
    );
    assert_eq!(open(&goal.path).len(), 10);
    // Nothing is left of Bo, and Zoë is the second.
    (0..12).filter(|image| image % 3 == 1).for_each(|image| source.images[image].2 = None);
    goal.path = folder.path().join("z.rec");
    assert_eq!(done(&source, &goal).identities, 2);
    assert_eq!(open(&goal.path).identities(), ["Ann Lee", "Zoë Müller"]);
    source.images.iter_mut().for_each(|image| image.2 = None);
    goal.path = folder.path().join("w.rec");
    assert_eq!(
        convert(&source, &goal, &mut |_| true).unwrap_err().to_string(),
        "none of the 12 images can be read; the first one is memory/some/where/00000.jpg: it is lost"
    );
    assert!(!folder.path().join("w.rec.part").exists());
}

#[test]
fn what_is_there_is_not_written_over() {
    let source = Memory::new(&NAMES, 40);
    let folder = TempDir::new().unwrap();
    let error = |source: &Memory, goal: &ConversionTarget| {
        let error = convert(source, goal, &mut |_| true).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "DIR")
    };
    let goal = target(ConversionFormat::RecordIo, &folder.path().join("x.rec"));
    fs::write(folder.path().join("x.idx"), "mine").unwrap();
    assert_eq!(error(&source, &goal), "DIR/x.idx is there already; name a new path, or remove it");
    fs::remove_file(folder.path().join("x.idx")).unwrap();
    // An empty folder is as good as none.
    fs::create_dir(folder.path().join("empty")).unwrap();
    done(&source, &target(ConversionFormat::Folder, &folder.path().join("empty")));
    assert_eq!(
        error(&source, &target(ConversionFormat::Folder, &folder.path().join("empty"))),
        "DIR/empty is there already; name a new path, or remove it"
    );
    // Work of another conversion.
    assert!(matches!(convert(&source, &goal, &mut |_| false), Ok(ConvertEnd::Stopped { .. })));
    let other = "DIR/x.rec.part holds the work of another conversion, from another set or with other settings; run \
                 that one to its end, or remove the folder";
    assert_eq!(error(&Memory::new(&NAMES, 41), &goal), other);
    assert_eq!(
        error(&source, &ConversionTarget { on_unreadable: OnUnreadable::Skip, ..goal.clone() }),
        other
    );
    fs::write(folder.path().join("x.rec.part").join(state::FILE), "{").unwrap();
    assert_eq!(error(&source, &goal), other);
    fs::remove_file(folder.path().join("x.rec.part").join(state::FILE)).unwrap();
    fs::write(folder.path().join("x.rec.part/thesis.doc"), "mine").unwrap();
    assert_eq!(error(&source, &goal), other);
    for (kind, name, expected) in [
        (ConversionFormat::Folder, "x.rec", "the name of a folder"),
        (ConversionFormat::RecordIo, "x.tar", "a .rec file, or a folder for train.rec,"),
        (ConversionFormat::WebDataset, "x.rec", "a .tar file, or a folder for shards,"),
    ] {
        assert_eq!(
            error(&source, &target(kind, &folder.path().join(name))),
            format!("DIR/{name} cannot be a {kind} target; {expected} is expected")
        );
    }
}

#[test]
fn nothing_is_written_outside_the_target() {
    let names = ["../../up", "/etc", "a/b", "A_B", "nul", "new\nline", ""];
    let mut source = Memory::new(&names, 14);
    for image in &mut source.images {
        image.1 = format!("../../{}/..", image.1.replace('0', "\n"));
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("in/faces");
    fs::create_dir(folder.path().join("in")).unwrap();
    done(&source, &target(ConversionFormat::Folder, &path));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(folder.path().join("in")).unwrap().count(), 1);
    let folders: Vec<String> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(folders.len(), 7, "{folders:?}");
    let images: Vec<Vec<u8>> = people(open(&path).as_ref()).into_values().flatten().collect();
    assert_eq!(images.len(), 14);
    // Tar files have names of our own, and JSON holds any.
    let tar = folder.path().join("in/faces.tar");
    done(&source, &target(ConversionFormat::WebDataset, &tar));
    assert_eq!(open(&tar).identities(), names);
}

#[test]
fn pixels_become_files() {
    let faces = facegrad_synthetic::SyntheticFaces::new(&facegrad_synthetic::SyntheticConfig {
        identities: 2,
        images: 2,
        size: 16,
        ..Default::default()
    });
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("faces");
    done(&faces, &target(ConversionFormat::Folder, &path));
    let read = open(&path);
    for index in 0..4 {
        assert_eq!(read.load(index, [16, 16]).unwrap(), faces.load(index, [16, 16]).unwrap());
    }
}

/// MXNet and webdataset, or what a few lines of Python make of the descriptions of their formats.
#[test]
fn other_programs_read_what_is_written() {
    let mut source = Memory::new(&NAMES, 40);
    // Images with the magic number of RecordIO in them, at and beside multiples of four.
    for (_, key, bytes) in &mut source.images {
        let bytes = bytes.as_mut().unwrap();
        let magic = crate::formats::recordio::record::MAGIC;
        bytes.extend(magic.repeat(key.len() % 3));
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend(magic);
    }
    let folder = TempDir::new().unwrap();
    let mut expected = 0u64;
    let plan = Plan::new(&source, &[]);
    for number in 0..plan.len() {
        let text = format!("{} ", plan.label(number)).into_bytes();
        let bytes = source.images[plan.image(number)].2.clone().unwrap();
        for byte in text.into_iter().chain(bytes) {
            expected = (expected * 31 + u64::from(byte)) % 1_000_000_007;
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/read_records.py");
    let python = std::env::var("FACEGRAD_PYTHON").unwrap_or_else(|_| "python3".into());
    for (kind, name) in [(ConversionFormat::RecordIo, "x.rec"), (ConversionFormat::WebDataset, "shards")] {
        let path = folder.path().join(name);
        done(&source, &target(kind, &path));
        let mut written: Vec<PathBuf> = files(&path).into_keys().map(|file| path.join(file)).collect();
        if kind == ConversionFormat::RecordIo {
            written = vec![path];
        }
        let output = match std::process::Command::new(&python).arg(&script).args(&written).output() {
            Ok(output) => output,
            Err(error) => return println!("skipped: {python} does not run: {error}"),
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let (first, program) = text.split_once('\n').unwrap();
        println!("{name}: {}", program.trim());
        assert_eq!(first, format!("40 images, {expected}"));
    }
}
