use std::{
    fmt::Write,
    fs::{self, File},
    io::{Seek, SeekFrom, Write as _},
};

use facegrad_random::{Purpose, Stream};
use tempfile::TempDir;

use super::{
    record::{framed, image_record},
    *,
};
use crate::{FaceSource, SourceConfig};

/// A `.rec` file in a folder: records (key, labels, image) in the order of the file, with or without an index.
fn write(folder: &Path, records: &[(u32, &[f32], &[u8])], with_index: bool) -> PathBuf {
    let (mut bytes, mut index) = (Vec::new(), String::new());
    for (key, labels, image) in records {
        writeln!(index, "{key}\t{}", bytes.len()).unwrap();
        bytes.extend(framed(&image_record((*key).into(), labels, image)).unwrap());
    }
    let path = folder.join("train.rec");
    fs::write(&path, bytes).unwrap();
    if with_index {
        fs::write(path.with_extension("idx"), index).unwrap();
    }
    path
}

fn open(path: &Path) -> Result<OpenSet, SourceError> {
    RecordIoConfig { path: path.into(), ..Default::default() }.open()
}

fn images(source: &dyn FaceSource) -> Vec<(String, usize, Vec<u8>)> {
    let image = |index| match source.stored(index).unwrap() {
        StoredImage::Encoded(bytes) => (source.key(index), source.label(index), bytes),
        StoredImage::Pixels(_) => panic!("records are encoded"),
    };
    (0..source.len()).map(image).collect()
}

fn sentence(folder: &TempDir, path: &Path) -> String {
    let Err(error) = open(path) else { panic!("{} is a set", path.display()) };
    error.to_string().replace(&folder.path().display().to_string(), "DIR")
}

/// Insightface's layout as `face2rec2.py` writes it: images, then key 0, then the identities.
const INSIGHTFACE: [(u32, &[f32], &[u8]); 8] = [
    (1, &[0.0, 1.0], b"a"),
    (2, &[0.0, 1.0], b"bb"),
    (3, &[1.0, 1.0], b"ccc"),
    (4, &[2.0, 1.0], b"dddd"),
    (0, &[5.0, 8.0], b""),
    (5, &[1.0, 3.0], b""),
    (6, &[3.0, 4.0], b""),
    (7, &[4.0, 5.0], b""),
];

#[test]
fn sets_of_insightface_are_read_by_their_header_record() {
    for with_index in [true, false] {
        let folder = TempDir::new().unwrap();
        let path = write(folder.path(), &INSIGHTFACE, with_index);
        let opened = open(&path).unwrap();
        assert_eq!(opened.summary.to_string(), "4 images of 3 identities");
        assert_eq!(opened.source.identities(), ["0", "1", "2"]);
        let read = images(opened.source.as_ref());
        let expected = [("1", 0, "a"), ("2", 0, "bb"), ("3", 1, "ccc"), ("4", 2, "dddd")];
        assert_eq!(read, expected.map(|(key, label, image)| (key.into(), label, image.into())));
        assert!(opened.source.name(3).ends_with("train.rec, record 4"));
    }
}

#[test]
fn records_may_lie_in_any_order() {
    let mut shuffled = INSIGHTFACE;
    shuffled.reverse();
    shuffled.swap(1, 6);
    let (a, b) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let with = open(&write(a.path(), &shuffled, true)).unwrap();
    let without = open(&write(b.path(), &shuffled, false)).unwrap();
    assert_eq!(images(with.source.as_ref()), images(without.source.as_ref()));
    assert_eq!(with.source.label(3), 2);
    assert_eq!(with.source.fingerprint(), without.source.fingerprint());
    // Without a header record the order is that of the file.
    let plain: [(u32, &[f32], &[u8]); 3] = [(7, &[1.0], b"x"), (0, &[0.0], b"y"), (4, &[1.0], b"z")];
    let plain = open(&write(a.path(), &plain, true)).unwrap();
    let keys: Vec<String> = (0..3).map(|index| plain.source.key(index)).collect();
    assert_eq!(keys, ["7", "0", "4"]);
    assert_eq!((0..3).map(|index| plain.source.label(index)).collect::<Vec<_>>(), [1, 0, 1]);
}

#[test]
fn ranges_that_contradict_the_labels_are_not_believed() {
    let mut records = INSIGHTFACE;
    // The second identity is said to have the first image of the third.
    records[6].1 = &[3.0, 5.0];
    records[7].1 = &[5.0, 5.0];
    let folder = TempDir::new().unwrap();
    let opened = open(&write(folder.path(), &records, true)).unwrap();
    let labels: Vec<usize> = (0..4).map(|index| opened.source.label(index)).collect();
    assert_eq!(labels, [0, 0, 1, 2]);
}

#[test]
fn a_header_record_cannot_claim_more_than_the_index_has() {
    let folder = TempDir::new().unwrap();
    for claim in [[99.0, 99.0], [2e9, 2e9], [5.0, 1.0], [0.0, 4.0]] {
        let mut records = INSIGHTFACE;
        records[4].1 = &claim;
        let sentence = sentence(&folder, &write(folder.path(), &records, true));
        assert!(
            sentence.starts_with("DIR/train.rec: the header record says that keys 1 to ")
                && sentence.ends_with("; the index has 8 keys; without it the .rec file is scanned"),
            "{sentence}"
        );
    }
}

#[test]
fn records_without_an_image_are_left_out_and_counted() {
    for with_index in [true, false] {
        let folder = TempDir::new().unwrap();
        let records: [(u32, &[f32], &[u8]); 4] =
            [(3, &[0.0], b"x"), (4, &[0.0], b""), (5, &[1.0], b"y"), (6, &[], b"")];
        let opened = open(&write(folder.path(), &records, with_index)).unwrap();
        let summary = opened.summary.to_string();
        assert_eq!(summary, "2 images of 2 identities; left out: 2 records without an image");
        assert_eq!(opened.source.key(1), "5");
    }
}

#[test]
fn labels_must_be_numbers_of_identities() {
    for (label, shown) in [(f32::NAN, "NaN"), (0.5, "0.5"), (-1.0, "-1"), (f32::INFINITY, "inf")] {
        for with_index in [true, false] {
            let folder = TempDir::new().unwrap();
            let path = write(folder.path(), &[(0, &[0.0], b"xxxx"), (1, &[label], b"y")], with_index);
            assert_eq!(
                sentence(&folder, &path),
                format!(
                    "DIR/train.rec, byte 36: record 1: the label is {shown}; a whole number from 0 on is expected"
                )
            );
        }
    }
    let folder = TempDir::new().unwrap();
    let path = write(folder.path(), &[(0, &[0.0], b"x"), (1, &[7.0], b"y")], true);
    assert!(sentence(&folder, &path).contains("set label_gaps = \"close\""));
    let closed = RecordIoConfig { path, label_gaps: LabelGaps::Close }.open().unwrap();
    assert_eq!(closed.source.identities(), ["0", "7"]);
}

#[test]
fn an_index_that_is_not_of_the_file_is_one_sentence() {
    let folder = TempDir::new().unwrap();
    let path = write(folder.path(), &INSIGHTFACE, true);
    let index = path.with_extension("idx");
    let good = fs::read_to_string(&index).unwrap();
    let length = fs::metadata(&path).unwrap().len();
    let with = |text: &str| {
        fs::write(&index, text).unwrap();
        sentence(&folder, &path)
    };
    assert_eq!(with(""), "DIR/train.idx: it is empty; without it the .rec file is scanned");
    assert_eq!(with(&format!("{good}3\t0\n")), "DIR/train.idx, line 9: key 3 is in the index twice");
    assert_eq!(with(&format!("{good}0\t0\n")), "DIR/train.idx, line 9: key 0 is in the index twice");
    assert_eq!(
        with(&format!("1\t{length}\n")),
        format!("DIR/train.idx: all its keys are beyond the {length} bytes of the .rec file")
    );
    assert_eq!(
        with("1\t0\n2\t4\n"),
        "DIR/train.rec, byte 4: record 2: no record begins here: its magic number is missing"
    );
    assert_eq!(with("5\t0\n1\t40\n5\t0\n"), "DIR/train.idx, line 3: key 5 is in the index twice");
    // More keys than the header record counts are passed over.
    fs::write(&index, format!("{good}8\t0\n")).unwrap();
    assert!(open(&path).unwrap().summary.to_string().ends_with("left out: 1 key beyond the header record"));
}

#[test]
fn a_file_cut_short_is_an_error_where_its_end_is_read() {
    let folder = TempDir::new().unwrap();
    let records: [(u32, &[f32], &[u8]); 2] = [(0, &[0.0], b"first image"), (1, &[1.0], b"second image")];
    let path = write(folder.path(), &records, true);
    let length = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 4).unwrap();
    let expected = "DIR/train.rec, byte 44: record 1: the record claims 36 bytes, and the file ends after 32";
    assert_eq!(sentence(&folder, &path), expected);
    fs::remove_file(path.with_extension("idx")).unwrap();
    assert_eq!(sentence(&folder, &path), expected);
    fs::write(&path, "").unwrap();
    assert_eq!(sentence(&folder, &path), "DIR/train.rec: it is empty; a RecordIO file is expected");
}

/// Notes of the set at `path`.
fn notes(folder: &TempDir, path: &Path) -> Vec<String> {
    let opened = open(path).unwrap();
    opened
        .summary
        .notes
        .iter()
        .map(|note| note.replace(&folder.path().display().to_string(), "DIR"))
        .collect()
}

#[test]
fn a_missing_record_is_named_with_and_without_the_index() {
    for with_index in [true, false] {
        let folder = TempDir::new().unwrap();
        let records: Vec<_> = INSIGHTFACE.into_iter().filter(|(key, ..)| *key != 2).collect();
        let path = write(folder.path(), &records, with_index);
        let opened = open(&path).unwrap();
        assert_eq!(
            opened.summary.to_string(),
            "3 images of 3 identities; left out: 1 missing record",
            "{with_index}"
        );
        assert_eq!(notes(&folder, &path), ["DIR/train.rec: 1 record is missing, namely that of key 2"]);
        assert_eq!(opened.source.key(1), "3");
    }
}

#[test]
fn one_damaged_record_costs_one_image_with_and_without_the_index() {
    let records: [(u32, &[f32], &[u8]); 4] =
        [(0, &[0.0], b"aaaa"), (1, &[0.0], b"bbbb"), (2, &[1.0], b"cccc"), (3, &[1.0], b"d")];
    for with_index in [true, false] {
        let folder = TempDir::new().unwrap();
        let path = write(folder.path(), &records, with_index);
        let mut bytes = fs::read(&path).unwrap();
        bytes[36..44].fill(0xFF);
        fs::write(&path, &bytes).unwrap();
        let opened = open(&path).unwrap();
        assert_eq!(
            opened.summary.to_string(),
            "3 images of 2 identities; left out: 1 damaged record",
            "{with_index}"
        );
        let read: Vec<_> = images(opened.source.as_ref()).into_iter().map(|(key, ..)| key).collect();
        assert_eq!(read, ["0", "2", "3"]);
        assert_eq!(
            notes(&folder, &path),
            [
                "1 record is damaged and left out; the first: DIR/train.rec, byte 36: record 1: no record begins here: its \
              magic number is missing"
            ]
        );
    }
}

#[test]
fn of_a_file_that_is_cut_the_first_part_is_used() {
    let folder = TempDir::new().unwrap();
    let path = write(folder.path(), &INSIGHTFACE[..4], true);
    let length = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 44).unwrap();
    let opened = open(&path).unwrap();
    assert_eq!(opened.source.len(), 3);
    assert!(
        notes(&folder, &path)[0].contains("is cut short: 1 key of its index are beyond"),
        "{:?}",
        notes(&folder, &path)
    );
}

#[test]
fn an_index_that_ends_early_is_told() {
    let folder = TempDir::new().unwrap();
    let path =
        write(folder.path(), &[(0, &[0.0], b"aaaa"), (1, &[0.0], b"bbbb"), (2, &[1.0], b"cccc")], true);
    fs::write(path.with_extension("idx"), "0\t0\n1\t36\n").unwrap();
    assert_eq!(
        notes(&folder, &path),
        [
            "DIR/train.idx ends early: 36 bytes of the .rec file follow the last record that it names; without it the \
          .rec file is scanned"
        ]
    );
}

#[test]
fn ranges_and_labels_that_differ_are_told() {
    for with_index in [true, false] {
        let folder = TempDir::new().unwrap();
        let mut records = INSIGHTFACE;
        // The third identity has the label of the first.
        records[3].1 = &[0.0, 1.0];
        let path = write(folder.path(), &records, with_index);
        assert_eq!(
            notes(&folder, &path),
            [
                "DIR/train.rec has 3 identities with a range of keys, and its images have 2 labels: people of several sets \
              may share a label"
            ]
        );
    }
}

#[test]
fn labels_that_are_not_exact_are_refused() {
    for with_index in [true, false] {
        let folder = TempDir::new().unwrap();
        let path = write(folder.path(), &[(0, &[0.0], b"xxxx"), (1, &[16_777_216.0], b"y")], with_index);
        assert!(sentence(&folder, &path).contains("record 1: the label is 16777216; from 2^24 on"));
    }
}

#[test]
fn a_bad_record_of_a_set_with_ranges_is_named_when_it_is_loaded() {
    let mut records = INSIGHTFACE;
    let ranges: [&[f32]; 2] = [&[1.0, 4.0], &[4.0, 5.0]];
    (records[2].1, records[3].1) = (&[0.0], &[1.0]);
    (records[4].1, records[5].1, records[6].1) = (&[5.0, 7.0], ranges[0], ranges[1]);
    let folder = TempDir::new().unwrap();
    let path = write(folder.path(), &records, true);
    let second = fs::read_to_string(path.with_extension("idx")).unwrap();
    let offset: u64 = second.lines().nth(1).unwrap().split('\t').nth(1).unwrap().parse().unwrap();
    let mut file = File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&[0xFF; 8]).unwrap();
    let opened = open(&path).unwrap();
    let error = opened.source.stored(1).unwrap_err().to_string();
    assert!(error.ends_with(&format!(
        "train.rec, record 2: byte {offset}: no record begins here: its magic number is missing"
    )));
    opened.source.stored(2).unwrap();
}

#[test]
fn names_beside_the_set_are_taken_if_they_fit() {
    let folder = TempDir::new().unwrap();
    let path = write(folder.path(), &INSIGHTFACE, true);
    let before = open(&path).unwrap().source.fingerprint();
    fs::write(names_file(&path), "[\"Ann\", \"Bo\\nb\", \"Émile\"]").unwrap();
    let opened = open(&path).unwrap();
    assert_eq!(opened.source.identities(), ["Ann", "Bo\nb", "Émile"]);
    assert_ne!(opened.source.fingerprint(), before);
    fs::write(names_file(&path), "[\"Ann\"]").unwrap();
    let opened = open(&path).unwrap();
    assert_eq!(opened.source.identities(), ["0", "1", "2"]);
    assert!(opened.summary.to_string().ends_with("1 list of names that does not fit the labels"));
    fs::write(names_file(&path), "{}").unwrap();
    assert!(sentence(&folder, &path).starts_with("DIR/train.identities.json: a JSON array of names"));
}

#[test]
fn a_path_is_a_file_or_a_folder_with_one() {
    let folder = TempDir::new().unwrap();
    assert_eq!(sentence(&folder, folder.path()), "DIR: it holds no .rec file");
    assert_eq!(
        sentence(&folder, &folder.path().join("x.rec")),
        "there is no DIR/x.rec; a RecordIO file (.rec), or a folder with one, is expected"
    );
    let path = write(folder.path(), &INSIGHTFACE, true);
    fs::rename(&path, folder.path().join("a.REC")).unwrap();
    fs::rename(path.with_extension("idx"), folder.path().join("a.idx")).unwrap();
    assert_eq!(open(folder.path()).unwrap().source.len(), 4);
    fs::copy(folder.path().join("a.REC"), folder.path().join("b.rec")).unwrap();
    assert_eq!(sentence(&folder, folder.path()), "DIR: it holds 2 .rec files; name one of them");
    fs::copy(folder.path().join("a.REC"), folder.path().join("train.rec")).unwrap();
    assert_eq!(open(folder.path()).unwrap().source.len(), 4);
    for path in [folder.path().to_owned(), folder.path().join("a.REC")] {
        assert_eq!(SourceConfig::of_path(&path).unwrap().kind.kind(), "recordio");
    }
}

/// `reference/write_records.py` has written them with MXNet.
#[test]
fn records_that_mxnet_cut_and_joined_are_read() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
    let folder = TempDir::new().unwrap();
    for (name, keys) in [("insightface", [1, 2, 3, 4, 5, 6]), ("im2rec", [3, 0, 5, 1, 4, 2])] {
        let path = reference.join(name).with_extension("rec");
        let opened = open(&path).unwrap();
        assert_eq!(opened.summary.to_string(), "6 images of 3 identities");
        let label = |key: usize| [0, 0, 1, 1, 1, 2][if name == "im2rec" { key } else { key - 1 }];
        let expected = keys.map(|key| (key.to_string(), label(key), crate::formats::reference_content(key)));
        assert_eq!(images(opened.source.as_ref()), expected);
        // And without the index.
        let alone = folder.path().join(name).with_extension("rec");
        fs::copy(path, &alone).unwrap();
        let scanned = open(&alone).unwrap().source;
        assert_eq!(images(scanned.as_ref()), expected);
        assert_eq!(scanned.fingerprint(), opened.source.fingerprint());
    }
}

#[test]
fn files_of_mxnet_are_read() {
    let Some(fixtures) = crate::formats::shared_fixtures() else { return };
    let opened = open(&fixtures.join("train.rec")).unwrap();
    assert_eq!(opened.summary.to_string(), "8 images of 2 identities");
    let list = fs::read_to_string(fixtures.join("train.lst")).unwrap();
    for (index, line) in list.lines().enumerate() {
        let mut parts = line.split('\t');
        assert_eq!(opened.source.key(index), parts.next().unwrap());
        assert_eq!(opened.source.label(index).to_string(), parts.next().unwrap());
        let picture = opened.source.load(index, [112, 112]).unwrap();
        assert!(picture.width() > 0);
    }
    // The same without the index.
    let folder = TempDir::new().unwrap();
    fs::copy(fixtures.join("train.rec"), folder.path().join("train.rec")).unwrap();
    let scanned = open(folder.path()).unwrap();
    assert_eq!(images(scanned.source.as_ref()), images(opened.source.as_ref()));
}

/// The index of five million images takes 100 MB at most; see `examples/recordio_memory.rs` for the whole process.
#[test]
fn an_image_takes_nine_bytes_of_memory() {
    let images = 100_000u32;
    let (folder, identities) = (TempDir::new().unwrap(), images / 50);
    let path = folder.path().join("train.rec");
    let mut file = File::create(&path).unwrap();
    let mut index = std::io::BufWriter::new(File::create(path.with_extension("idx")).unwrap());
    let keys = images + identities + 1;
    // Records of 64 bytes; only those are written that an index of ranges needs to be read.
    file.set_len(u64::from(keys) * 64).unwrap();
    (0..keys).for_each(|key| writeln!(index, "{key}\t{}", u64::from(key) * 64).unwrap());
    index.flush().unwrap();
    let mut put = |key: u32, labels: &[f32], image: &[u8]| {
        let record = framed(&image_record(key.into(), labels, image)).unwrap();
        file.seek(SeekFrom::Start(u64::from(key) * 64)).unwrap();
        file.write_all(&record).unwrap();
    };
    put(0, &[(images + 1) as f32, keys as f32], b"");
    for identity in 0..identities {
        let first = identity * 50 + 1;
        put(images + 1 + identity, &[first as f32, (first + 50) as f32], b"");
        put(first, &[identity as f32], b"first");
        put(first + 49, &[identity as f32], b"last");
    }
    file.flush().unwrap();
    let set = RecordIo::read(&RecordIoConfig { path, ..Default::default() }, LabelNeed::Required).unwrap();
    assert_eq!((set.len(), set.identities().len()), (images as usize, identities as usize));
    assert_eq!((set.label(49), set.label(50)), (0, 1));
    assert_eq!(set.images.keys, Keys::From(1));
    let (offsets, labels) = (set.images.images.capacity(), set.labels.labels.capacity());
    let heap = offsets * size_of::<Offset>() + labels * size_of::<u32>();
    assert_eq!(heap, 9 * images as usize);
}

/// Damaged files are a set or a sentence, whatever the damage.
#[test]
fn damaged_bytes_never_panic() {
    let mut stream = Stream::new(12, Purpose::SyntheticPicture, 0, 0);
    let folder = TempDir::new().unwrap();
    let path = write(folder.path(), &INSIGHTFACE, true);
    let index = path.with_extension("idx");
    let (good, good_index) = (fs::read(&path).unwrap(), fs::read(&index).unwrap());
    for round in 0..1000 {
        let damage = |bytes: &[u8], stream: &mut Stream| {
            let mut bytes = bytes.to_vec();
            for _ in 0..stream.below(4) {
                let at = stream.below(bytes.len());
                bytes[at] = stream.bits() as u8;
            }
            bytes.truncate(bytes.len() - stream.below(3) * stream.below(bytes.len() / 3));
            bytes
        };
        fs::write(&path, damage(&good, &mut stream)).unwrap();
        let _ = fs::remove_file(&index);
        if round % 2 == 0 {
            fs::write(&index, damage(&good_index, &mut stream)).unwrap();
        }
        match open(&path) {
            Ok(opened) => (0..opened.source.len()).for_each(|index| drop(opened.source.stored(index))),
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
}
