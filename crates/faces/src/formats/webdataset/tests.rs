use std::{
    fs::{self, File},
    io,
};

use facegrad_random::{Purpose, Stream};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::{FaceSource, SourceConfig};

type Content<'a> = (&'a str, &'a [u8]);

fn archive(members: &[Content]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = Header::new_gnu();
        // Written as they are, which the library refuses to do with `..`.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn config(path: &Path) -> WebDatasetConfig {
    WebDatasetConfig { path: path.into(), ..Default::default() }
}

struct Set {
    folder: TempDir,
}

impl Set {
    fn new(shards: &[(&str, &[Content])]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, members) in shards {
            fs::write(folder.path().join(name), archive(members)).unwrap();
        }
        Self { folder }
    }

    fn one(members: &[Content]) -> Self {
        Self::new(&[("x.tar", members)])
    }

    fn open(&self) -> OpenSet {
        config(self.folder.path()).open().unwrap()
    }

    fn sentence(&self) -> String {
        let Err(error) = config(self.folder.path()).open() else { panic!("it is a set") };
        error.to_string().replace(&self.folder.path().display().to_string(), "DIR")
    }
}

fn images(source: &dyn FaceSource) -> Vec<(String, usize, Vec<u8>)> {
    let image = |index| match source.stored(index).unwrap() {
        StoredImage::Encoded(bytes) => (source.key(index), source.label(index), bytes),
        StoredImage::Pixels(_) => panic!("members are encoded"),
    };
    (0..source.len()).map(image).collect()
}

#[test]
fn samples_are_members_of_one_name() {
    let set = Set::one(&[
        ("a/0001.jpg", b"one"),
        ("a/0001.cls", b"1\n"),
        ("a/0001.txt", b"a caption"),
        ("a/0002.json", br#"{"label": 0, "width": 112}"#),
        ("a/0002.PNG", b"two"),
        ("b/0001.left.jpg", b"not an image of this sample"),
        ("b/0001.webp", b"three"),
        ("b/0001.json", br#"{"class": "1"}"#),
    ]);
    let opened = set.open();
    assert_eq!(opened.summary.to_string(), "3 images of 2 identities");
    assert_eq!(opened.source.identities(), ["0", "1"]);
    let expected = [("a/0001", 1, "one"), ("a/0002", 0, "two"), ("b/0001", 1, "three")];
    assert_eq!(
        images(opened.source.as_ref()),
        expected.map(|(key, label, image)| (key.into(), label, image.into()))
    );
    assert!(opened.source.name(1).ends_with("x.tar, a/0002.PNG"));
}

#[test]
fn who_is_on_the_images_is_known_of_all_of_them_or_of_none() {
    let open = |set: &Set| config(set.folder.path()).open_for(LabelNeed::Optional);
    let none = Set::new(&[("a.tar", &[("1.jpg", b"x"), ("2.jpg", b"y")]), ("b.tar", &[("1.jpg", b"z")])]);
    let opened = open(&none).unwrap();
    assert!(!opened.is_labelled());
    assert_eq!((opened.source.len(), opened.source.key(2)), (3, "b/1".into()));
    let sentence =
        "a.tar, \"1.jpg\": its sample has no label; a .cls or .json member of the same name is expected";
    assert!(none.sentence().ends_with(sentence), "{}", none.sentence());
    let some = Set::new(&[("a.tar", &[("1.jpg", b"x"), ("1.cls", b"7")]), ("b.tar", &[("1.jpg", b"z")])]);
    assert_eq!(
        open(&some).err().unwrap().to_string().replace("DIR", ""),
        some.sentence().replace("DIR", &some.folder.path().display().to_string())
    );
    // Gaps between numbers matter where people are told apart.
    let gaps = Set::one(&[("1.jpg", b"x"), ("1.cls", b"7"), ("2.jpg", b"y"), ("2.cls", b"9")]);
    assert!(gaps.sentence().contains("the labels run from 1 to 9"));
    assert_eq!(open(&gaps).unwrap().source.identities(), ["7", "9"]);
}

#[test]
fn shards_are_in_the_order_of_their_names() {
    let set = Set::new(&[
        ("s-01.tar", &[("0.jpg", b"c"), ("0.cls", b"bob"), ("1.jpg", b"d"), ("1.cls", b"Cid")]),
        ("s-00.tar", &[("0.jpg", b"a"), ("0.cls", b"ann"), ("1.jpg", b"b"), ("1.cls", b"bob")]),
        ("s-02.tar", &[]),
    ]);
    fs::write(set.folder.path().join(".hidden.tar"), "no archive").unwrap();
    fs::write(set.folder.path().join("sizes.json"), "{}").unwrap();
    let opened = set.open();
    assert_eq!(opened.source.identities(), ["Cid", "ann", "bob"]);
    let expected = [("s-00/0", 1, "a"), ("s-00/1", 2, "b"), ("s-01/0", 2, "c"), ("s-01/1", 0, "d")];
    assert_eq!(
        images(opened.source.as_ref()),
        expected.map(|(key, label, image)| (key.into(), label, image.into()))
    );
    assert_eq!(SourceConfig::of_path(set.folder.path()).unwrap().kind.kind(), "webdataset");
    let shard = set.folder.path().join("s-00.tar");
    assert_eq!(SourceConfig::of_path(&shard).unwrap().open().unwrap().source.key(1), "1");
    // With folders beside it, it is a folder with one folder an identity.
    fs::create_dir(set.folder.path().join("ann")).unwrap();
    assert_eq!(SourceConfig::of_path(set.folder.path()).unwrap().kind.kind(), "folder");
}

#[test]
fn numbers_are_called_by_the_names_beside_them() {
    let named = |second: &[u8]| {
        let second: Content = ("2.json", second);
        Set::one(&[
            ("1.jpg", b"x"),
            ("1.cls", b"1"),
            ("1.json", br#"{"identity": "Ann"}"#),
            second,
            ("2.jpg", b"y"),
            ("2.cls", b"0"),
        ])
    };
    let source = named(br#"{"identity": "Bo\nb"}"#).open().source;
    assert_eq!(source.identities(), ["Bo\nb", "Ann"]);
    assert_eq!((source.label(0), source.label(1)), (1, 0));
    assert_eq!(named(b"{}").open().source.identities(), ["0", "1"]);
    // Two names for one number are no name.
    let set = Set::one(&[
        ("1.jpg", b"x"),
        ("1.json", br#"{"label": 0, "identity": "Ann"}"#),
        ("2.jpg", b"x"),
        ("2.json", br#"{"label": 0, "identity": "Bob"}"#),
    ]);
    assert_eq!(set.open().source.identities(), ["0"]);
}

#[test]
fn labels_with_leading_zeros_are_names() {
    let members: [Content; 4] = [("1.jpg", b"x"), ("1.cls", b"017"), ("2.jpg", b"y"), ("2.cls", b"5")];
    let source = Set::one(&members).open().source;
    assert_eq!(source.identities(), ["5", "017"]);
    assert_eq!((source.label(0), source.label(1)), (1, 0));
}

#[test]
fn the_field_of_the_label_can_be_named() {
    let set = Set::one(&[
        ("1.jpg", b"x"),
        ("1.cls", b"5"),
        ("1.json", br#"{"label": 7, "person": "Ann"}"#),
        ("2.json", br#"{"label": 7, "person": "Bob"}"#),
        ("2.jpg", b"x"),
    ]);
    let person =
        WebDatasetConfig { label_key: Some("person".into()), ..config(set.folder.path()) }.open().unwrap();
    assert_eq!(person.source.identities(), ["Ann", "Bob"]);
    let closed =
        WebDatasetConfig { label_gaps: LabelGaps::Close, ..config(set.folder.path()) }.open().unwrap();
    assert_eq!(closed.source.identities(), ["5", "7"]);
    assert!(set.sentence().contains("set label_gaps = \"close\""));
}

#[test]
fn samples_that_are_not_are_one_sentence() {
    for (members, reason) in [
        (
            &[("1.jpg", &b"x"[..])][..],
            "DIR/x.tar, \"1.jpg\": its sample has no label; a .cls or .json member of the same name is expected",
        ),
        (
            &[("1.jpg", b"x"), ("1.cls", b"1"), ("1.jpg", b"y"), ("1.cls", b"1")],
            "DIR/x.tar, \"1.jpg\": its sample has a second member .jpg",
        ),
        (
            &[("1.jpg", b"x"), ("1.png", b"y"), ("1.cls", b"1")],
            "DIR/x.tar, \"1.png\": its sample has another image, \"1.jpg\"",
        ),
        (&[("1.jpg", b"x"), ("1.cls", b" \n")], "DIR/x.tar, \"1.cls\": its label is empty"),
        (
            &[("1.jpg", b"x"), ("1.cls", b"\xFF")],
            "DIR/x.tar, \"1.cls\": its label cannot be read: line 1 is no UTF-8; if it is text in Latin-1, store it as UTF-8, such as with `iconv -f latin1 -t utf-8`",
        ),
        (
            &[("1.jpg", b"x"), ("1.cls", &[b'a'; 5000])],
            "DIR/x.tar, \"1.cls\": its label has 5000 bytes; 4096 are the most",
        ),
        (
            &[("1.jpg", b"x"), ("1.json", br#"{"label": -1}"#)],
            "DIR/x.tar, \"1.json\": the field \"label\" is -1; a name or a whole number is expected",
        ),
        (
            &[("1.jpg", b"x"), ("1.json", br#"{"label": 0.5}"#)],
            "DIR/x.tar, \"1.json\": the field \"label\" is 0.5; a name or a whole number is expected",
        ),
        (
            &[("1.jpg", b"x"), ("1.json", b"{")],
            "DIR/x.tar, \"1.json\": a JSON object is expected: EOF while parsing an object at line 1 column 1",
        ),
        (
            &[("new\nline.jpg", b"x")],
            "DIR/x.tar, \"new\\x0Aline.jpg\": its sample has no label; a .cls or .json member of the same name is \
             expected",
        ),
    ] {
        assert_eq!(Set::one(members).sentence(), reason);
    }
}

#[test]
fn keys_that_are_cut_at_a_dot_and_endings_of_several_parts_are_named() {
    let cut = "DIR/x.tar, \"m.0abc_1.jpg\": the key of a sample ends at the first dot, so that \"m\" is the key here and \
               \"0abc_1.jpg\" the ending, which is that of no image; name the files without dots before their ending, or \
               set image_key if all images end so";
    let dotted: [Content; 4] =
        [("m.0abc_1.jpg", b"x"), ("m.0abc_1.cls", b"0"), ("m.0abc_2.jpg", b"y"), ("m.0abc_2.cls", b"1")];
    assert_eq!(Set::one(&dotted).sentence(), cut);
    // Others beside them do not hide them.
    let both = [&[("0.jpg", &b"x"[..]), ("0.cls", b"0")], &dotted[..]].concat();
    assert_eq!(Set::one(&both).sentence(), cut);

    let compound =
        Set::one(&[("1.input.jpg", b"x"), ("1.cls", b"0"), ("2.input.jpg", b"y"), ("2.cls", b"1")]);
    assert!(compound.sentence().contains("\"1\" is the key here and \"input.jpg\" the ending"));
    let keyed = WebDatasetConfig { image_key: Some("input.jpg".into()), ..config(compound.folder.path()) };
    assert_eq!(images(keyed.open().unwrap().source.as_ref())[1], ("2".into(), 1, b"y".to_vec()));
}

#[test]
fn members_of_a_sample_that_do_not_follow_one_another_are_named() {
    for members in [
        [("0.jpg", &b"x"[..]), ("1.jpg", b"y"), ("0.cls", b"0"), ("1.cls", b"1")],
        [("0.cls", &b"0"[..]), ("1.cls", b"1"), ("0.jpg", b"x"), ("1.jpg", b"y")],
    ] {
        assert_eq!(
            Set::one(&members).sentence(),
            "DIR/x.tar, \"0.jpg\": its label, \"0.cls\", is elsewhere in the archive; the members of a sample have to \
             follow one another, as tar --sort=name stores them"
        );
    }
}

#[test]
fn fields_of_json_without_the_label_are_named() {
    let set = Set::one(&[("0.jpg", b"x"), ("0.json", br#"{"meta": {"person": 3}}"#)]);
    assert_eq!(
        set.sentence(),
        "DIR/x.tar, \"0.jpg\": its .json has the fields \"meta\", and not label, cls or class; set label_key to the one \
         that is the label"
    );
    let keyed = WebDatasetConfig {
        label_key: Some("meta.person".into()),
        label_gaps: LabelGaps::Close,
        ..config(set.folder.path())
    };
    assert_eq!(keyed.open().unwrap().source.identities(), ["3"]);
    assert!(Set::one(&[("0.jpg", b"x"), ("0.json", b"[0]")]).sentence().contains("its .json is no object"));
}

#[test]
fn archives_that_hold_nothing_or_are_cut_are_told() {
    let set = Set::new(&[("a.tar", &[("0.jpg", b"x"), ("0.cls", b"0")]), ("b.tar", &[]), ("c.tar", &[])]);
    fs::write(set.folder.path().join("c.tar"), b"").unwrap();
    let path = set.folder.path().join("a.tar");
    let whole = fs::read(&path).unwrap();
    let notes = || -> Vec<String> {
        let folder = set.folder.path().display().to_string();
        set.open().summary.notes.iter().map(|note| note.replace(&folder, "DIR")).collect()
    };
    assert_eq!(notes(), ["2 archives hold no images, such as DIR/b.tar"]);
    // Cut behind a member.
    fs::write(&path, &whole[..2048]).unwrap();
    assert_eq!(
        notes()[0],
        "1 archive ends without the empty blocks that mark its end, and may be cut short: DIR/a.tar"
    );
}

#[test]
fn what_is_no_image_is_left_out_and_counted() {
    let set = Set::one(&[
        ("1.jpg", b"x"),
        ("1.cls", b"0"),
        ("2.jpg", b""),
        ("2.cls", b"1"),
        ("3.cls", b"1"),
        (".DS_Store", b"x"),
        ("a/._4.jpg", b"x"),
        ("README", b"x"),
    ]);
    let mut bytes = fs::read(set.folder.path().join("x.tar")).unwrap();
    bytes.truncate(bytes.len() - 1024);
    let mut builder = Builder::new(bytes);
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Directory] {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path("1.jpg").unwrap();
        header.set_link_name("/etc/passwd").unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
    }
    fs::write(set.folder.path().join("x.tar"), builder.into_inner().unwrap()).unwrap();
    assert_eq!(
        set.open().summary.to_string(),
        "1 image of 1 identity; left out: 1 sample without an image, 1 empty image, 3 links or devices"
    );
}

#[test]
fn names_that_lead_out_of_a_folder_are_only_names() {
    let set = Set::one(&[
        ("../../up.jpg", b"x"),
        ("../../up.cls", b"0"),
        ("/etc/a.jpg", b"y"),
        ("/etc/a.cls", b"0"),
    ]);
    let read = images(set.open().source.as_ref());
    assert_eq!(read[0], ("../../up".into(), 0, b"x".to_vec()));
    assert_eq!(read[1], ("/etc/a".into(), 0, b"y".to_vec()));
}

#[test]
fn archives_that_cannot_be_used_are_one_sentence() {
    let set = Set::one(&[("1.jpg", &[7; 5000]), ("1.cls", b"0")]);
    let path = set.folder.path().join("x.tar");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..3000]).unwrap();
    assert_eq!(
        set.sentence(),
        "DIR/x.tar, byte 512: a member claims 5000 bytes, and the file ends after 2488"
    );
    let compressed = "it is compressed, so that images cannot be read in any order; decompress it";
    fs::write(&path, [0x1F, 0x8B, 8, 0]).unwrap();
    assert_eq!(set.sentence(), format!("DIR/x.tar: {compressed}"));
    fs::rename(&path, set.folder.path().join("x.tar.gz")).unwrap();
    assert_eq!(set.sentence(), format!("DIR/x.tar.gz: {compressed}"));
    assert_eq!(SourceConfig::of_path(&set.folder.path().join("x.tar.gz")).unwrap().kind.kind(), "webdataset");
    fs::remove_file(set.folder.path().join("x.tar.gz")).unwrap();
    assert_eq!(set.sentence(), "DIR: it holds no .tar files");
    let Err(error) = config(Path::new("no/x.tar")).open() else { panic!("it is a set") };
    assert_eq!(error.to_string(), "there is no no/x.tar; a tar file, or a folder of them, is expected");
    // A label of 4 GiB is not read.
    let mut header = Header::new_gnu();
    header.set_path("1.cls").unwrap();
    header.set_size(1 << 32);
    header.set_cksum();
    fs::write(&path, header.as_bytes()).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(1 << 33).unwrap();
    assert_eq!(
        set.sentence(),
        "DIR/x.tar, byte 512: a label of 4294967296 bytes is claimed; 1048576 are the most"
    );
}

#[test]
fn an_image_that_changes_under_the_set_is_an_error_of_its_own() {
    let set = Set::one(&[("1.jpg", b"x"), ("1.cls", b"0"), ("2.jpg", b"y"), ("2.cls", b"0")]);
    let source = set.open().source;
    let path = set.folder.path().join("x.tar");
    File::options().write(true).open(&path).unwrap().set_len(512).unwrap();
    let error = source.stored(1).unwrap_err().to_string();
    assert!(error.contains("x.tar, byte 2048: byte 2048 of the archive: it cannot be read"), "{error}");
    assert_eq!(source.key(1), "byte 2048");
}

#[test]
fn the_fingerprint_is_of_names_sizes_and_labels() {
    let print = |members: &[Content]| Set::one(members).open().source.fingerprint();
    let before = print(&[("1.jpg", b"x"), ("1.cls", b"0")]);
    assert_eq!(before.len(), 64);
    assert_eq!(before, print(&[("1.jpg", b"z"), ("1.cls", b"0")]));
    assert_ne!(before, print(&[("2.jpg", b"x"), ("2.cls", b"0")]));
    assert_ne!(before, print(&[("1.jpg", b"xx"), ("1.cls", b"0")]));
    assert_ne!(before, print(&[("1.jpg", b"x"), ("1.cls", b"1")]));
}

/// `reference/write_records.py` has written it with webdataset.
#[test]
fn shards_that_webdataset_wrote_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/webdataset.tar");
    let opened = config(&path).open().unwrap();
    assert_eq!(opened.summary.to_string(), "6 images of 3 identities");
    let expected = [0, 1, 2, 3, 4, 5].map(|number| {
        let folder = if number == 4 { "long/".repeat(30) } else { String::new() };
        let label = [0, 0, 1, 1, 1, 2][number];
        (format!("{folder}{number:04}"), label, crate::formats::reference_content(number))
    });
    assert_eq!(images(opened.source.as_ref()), expected);
}

#[test]
fn a_tar_file_of_something_else_is_told_from_a_set() {
    let Some(fixtures) = crate::formats::shared_fixtures() else { return };
    // Its labels are in a list of their own.
    let Err(error) = config(&fixtures.join("small_dataset.tar")).open() else { panic!("it is a set") };
    assert!(error.to_string().contains("its sample has no label; a .cls or .json member"), "{error}");
}

/// Damaged files are a set or a sentence, whatever the damage.
#[test]
fn damaged_bytes_never_panic() {
    let mut stream = Stream::new(13, Purpose::SyntheticPicture, 0, 0);
    let set =
        Set::one(&[("1.jpg", &[7; 700]), ("1.json", br#"{"label": 1}"#), ("2.jpg", b"x"), ("2.cls", b"0")]);
    let path = set.folder.path().join("x.tar");
    let whole = fs::read(&path).unwrap();
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        for _ in 0..stream.below(4) {
            let block = stream.below(bytes.len() / 512) * 512;
            let at = block + stream.below(345);
            bytes[at] = stream.bits() as u8;
            // Most damage would be found by the checksum alone.
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&bytes[block..block + 512]);
            header.set_cksum();
            bytes[block..block + 512].copy_from_slice(header.as_bytes());
        }
        bytes.truncate(bytes.len() - stream.below(3) * stream.below(bytes.len() / 3));
        fs::write(&path, bytes).unwrap();
        match config(&path).open() {
            Ok(opened) => (0..opened.source.len()).for_each(|index| {
                let _ = (opened.source.stored(index), opened.source.key(index));
            }),
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
}
