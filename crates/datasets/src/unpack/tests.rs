//! Archives made by hand, each with one thing that must not get through.

use std::{collections::BTreeMap, io::Write};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

/// An entry of a tar archive: a header of ustar and the content.
fn entry(name: &[u8], kind: u8, link: &[u8], content: &[u8]) -> Vec<u8> {
    sized(name, kind, link, content.len() as u64, content)
}

/// The same with a size of its own.
fn sized(name: &[u8], kind: u8, link: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o6777);
    header.set_size(size);
    let fields = header.as_old_mut();
    fields.name[..name.len()].copy_from_slice(name);
    fields.linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    entry(name.as_bytes(), b'0', b"", content)
}

/// A record of pax.
fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (1..).find(|length: &usize| length.to_string().len() + rest.len() == *length).unwrap();
    format!("{length}{rest}").into_bytes()
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.extend([0; 1024]);
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zip archive of files; the kind and mode of each can be set.
fn zip(entries: &[(&str, &[u8], Option<u32>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, content, _) in entries {
        writer.start_file(*name, SimpleFileOptions::default().unix_permissions(0o644)).unwrap();
        writer.write_all(content).unwrap();
    }
    let mut bytes = writer.finish().unwrap().into_inner();
    // The mode is in the upper half of the external attributes of the central directory.
    let starts =
        bytes.windows(4).enumerate().filter(|(_, four)| *four == b"PK\x01\x02").map(|(start, _)| start);
    let starts: Vec<usize> = starts.collect();
    for (start, (_, _, mode)) in starts.into_iter().zip(entries) {
        if let Some(mode) = mode {
            bytes[start + 40..start + 42].copy_from_slice(&(*mode as u16).to_le_bytes());
        }
    }
    bytes
}

/// A folder with an archive, and what is to be unpacked beside it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(archive: &[u8]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.path("here")).unwrap();
        fs::write(place.path("here/archive"), archive).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn unpack(&self, packing: Packing, limits: &Limits) -> Result<UnpackedContent, UnpackError> {
        let stop = Stop::default();
        let (archive, out) = (self.path("here/archive"), self.path("here/out"));
        unpack(&archive, packing, &out, limits, &stop, &mut || Ok(()), &mut |_| {})
    }

    /// Every file below, with its content, and every folder.
    fn tree(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        fn walk(folder: &Path, root: &Path, tree: &mut BTreeMap<String, Option<Vec<u8>>>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                let kind = fs::symlink_metadata(&path).unwrap().file_type();
                assert!(kind.is_dir() || kind.is_file(), "{name}");
                if kind.is_dir() {
                    walk(&path, root, tree);
                }
                tree.insert(name, kind.is_file().then(|| fs::read(&path).unwrap()));
            }
        }
        let mut tree = BTreeMap::new();
        walk(self.folder.path(), self.folder.path(), &mut tree);
        tree
    }

    /// Nothing is there but the archive.
    fn is_untouched(&self) {
        let names: Vec<String> = self.tree().into_keys().collect();
        assert_eq!(names, ["here", "here/archive"]);
    }
}

/// The archive is refused with a sentence, and nothing comes out of it.
fn refused(archive: &[u8], packing: Packing, limits: &Limits, expected: &str) {
    let place = Place::new(archive);
    let message = place.unpack(packing, limits).unwrap_err().to_string();
    assert!(message.contains(expected), "{message}, not {expected}");
    assert!(message.contains("archive") && !message.contains('\n') && message.len() < 400, "{message}");
    place.is_untouched();
}

fn refused_tar(entries: &[Vec<u8>], expected: &str) {
    refused(&tar(entries), Packing::Tar, &Limits::default(), expected);
    refused(&gz(&tar(entries)), Packing::TarGz, &Limits::default(), expected);
}

/// Found by fuzzing.
#[test]
fn what_the_library_quotes_is_one_line() {
    let mut header = tar::Header::new_ustar();
    let fields = header.as_old_mut();
    fields.name[..5].copy_from_slice(b"a\nb\x07c");
    fields.size = *b"one and half";
    header.set_cksum();
    refused_tar(&[header.as_bytes().to_vec()], "numeric field was not a number");
}

#[test]
fn files_and_folders_come_out_as_they_are() {
    let long = format!("{}/{}.jpg", "n".repeat(200), "m".repeat(200));
    let entries = [
        entry(b"pax_global_header", b'g', b"", &pax("comment", "made by hand")),
        entry(b"set/", b'5', b"", b""),
        file("set/a/1.jpg", b"one"),
        file("./set/a/2.jpg", b""),
        file("set/a//3.jpg", &[3; 100_000]),
        entry(b"set/b/", b'0', b"", b""),
        entry(b"././@LongLink", b'L', b"", format!("set/{long}\0").as_bytes()),
        file("set/cut", b"long"),
        entry(b"PaxHeaders/x", b'x', b"", &[pax("mtime", "1.5"), pax("path", "set/Zo\u{eb}/4.jpg")].concat()),
        file("set/cut", b"four"),
    ];
    let archive = tar(&entries);
    // Compressed in two pieces, as parallel compressors do.
    let two_pieces = [gz(&archive[..1500]), gz(&archive[1500..])].concat();
    let zipped = zip(&[
        ("set/a/1.jpg", b"one", None),
        ("set/a/2.jpg", b"", Some(0o100_644)),
        ("set/a/3.jpg", &[3; 100_000], Some(0)),
        ("set/b/", b"", Some(0o040_755)),
        (&format!("set/{long}"), b"long", None),
        ("set/Zo\u{eb}/4.jpg", b"four", None),
    ]);
    for (packing, archive) in [(Packing::Tar, archive), (Packing::TarGz, two_pieces), (Packing::Zip, zipped)]
    {
        let place = Place::new(&archive);
        let unpacked = place.unpack(packing, &Limits { strip: 1, ..Default::default() }).unwrap();
        assert_eq!(unpacked, UnpackedContent { files: 5, folders: 4, bytes: 100_011 }, "{packing}");
        let tree = place.tree();
        let file = |name: &str| tree[&format!("here/out/{name}")].clone();
        assert_eq!(file("a/1.jpg").unwrap(), b"one");
        assert_eq!(file("a/2.jpg").unwrap(), b"");
        assert_eq!(file("a/3.jpg").unwrap(), [3; 100_000]);
        assert_eq!(file("b"), None);
        assert_eq!(file(&long).unwrap(), b"long");
        assert_eq!(file("Zo\u{eb}/4.jpg").unwrap(), b"four");
        assert_eq!(tree.len(), 2 + 1 + 9);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(place.path("here/out/a/1.jpg")).unwrap().permissions().mode();
            assert_eq!(mode & 0o7111, 0, "{mode:o}");
        }
        let message = place.unpack(packing, &Limits::default()).unwrap_err().to_string();
        assert!(message.contains("out is there already"), "{message}");
    }
}

#[test]
fn no_path_leaves_the_folder() {
    for (name, expected) in [
        ("../outside", "leads out of its folder"),
        ("a/../../../outside", "leads out of its folder"),
        ("/outside", "has an absolute path"),
        ("..\\outside", "backslash"),
        ("C:\\outside", "backslash"),
        ("c:outside", "the letter of a drive"),
        ("a/\u{7}", "control character"),
        ("a\nb", "control character"),
    ] {
        refused_tar(&[file("good", b"1"), file(name, b"x")], expected);
        refused_tar(&[file("good", b"1"), entry(name.as_bytes(), b'5', b"", b"")], expected);
        refused(
            &zip(&[("good", b"1", None), (name, b"x", None)]),
            Packing::Zip,
            &Limits::default(),
            expected,
        );
        // In the places of long names.
        refused_tar(&[entry(b"x", b'L', b"", name.as_bytes()), file("good", b"x")], expected);
        if !name.contains('\n') {
            refused_tar(&[entry(b"x", b'x', b"", &pax("path", name)), file("good", b"x")], expected);
        }
    }
    refused_tar(&[entry(b"\xff\xfe", b'0', b"", b"x")], "not UTF-8");
    // Nor does one that is left out.
    let limits = Limits { strip: 1, ..Default::default() };
    refused(&tar(&[file("../outside", b"x")]), Packing::Tar, &limits, "leads out");
    refused(&tar(&[file("top.txt", b"x")]), Packing::Tar, &limits, "lies above the 1 folders");
    refused_tar(&[file("./", b""), entry(b".", b'0', b"", b"x")], "a file without a name");
}

#[test]
fn links_and_devices_are_refused_and_nothing_is_written_through_them() {
    for (kind, link, expected) in [
        (b'2', &b"/etc"[..], "is a symbolic link"),
        (b'2', b"..", "is a symbolic link"),
        (b'2', b"good", "is a symbolic link"),
        (b'1', b"/etc/passwd", "is a hard link"),
        (b'1', b"good", "is a hard link"),
        (b'3', b"", "is a device"),
        (b'4', b"", "is a device"),
        (b'6', b"", "is a named pipe"),
        (b'S', b"", "is a sparse file"),
        (b'K', b"", "of the kind \"K\""),
        (b'V', b"", "of the kind \"V\""),
    ] {
        // The link, and then a file of the same name or below it.
        refused_tar(
            &[file("good", b"1"), entry(b"link", kind, link, b""), file("link/outside", b"x")],
            expected,
        );
        refused_tar(&[entry(b"link", kind, link, b""), file("link", b"x")], expected);
    }
    for mode in [0o120_777, 0o020_666, 0o060_666, 0o010_666, 0o140_777] {
        let archive = zip(&[("link", b"/etc/passwd", Some(mode)), ("link/outside", b"x", None)]);
        refused(&archive, Packing::Zip, &Limits::default(), "is a link or a device");
    }
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    refused_tar(&[file("a/b", b"1"), file("a/b", b"2")], "is there twice");
    refused_tar(&[file("a/b", b"1"), file("./a//b", b"2")], "is there twice");
    refused_tar(&[file("a", b"1"), file("a/b", b"2")], "a file in another entry");
    refused_tar(&[file("a/b", b"1"), file("a", b"2")], "is there twice");
    refused(
        &zip(&[("a/b", b"1", None), ("a//b", b"2", None)]),
        Packing::Zip,
        &Limits::default(),
        "is there twice",
    );
    let name = |name: &[u8]| entry(b"x", b'L', b"", name);
    refused_tar(&[name(b"a"), name(b"b"), file("c", b"1")], "a second time");
    refused_tar(&[name(b"a"), entry(b"x", b'x', b"", &pax("path", "b")), file("c", b"1")], "a second time");
}

#[test]
fn bombs_end_at_the_limits() {
    let zeros = vec![0; 3 << 20];
    let limits = Limits { bytes: 2 << 20, ratio: u64::MAX, ..Default::default() };
    let bytes = "holds more than 2097152 bytes";
    let archive = tar(&[file("a", &zeros)]);
    refused(&archive, Packing::Tar, &limits, bytes);
    refused(&gz(&archive), Packing::TarGz, &limits, bytes);
    refused(&zip(&[("a", &zeros, None)]), Packing::Zip, &limits, bytes);
    let half = &zeros[..3 << 19];
    refused(&tar(&[file("a", half), file("b", half)]), Packing::Tar, &limits, bytes);
    refused(&zip(&[("a", half, None), ("b", half, None)]), Packing::Zip, &limits, bytes);
    // By the size of the archive.
    let limits = Limits { ratio: 100, ..Default::default() };
    refused(&gz(&archive), Packing::TarGz, &limits, "holds more than 100 times its own size");
    refused(&zip(&[("a", &zeros, None)]), Packing::Zip, &limits, "holds more than 100 times its own size");
    // Files, folders, and folders that only a path names.
    let limits = Limits { entries: 5, ..Default::default() };
    let many: Vec<_> = (0..6).map(|i| file(&format!("{i}"), b"")).collect();
    refused(&tar(&many), Packing::Tar, &limits, "more than 5 files and folders");
    refused(&tar(&[file("a/b/c/d/e/f", b"")]), Packing::Tar, &limits, "more than 5 files and folders");
    let names: Vec<String> = (0..6).map(|i| i.to_string()).collect();
    let many: Vec<(&str, &[u8], _)> = names.iter().map(|name| (name.as_str(), &b""[..], None)).collect();
    refused(&zip(&many), Packing::Zip, &limits, "more than 5 files and folders");
    refused_tar(
        &[file("a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/a/b/c/d/e/f/g", b"")],
        "folders deep",
    );
    // Names as large as a file.
    let huge = sized(b"x", b'L', b"", 1 << 40, b"");
    refused_tar(&[huge], "bytes of attributes, and 65536 are allowed");
    refused_tar(&[sized(b"x", b'x', b"", 1 << 40, b"")], "bytes of attributes");
    refused_tar(&[sized(b"x", b'g', b"", 1 << 40, b"")], "bytes of attributes");
    refused_tar(&[entry(b"x", b'L', b"", &[b'a'; 5000]), file("b", b"")], "4096 are allowed");
    // What describes entries, without end.
    let limits = Limits { entries: 1, bytes: 1, ..Default::default() };
    let comments = vec![entry(b"x", b'g', b"", &[b'#'; 60_000]); 10];
    refused(&tar(&comments), Packing::Tar, &limits, "and what describes them");
}

#[test]
fn sizes_that_lie_are_refused() {
    refused_tar(&[sized(b"a", b'0', b"", 1 << 62, b"x")], "holds more than");
    refused(&sized(b"a", b'0', b"", 3000, b"x"), Packing::Tar, &Limits::default(), "says that it has 3000");
    refused_tar(&[entry(b"x", b'x', b"", &pax("size", "3")), file("a", b"12345")], "gives the size");
    refused_tar(&[entry(b"x", b'x', b"", &pax("GNU.sparse.major", "1")), file("a", b"1")], "a sparse file");
    let mut archive = zip(&[("a", b"12345", None)]);
    // The size in the central directory.
    let start = archive.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    archive[start + 24] = 3;
    refused(&archive, Packing::Zip, &Limits::default(), "has more than the 3 bytes");
}

#[test]
fn what_is_damaged_is_refused() {
    let whole = tar(&[file("a", &[1; 3000]), file("b", b"2")]);
    refused(&gz(&whole)[..40], Packing::TarGz, &Limits::default(), "incomplete deflate stream");
    refused(&whole[..1000], Packing::Tar, &Limits::default(), "has 488 bytes, and says that it has 3000");
    refused(b"not an archive at all", Packing::TarGz, &Limits::default(), "cannot read");
    refused(b"not an archive at all", Packing::Zip, &Limits::default(), "cannot read");
    let mut flipped = whole;
    flipped[5] ^= 1;
    refused(&flipped, Packing::Tar, &Limits::default(), "checksum");
    refused_tar(&[entry(b"x", b'L', b"", b"a")], "the archive ends before it");
    let mut archive = zip(&[("a", b"12345", None)]);
    let content = archive.windows(5).position(|five| five == b"12345");
    // Stored or deflated, a byte of the data is another one.
    archive[content.unwrap_or(31)] ^= 0xff;
    refused(&archive, Packing::Zip, &Limits::default(), "cannot be read");
    refused(&[], Packing::None, &Limits::default(), "it is not packed");
}

#[test]
fn an_encrypted_zip_says_so() {
    let mut archive = zip(&[("a", b"12345", None)]);
    for (mark, flags) in [(b"PK\x01\x02", 8), (b"PK\x03\x04", 6)] {
        let start = archive.windows(4).position(|four| four == mark).unwrap();
        archive[start + flags] |= 1;
    }
    refused(&archive, Packing::Zip, &Limits::default(), "is encrypted; unpack it yourself");
}

#[test]
fn stopping_or_failing_leaves_nothing_and_leftovers_go() {
    let archive = tar(&[file("a", b"1"), file("b", b"2")]);
    let place = Place::new(&archive);
    let (path, out) = (place.path("here/archive"), place.path("here/out"));
    let limits = Limits::default();
    let stop = Stop::default();
    let stopped = unpack(&path, Packing::Tar, &out, &limits, &stop, &mut || Ok(()), &mut |_| {
        stop.ask();
    });
    assert!(matches!(stopped, Err(UnpackError::Stopped { .. })), "{stopped:?}");
    place.is_untouched();
    let stop = Stop::default();
    let mut fails = || Err(io::Error::other("the disk is full"));
    let failed = unpack(&path, Packing::Tar, &out, &limits, &stop, &mut fails, &mut |_| {});
    assert!(failed.unwrap_err().to_string().contains("the disk is full"));
    place.is_untouched();
    // What a killed process has left.
    fs::create_dir_all(place.path("here/.unpacking-out-x1/content")).unwrap();
    place.unpack(Packing::Tar, &limits).unwrap();
    assert_eq!(place.tree().len(), 5);
    // While another one is at it.
    fs::remove_dir_all(&out).unwrap();
    let locked = fs::File::open(&path).unwrap();
    locked.lock().unwrap();
    assert!(place.unpack(Packing::Tar, &limits).unwrap_err().to_string().contains("by another process"));
}

#[test]
fn a_single_file_is_decompressed_within_its_limits() {
    let place = Place::new(&gz(&[5; 10_000]));
    let (archive, out) = (place.path("here/archive"), place.path("here/out"));
    let run = |bytes: u64, stop: bool| {
        let limits = Limits { bytes, ..Default::default() };
        let asked = Stop::default();
        if stop {
            asked.ask();
        }
        unpack(&archive, Packing::Gz, &out, &limits, &asked, &mut || Ok(()), &mut |_| {})
    };
    assert!(run(9_999, false).unwrap_err().to_string().contains("holds more than 9999 bytes"));
    assert!(matches!(run(10_000, true), Err(UnpackError::Stopped { .. })));
    place.is_untouched();
    assert_eq!(run(10_000, false).unwrap().bytes, 10_000);
    assert_eq!(fs::read(&out).unwrap(), [5; 10_000]);
    assert!(matches!(run(10_000, false), Err(UnpackError::Occupied { .. })));
    fs::write(&archive, &gz(&[5; 10_000])[..20]).unwrap();
    fs::remove_file(&out).unwrap();
    assert!(matches!(run(10_000, false), Err(UnpackError::Unreadable { .. })));
    place.is_untouched();
}
