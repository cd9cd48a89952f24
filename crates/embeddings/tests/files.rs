//! Files of embeddings of every format: what is written is read, here and by other programs, and damage ends in a
//! sentence.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use facegrad_embeddings::{EmbeddingError, EmbeddingFile, EmbeddingWriter, Origin};
use facegrad_random::{Purpose, Stream};
use facegrad_verification::{Flip, Similarity};
use sha2::{Digest, Sha256};

const FORMATS: [&str; 4] = ["npz", "safetensors", "csv", "parquet"];

/// Notes the largest piece of memory that a thread asks for.
struct Watched;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(bytes: usize) {
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: everything is handed on to the allocator of the system.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

fn origin() -> Origin {
    Origin {
        facegrad: "0.1.0".into(),
        model_sha256: Some("0123456789abcdef".repeat(4)),
        preprocessing: Some("112 x 112, \"RGB\",\n(v − 127.5) / 127.5 # é".into()),
        flip: Flip::Concat,
        scoring: Similarity::Euclidean,
        backend: "flex".into(),
        pixels_sha256: Some("fedcba9876543210".repeat(4)),
        normalised: false,
    }
}

/// What people and programs have called files.
fn awkward() -> Vec<String> {
    let names = [
        "a/1.jpg",
        "with, comma",
        "with \"quotes\"",
        "two\nlines",
        "\r\n",
        "# no comment",
        " spaces ",
        "ü 名前 😀 \u{10ffff}",
        "e\u{301}",
        "\t\\n",
        "NaN",
        "007",
        "",
        "'",
    ];
    names.map(String::from).to_vec()
}

/// Numbers in which every bit matters, among them the limits of f32.
fn numbers(count: usize) -> Vec<f32> {
    let mut stream = Stream::new(7, Purpose::Benchmark, 0, 0);
    let limits = [0.0, -0.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, f32::from_bits(1), 0.1, 1.0 / 3.0];
    let normal = std::iter::repeat_with(|| stream.normal());
    limits.into_iter().chain(normal).take(count).collect()
}

struct Content {
    dim: usize,
    names: Vec<String>,
    identities: Option<Vec<String>>,
    rows: Vec<f32>,
    origin: Option<Origin>,
}

impl Content {
    fn new(dim: usize, with_identities: bool, origin: Option<Origin>) -> Self {
        let names = awkward();
        let identities =
            with_identities.then(|| names.iter().rev().map(|name| name.repeat(2)).collect::<Vec<_>>());
        let rows = numbers(names.len() * dim);
        Self { dim, names, identities, rows, origin }
    }

    fn many(rows: usize, dim: usize) -> Self {
        let names: Vec<String> = (0..rows).map(|i| format!("{i}")).collect();
        Self { dim, names, identities: None, rows: numbers(rows * dim), origin: Some(origin()) }
    }

    /// Writes it in batches of `batch`.
    fn write(&self, path: &Path, batch: usize) {
        let mut writer = EmbeddingWriter::create(path, self.dim, self.origin.as_ref()).unwrap();
        for start in (0..self.names.len()).step_by(batch) {
            let range = start..self.names.len().min(start + batch);
            let identities = self.identities.as_ref().map(|identities| &identities[range.clone()]);
            let rows = &self.rows[range.start * self.dim..range.end * self.dim];
            writer.append(&self.names[range], identities, rows).unwrap();
        }
        writer.finish().unwrap();
    }

    fn check(&self, path: &Path) {
        let file = EmbeddingFile::open(path).unwrap();
        assert_eq!((file.len(), file.dim()), (self.names.len(), self.dim), "{path:?}");
        assert_eq!(file.names(), self.names, "{path:?}");
        assert_eq!(file.identities(), self.identities.as_deref(), "{path:?}");
        assert_eq!(file.origin(), self.origin.as_ref(), "{path:?}");
        assert_eq!(bits(&file.all().unwrap()), bits(&self.rows), "{path:?}");
        for (row, name) in self.names.iter().enumerate().step_by(1 + self.names.len() / 50) {
            assert_eq!(file.position(name), Some(row));
            let mut out = vec![0.0; self.dim];
            file.read_row(row, &mut out).unwrap();
            assert_eq!(bits(&out), bits(&self.rows[row * self.dim..(row + 1) * self.dim]), "{path:?}");
        }
        assert_eq!(file.position("absent"), None);
    }
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn what_is_written_is_read() {
    let folder = folder();
    for extension in FORMATS {
        let path = folder.path().join("e").with_extension(extension);
        for content in [
            Content::new(5, true, Some(origin())),
            Content::new(5, false, None),
            Content::new(1, true, None),
            Content::new(300, false, Some(origin())),
            // More than a batch of rows, and in parquet more than a group.
            Content::many(9001, 640),
        ] {
            for batch in [4, 4096] {
                content.write(&path, batch);
                content.check(&path);
            }
        }
    }
    // Every file replaced the one before, and nothing else is left.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FORMATS.len());
}

#[test]
fn an_empty_set_keeps_its_dimension() {
    for extension in FORMATS {
        let path = folder().keep().join("e").with_extension(extension);
        let content =
            Content { dim: 7, names: vec![], identities: None, rows: vec![], origin: Some(origin()) };
        content.write(&path, 1);
        content.check(&path);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}

#[test]
fn what_does_not_go_together_is_not_written() {
    let folder = folder();
    let path = folder.path().join("e.csv");
    fs::write(&path, "before").unwrap();
    let name = |name: &str| vec![name.to_string()];
    let text = |error: EmbeddingError| error.to_string();
    let create = |path: &Path, dim| EmbeddingWriter::create(path, dim, None);
    let other = text(create(&folder.path().join("e.pkl"), 2).unwrap_err());
    assert!(other.contains(".npz, .safetensors, .csv, .parquet"), "{other}");
    assert!(text(create(&folder.path().join("absent/e.csv"), 2).unwrap_err()).contains("cannot write"));
    assert!(create(&path, 0).is_err() && create(&path, 1 << 30).is_err());

    let mut writer = create(&path, 2).unwrap();
    assert!(text(writer.append(&name("a"), None, &[1.0]).unwrap_err()).contains("1 numbers are not"));
    let error = text(writer.append(&name("a b"), None, &[1.0, f32::NAN]).unwrap_err());
    assert!(error.contains("embedding of \"a b\"") && error.contains("not finite"), "{error}");
    assert!(writer.append(&name("a"), Some(&[]), &[1.0, 2.0]).is_err());
    writer.append(&name("a"), Some(&name("x")), &[1.0, 2.0]).unwrap();
    assert!(text(writer.append(&name("b"), None, &[1.0, 2.0]).unwrap_err()).contains("0 identities"));
    writer.append(&name("a"), Some(&name("y")), &[1.0, 2.0]).unwrap();
    let error = text(writer.finish().unwrap_err());
    assert!(error.contains("rows 0 and 1 are both named \"a\""), "{error}");

    for bad in ["zero\0", &"x".repeat(5000)] {
        let mut writer = create(&path, 2).unwrap();
        writer.append(&name(bad), None, &[1.0, 2.0]).unwrap();
        assert!(writer.finish().is_err());
    }
    // What was there before is there still, and nothing else.
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn rows_are_read_within_the_file_and_finite() {
    let folder = folder();
    let path = folder.path().join("e.safetensors");
    Content::many(4, 2).write(&path, 4);
    let file = EmbeddingFile::open(&path).unwrap();
    let mut out = [0.0; 4];
    file.read_rows(1..3, &mut out).unwrap();
    file.read_rows(4..4, &mut []).unwrap();
    assert!(file.read_rows(3..5, &mut out).is_err());
    assert!(file.read_rows(1..4, &mut out).unwrap_err().to_string().contains("4 rows of 2 numbers"));
    assert!(file.read_row(usize::MAX, &mut out[..2]).is_err());

    let whole = fs::read(&path).unwrap();
    let data = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut bytes = whole.clone();
        bytes[data + 20..data + 24].copy_from_slice(&number.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let file = EmbeddingFile::open(&path).unwrap();
        file.read_rows(0..2, &mut out).unwrap();
        let error = file.all().unwrap_err().to_string();
        assert!(error.contains("embedding of \"2\"") && error.contains("not finite"), "{error}");
    }
    let path = path.with_extension("csv");
    fs::write(&path, "name,e0\na,1\nb,inf\n").unwrap();
    assert!(EmbeddingFile::open(&path).unwrap().all().unwrap_err().to_string().contains("of \"b\""));
}

#[test]
fn text_that_is_no_embeddings_names_its_line() {
    let folder = folder();
    let path = folder.path().join("e.csv");
    let origin =
        "# facegrad origin {\"facegrad\":\"1\",\"flip\":\"none\",\"scoring\":\"cosine\",\"backend\":\"b\"}\n";
    for (text, sentence) in [
        (String::new(), "line 1 is not the header"),
        ("a,b\n".into(), "line 1 is not the header"),
        ("name\n".into(), "line 1 is not the header"),
        ("name,e0,e2\n".into(), "line 1 is not the header"),
        (format!("{origin}a,b\n"), "line 2 is not the header"),
        ("name,e0,e1\na,1,2\nb,1\n".into(), "line 3 has 2 fields and the header has 3"),
        (format!("{origin}name,e0\na,x\n"), "line 3 has \"x\" where a number"),
        ("# facegrad origin {}\nname,e0\n".into(), "origin is not one"),
        ("# facegrad origin {".into(), "first line"),
        ("name,e0\na,1\na,2\n".into(), "both named \"a\""),
        (format!("name,e0\n\"a{}", "x".repeat(5 << 20)), "quotation mark"),
    ] {
        fs::write(&path, &text).unwrap();
        let error = EmbeddingFile::open(&path).unwrap_err().to_string();
        assert!(error.contains(sentence), "{error}");
    }
    fs::write(&path, b"name,e0\n\xff,1\n").unwrap();
    assert!(
        EmbeddingFile::open(&path)
            .unwrap_err()
            .to_string()
            .contains("line 2 is no UTF-8; if it is text in Latin-1, ")
    );
    fs::write(&path, format!("{origin}name,e0\r\na,1e-3\r\n")).unwrap();
    let file = EmbeddingFile::open(&path).unwrap();
    assert_eq!((file.all().unwrap(), file.origin().unwrap().flip), (vec![1e-3], Flip::None));
}

#[test]
fn parquet_of_other_programs() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(name);
        EmbeddingFile::open(path)
    };
    for name in ["pyarrow_default.parquet", "pyarrow_groups.parquet", "pandas.parquet"] {
        let file = read(name).unwrap();
        assert_eq!((file.len(), file.dim(), file.origin()), (3, 4, None), "{name}");
        let expected: Vec<f32> = (0..12).map(|i| i as f32 / 8.0 - 0.5).collect();
        assert_eq!(file.all().unwrap(), expected, "{name}");
        assert_eq!(file.names(), ["a/1.jpg", "ü, \"b\"\n.jpg", "c 😀"], "{name}");
        let identities = ["a".to_string(), String::new(), "ç".into()];
        assert_eq!(file.identities(), (name != "pyarrow_groups.parquet").then_some(&identities[..]));
    }
    let error = read("pyarrow_ragged.parquet").unwrap_err().to_string();
    assert!(error.contains("every row has to have 2"), "{error}");
}

/// Opens and reads a file that may be anything: it either has the shape it says or gives a sentence, and takes
/// little memory either way.
fn survive(path: &Path) -> Option<String> {
    LARGEST.set(0);
    let result = EmbeddingFile::open(path).and_then(|file| {
        let all = file.all()?;
        assert_eq!(all.len(), file.len() * file.dim());
        assert!(all.iter().all(|number| number.is_finite()));
        Ok(())
    });
    // Damage to the claimed size of a page is only found when its decoder is through.
    let most =
        if path.extension().is_some_and(|extension| extension == "parquet") { 1 << 31 } else { 64 << 20 };
    assert!(LARGEST.get() <= most, "{path:?} asks for {} bytes", LARGEST.get());
    let sentence = result.err()?.to_string();
    assert!(sentence.len() > 20 && sentence.len() < 2000 && !sentence.contains('\n'), "{sentence}");
    Some(sentence)
}

/// Writes a new file: some file systems wait for the disk when one is cut to nothing and written again.
fn replace(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

#[test]
fn damage_ends_in_a_sentence() {
    let folder = folder();
    let mut stream = Stream::new(3, Purpose::Benchmark, 1, 0);
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
    let mut originals: Vec<PathBuf> = [
        "numpy_savez_compressed.npz",
        "numpy_fortran.npz",
        "pyarrow_default.parquet",
        "pyarrow_groups.parquet",
    ]
    .map(|name| reference.join(name))
    .to_vec();
    for extension in FORMATS {
        let path = folder.path().join("original").with_extension(extension);
        Content::new(3, true, Some(origin())).write(&path, 100);
        originals.push(path);
    }
    for original in originals {
        let whole = fs::read(&original).unwrap();
        let path = folder.path().join("damaged").with_extension(original.extension().unwrap());
        let text = path.extension().unwrap() == "csv";
        for length in 0..whole.len() {
            replace(&path, &whole[..length]);
            // Text may end after any of its lines, or within its last number.
            assert!(survive(&path).is_some() || text, "{original:?} cut to {length} bytes");
        }
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..1 + stream.below(4) {
                let at = stream.below(bytes.len());
                let end = bytes.len().min(at + 1 + stream.below(8));
                match stream.below(4) {
                    0 => bytes[at] ^= 1 << stream.below(8),
                    1 => bytes[at..end].fill(0xff),
                    2 => bytes[at..end].fill(0),
                    _ => bytes[at] = stream.below(256) as u8,
                }
            }
            replace(&path, &bytes);
            survive(&path);
        }
    }
}

/// An array as numpy saves it.
fn npy(descr: &str, by_columns: bool, shape: &str, items: &[u8]) -> Vec<u8> {
    let order = if by_columns { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0".as_slice(), &length, header.as_bytes(), items].concat()
}

fn bytes_of(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

#[test]
fn arrays_without_names_are_called_by_their_rows() {
    let folder = folder();
    let path = folder.path().join("e.npy");
    let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let columns = [1.0, 3.0, 5.0, 2.0, 4.0, 6.0];
    for (by_columns, numbers) in [(false, rows), (true, columns)] {
        fs::write(&path, npy("<f8", by_columns, "(3, 2)", &bytes_of(&numbers))).unwrap();
        let file = EmbeddingFile::open(&path).unwrap();
        assert_eq!((file.len(), file.dim(), file.names()[2].as_str()), (3, 2, "2"));
        assert_eq!((file.identities(), file.origin(), file.position("1")), (None, None, Some(1)));
        assert_eq!(file.all().unwrap(), rows.map(|number| number as f32));
    }
    let refuse = |bytes: &[u8], sentence: &str| {
        fs::write(&path, bytes).unwrap();
        let error = survive(&path).unwrap();
        assert!(error.contains(sentence), "{error}");
    };
    let sound = npy("<f8", true, "(3, 2)", &bytes_of(&columns));
    refuse(&sound[..sound.len() - 1], "3 rows of 2 numbers take");
    refuse(&[&sound[..], b"x"].concat(), "3 rows of 2 numbers take");
    refuse(&npy("<f8", true, "(4294967295, 65536)", b""), "take");
    refuse(&npy("<f8", false, "(6,)", &bytes_of(&rows)), "it has 1 axes instead of two");
    refuse(&npy("<i8", false, "(3, 2)", &bytes_of(&rows)), "astype('float32')");
    refuse(b"PK", "it ends too early");
    // Names would have no place there.
    let error = EmbeddingWriter::create(&path, 2, None).unwrap_err().to_string();
    assert!(error.ends_with("files that end in .npz, .safetensors, .csv, .parquet"), "{error}");
    let error = EmbeddingFile::open(folder.path().join("e.txt")).unwrap_err().to_string();
    assert!(error.ends_with("files that end in .npz, .safetensors, .csv, .parquet, .npy"), "{error}");
}

/// A finite number that 32 bits do not hold is neither infinite nor the fault of a model.
#[test]
fn numbers_too_large_for_32_bits_are_named_as_such() {
    use parquet::{
        data_type::{ByteArrayType, DoubleType},
        file::writer::SerializedFileWriter,
        schema::parser::parse_message_type,
    };
    let folder = folder();
    let numbers = [1.0, 2.0, 1e300, 4.0];
    let in_file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        EmbeddingFile::open(&path).and_then(|file| file.all()).unwrap_err().to_string()
    };
    for by_columns in [false, true] {
        let error = in_file("e.npy", &npy("<f8", by_columns, "(2, 2)", &bytes_of(&numbers)));
        let row = if by_columns { "\"row 0\"" } else { "\"1\"" };
        assert!(error.starts_with(&format!("the embedding of {row} in")), "{error}");
        assert!(
            error.ends_with(
                "is finite, but not in the 32 bits that are computed with; scale it, or save it in 32 bits"
            ),
            "{error}"
        );
    }
    let error = in_file("e.csv", b"name,e0,e1\na,1.0,2.0\nb,1e300,4.0\n");
    assert!(error.ends_with("line 3 has \"1e300\" which is too large for 32 bits"), "{error}");
    let error = in_file("e.csv", b"name,e0,e1\na,1.0,2.0\nb,-inf,4.0\n");
    assert!(error.contains("a number that is not finite"), "{error}");

    let path = folder.path().join("e.parquet");
    let schema = "message s { REQUIRED BYTE_ARRAY name (STRING); REQUIRED GROUP embedding (LIST) { REPEATED GROUP list { REQUIRED DOUBLE element; } } }";
    let schema = parse_message_type(schema).unwrap().into();
    let mut out =
        SerializedFileWriter::new(fs::File::create(&path).unwrap(), schema, Default::default()).unwrap();
    let mut group = out.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&["a".into(), "b".into()], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&numbers, Some(&[1; 4]), Some(&[0, 1, 0, 1])).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    out.close().unwrap();
    let error = EmbeddingFile::open(&path).unwrap_err().to_string();
    assert!(error.starts_with("the embedding of \"row 1\" in"), "{error}");
}

/// A zip archive of stored files.
fn hostile_npz(header: &str, data: usize) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file("embeddings.npy", options.compression_method(zip::CompressionMethod::Deflated)).unwrap();
    zip.write_all(b"\x93NUMPY\x01\0").unwrap();
    zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    zip.write_all(header.as_bytes()).unwrap();
    zip.write_all(&vec![0; data]).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn files_made_to_harm_end_in_a_sentence() {
    let folder = folder();
    let refuse = |name: &str, bytes: &[u8], sentence: &str| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = survive(&path).unwrap();
        assert!(error.contains(sentence), "{error}");
    };
    let header = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    refuse("a.npz", &hostile_npz(&header("(4294967295, 65536)"), 8), "take");
    refuse("a.npz", &hostile_npz(&header("(18446744073709551615, 2)"), 8), "there may be");
    refuse("a.npz", &hostile_npz(&header("(2, 0)"), 0), "there may be");
    refuse("a.npz", &hostile_npz(&header("(2, 1, 1)"), 8), "3 axes");
    refuse(
        "a.npz",
        &hostile_npz(&header("(2, 1)"), 8),
        "no array called names; it has embeddings, and embeddings",
    );
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["arr_0.npy", "arr_1.npy"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
    }
    let positional = zip.finish().unwrap().into_inner();
    refuse(
        "a.npz",
        &positional,
        "it has no array called embeddings; it has arr_0, arr_1, and embeddings [rows, dim] and",
    );
    refuse("a.npz", &hostile_npz(&header("(3, 1)"), 8), "has");
    // An end record of 64 bits that claims 2^40 files in a directory as large as it likes.
    let mut zip64 = b"PK\x06\x06".to_vec();
    zip64.extend([44_u64.to_le_bytes(), [0; 8], [0; 8]].concat()[..20].iter());
    zip64.extend([1_u64 << 40, 1 << 40, 1 << 46, 0].map(u64::to_le_bytes).concat());
    zip64.extend(b"PK\x06\x07\0\0\0\0");
    zip64.extend(0_u64.to_le_bytes());
    zip64.extend([1, 0, 0, 0]);
    zip64.extend(b"PK\x05\x06\0\0\0\0");
    zip64.extend([0xff; 12]);
    zip64.extend([0, 0]);
    refuse("a.npz", &zip64, "an archive of 1099511627776 files");

    let tensors =
        |header: &str, data: &[u8]| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
    let safetensors =
        |header: &str, data: &[u8], sentence: &str| refuse("a.safetensors", &tensors(header, data), sentence);
    refuse("a.safetensors", &u64::MAX.to_le_bytes(), "truncated");
    safetensors("{}", b"", "no tensor called embeddings; it has none, and embeddings and names are expected");
    safetensors(&"[".repeat(100_000), b"", "header is not");
    let embeddings = |shape: &str, end: u64| {
        format!(r#"{{"embeddings":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    safetensors(&embeddings("[4294967295,65536]", 1 << 50), b"", "header is not");
    safetensors(&embeddings("[4294967295,65536]", 4_294_967_295 * 65_536 * 4), b"", "truncated");
    safetensors(&embeddings("[1,1]", u64::MAX), b"", "header is not");
    safetensors(&embeddings("[2,2]", 8), &[0; 8], "header is not");
    safetensors(&embeddings("[4,0]", 0), b"", "there may be");
    safetensors(&embeddings("[1,2]", 8), &[0; 8], "no tensor called names");
    let named = |names: &str| {
        let end = 8 + names.len();
        let header = format!(
            r#"{{"embeddings":{{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}},"names":{{"dtype":"U8","shape":[{}],"data_offsets":[8,{end}]}}}}"#,
            names.len()
        );
        tensors(&header, &[&[0; 8], names.as_bytes()].concat())
    };
    for (names, sentence) in [
        (r#"["a"]"#.to_string(), "fewer texts than rows"),
        (format!("[{}\"\"]", "\"\",".repeat(100_000)), "more texts than rows"),
        (r#"["a", 1]"#.into(), "expected a string"),
        (r#"["a", "b"] x"#.into(), "trailing"),
        ("[".repeat(100_000), "names"),
        (format!("[\"{}\", \"b\"]", "a".repeat(5000)), "5000 bytes"),
        (r#"["a", "a"]"#.into(), "both named"),
    ] {
        refuse("a.safetensors", &named(&names), sentence);
    }
    fs::create_dir(folder.path().join("b.npz")).unwrap();
    assert!(survive(&folder.path().join("b.npz")).unwrap().contains("no regular file"));
    assert!(survive(&folder.path().join("absent.csv")).unwrap().contains("cannot read"));
}

/// Found by the fuzz target `embedding_file`: what an error quotes of a file may hold line ends.
#[test]
fn errors_that_quote_a_file_are_one_line() {
    let folder = folder();
    let path = folder.path().join("x.safetensors");
    let header = r#"{"embeddings":{"dtype":"F63\n\u001b[2J","shape":[3,2],"data_offsets":[0,48]}}"#;
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
    let error = EmbeddingFile::open(&path).unwrap_err().to_string();
    assert!(error.contains(r"unknown variant `F63\n\u{1b}[2J`"), "{error}");
    assert!(!error.contains(char::is_control), "{error}");
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Needs a Python with numpy, safetensors, pandas and pyarrow: `FACEGRAD_PYTHON=python`.
#[test]
fn other_programs_read_the_same() {
    let Some(python) = std::env::var_os("FACEGRAD_PYTHON") else {
        eprintln!("skipped: FACEGRAD_PYTHON names no Python with numpy, safetensors, pandas and pyarrow");
        return;
    };
    let folder = folder();
    // pandas, and readers of csv in general, take line ends of a field for whatever they take them for.
    let mut content = Content::new(5, true, Some(origin()));
    content.names.iter_mut().filter(|name| *name == "\r\n").for_each(|name| *name = "r".into());
    content
        .identities
        .iter_mut()
        .flatten()
        .filter(|name| name.contains('\r'))
        .for_each(|name| *name = "r".into());
    let others = [content, Content::many(9001, 640)];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/read_embeddings.py");
    for content in &others {
        let texts = |texts: &[String]| {
            sha256(texts.iter().map(|text| format!("{text}\0")).collect::<String>().as_bytes())
        };
        let expected = serde_json::json!({
            "shape": [content.names.len(), content.dim],
            "rows": sha256(&content.rows.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>()),
            "names": texts(&content.names),
            "identities": content.identities.as_ref().map(|identities| texts(identities)),
            "origin": content.origin,
        });
        for extension in FORMATS {
            let path = folder.path().join("e").with_extension(extension);
            content.write(&path, 1000);
            let output = Command::new(&python).arg(&script).arg(&path).output().unwrap();
            assert!(output.status.success(), "{extension}: {}", String::from_utf8_lossy(&output.stderr));
            let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(read, expected, "{extension}");
        }
    }
}
