//! insightface's verification sets: `lfw.bin`, `cfp_fp.bin`, `agedb_30.bin` and the like.
//!
//! Such a file is a pickle of two lists: 2 N encoded images (JPEG as a rule), of which images 2 i and 2 i + 1
//! are pair i, and N booleans, true where both images show the same person. Images are byte strings or numpy
//! arrays of bytes, written under Python 2 or 3. The pickle is read as data; nothing in it is run.

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use facegrad_files::{commit, hexadecimal, name_of, temporary_beside};
use facegrad_pictures::{
    Picture,
    decode::{MAX_FILE_SIZE, decode_at_least},
};
use sha2::{Digest, Sha256};

use crate::{
    FaceError,
    formats::{Place, positioned::read_at},
    pickle::{self, Array, Blob, Dtype, Pickle, PickleError, Value},
};

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 8 << 30;

/// Why a verification set cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum BinError {
    /// The file cannot be read.
    #[error("cannot read {}: {cause}", file.display())]
    Unreadable { file: PathBuf, cause: io::Error },
    /// The file is larger than any verification set.
    #[error("{} has {bytes} bytes; a verification set has at most {limit}", file.display())]
    TooLarge { file: PathBuf, bytes: u64, limit: u64 },
    /// The file is no pickle, is damaged, asks for something that is not data, or holds something other than pairs of
    /// images.
    #[error("{}{place}: {reason}", file.display())]
    Malformed {
        file: PathBuf,
        /// The byte at which the opcode in question is, if it is one.
        place: Place,
        reason: String,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {cause}", file.display())]
    Unwritable {
        file: PathBuf,
        /// What the system says, or what is wrong with the images.
        cause: io::Error,
    },
}

/// One of the distinct images.
struct Image {
    blob: Blob,
    /// Of its first mention in the list of the file, from 0.
    position: usize,
    sha256: [u8; 32],
}

/// A verification set in one file: pairs of encoded images.
///
/// Opening reads the file once from end to end to tell the images apart, in memory for the largest of them;
/// after that only the place of each image is kept, and [`InsightfaceBin::load`] reads it again.
pub struct InsightfaceBin {
    name: String,
    file: File,
    images: Vec<Image>,
    pairs: Vec<(usize, usize, bool)>,
}

impl InsightfaceBin {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, has more than 8 GiB, is not the pickle described above, or has another number of
    /// images than two for each flag. Whether the images can be decoded is found by [`InsightfaceBin::load`].
    pub fn open(path: &Path) -> Result<Self, BinError> {
        let unreadable = |cause| BinError::Unreadable { file: path.into(), cause };
        if path.is_dir() {
            // A carray keeps its shape and its chunks in folders of these names.
            let is_carray = ["meta", "data"].iter().all(|part| path.join(part).is_dir());
            return Err(other_form(path, if is_carray { "the folder of a bcolz array" } else { "a folder" }));
        }
        let file = facegrad_files::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        if bytes > MAX_BYTES {
            return Err(BinError::TooLarge { file: path.into(), bytes, limit: MAX_BYTES });
        }
        Self::read(file, bytes, path)
    }

    /// Reads the `length` bytes of a file, which errors call `path`.
    fn read(file: File, length: u64, path: &Path) -> Result<Self, BinError> {
        let pickle = pickle::read(BufReader::new(&file), length).map_err(|error| match error {
            PickleError::Unreadable(cause) => BinError::Unreadable { file: path.into(), cause },
            PickleError::Refused { .. } if read_at(&file, 0, 6).is_ok_and(|start| start == b"\x93NUMPY") => {
                other_form(path, "an array of numpy (.npy)")
            }
            PickleError::Refused { offset, reason } => malformed(path, Place::Byte(offset), reason),
        })?;
        let contents = |reason| malformed(path, Place::Whole, reason);
        let source = Strings { file, path };
        let Some(&[images, flags]) = pickle.items(pickle.root) else {
            return Err(contents(format!(
                "its content is {}, and not a list of images with a list of booleans",
                pickle.root.kind()
            )));
        };
        let images = pickle
            .items(images)
            .ok_or_else(|| contents(format!("in place of the list of images it has {}", images.kind())))?;
        let flags = read_flags(&pickle, flags, &source)?;
        if flags.is_empty() || images.len() != 2 * flags.len() {
            return Err(contents(format!(
                "it has {} images and {} flags; a set has at least one pair and two images for each flag",
                images.len(),
                flags.len()
            )));
        }
        let (distinct, indices) = tell_apart(&pickle, images, &source)?;
        let pairs = indices.chunks_exact(2).zip(flags).map(|(pair, same)| (pair[0], pair[1], same)).collect();
        let name = name_of(Path::new(path.file_name().unwrap_or(path.as_os_str())));
        Ok(Self { name, file: source.file, images: distinct, pairs })
    }

    /// The number of distinct images: those of the same bytes are one.
    pub fn images(&self) -> usize {
        self.images.len()
    }

    /// The pairs in the order of the file: two indices of images, from 0 to `images() - 1`, and whether both
    /// show the same person. Both indices are equal where a file pairs an image with itself.
    pub fn pairs(&self) -> &[(usize, usize, bool)] {
        &self.pairs
    }

    /// What a person would call image `index`, such as `lfw.bin image 17`: its place in the list of the file,
    /// from 0, as Python counts; the first place, if it has several.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn name(&self, index: usize) -> String {
        format!("{} image {}", self.name, self.images[index].position)
    }

    /// SHA-256, in hexadecimal, over the pairs: for each the SHA-256 of both encoded images and a byte, 1 for the
    /// same person and 0 for different ones. It does not depend on how the pickle is written.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for &(a, b, same) in &self.pairs {
            hash.update(self.images[a].sha256);
            hash.update(self.images[b].sha256);
            hash.update([u8::from(same)]);
        }
        hexadecimal(&hash.finalize())
    }

    /// The place of image `index` in the list of the file, from 0; the first place, if it has several.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn position(&self, index: usize) -> usize {
        self.images[index].position
    }

    /// Image `index` as the file has it: the content of an image file, as a rule a JPEG.
    ///
    /// # Errors
    /// If the file has changed since it was opened.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn encoded(&self, index: usize) -> Result<Vec<u8>, FaceError> {
        let image = &self.images[index];
        let fail = |reason: String| FaceError { name: self.name(index), reason };
        let raw = read_at(&self.file, image.blob.offset, image.blob.length.into());
        let raw = raw.map_err(|error| fail(format!("it cannot be read: {error}")))?;
        let bytes = pickle::decode(raw, image.blob.coding).map_err(|reason| fail(reason.into()))?;
        if image.sha256 != sha256(&bytes) {
            return Err(fail("the file has changed since it was opened".into()));
        }
        Ok(bytes)
    }

    /// Reads and decodes image `index` for a network that takes `size` (height, width); see [`decode_at_least`].
    ///
    /// # Errors
    /// If the file has changed since it was opened, or the image cannot be decoded.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn load(&self, index: usize, size: [usize; 2]) -> Result<Picture, FaceError> {
        let decoded = decode_at_least(&self.encoded(index)?, size);
        decoded.map_err(|error| FaceError { name: self.name(index), reason: error.to_string() })
    }

    /// Writes a set that Python 3 reads with `pickle.load`, in protocol 3: first under a temporary name, then
    /// renamed. `pairs` gives two encoded images and whether they show the same person.
    ///
    /// # Errors
    /// If an image is empty or larger than [`MAX_FILE_SIZE`], there are no pairs, or the system refuses.
    pub fn write<I: AsRef<[u8]>>(
        path: &Path,
        pairs: impl IntoIterator<Item = (I, I, bool)>,
    ) -> Result<(), BinError> {
        let written = temporary_beside(path).and_then(|mut file| {
            write_pairs(file.as_file_mut(), pairs)?;
            commit(file, path)
        });
        written.map_err(|cause| BinError::Unwritable { file: path.into(), cause })
    }
}

impl fmt::Debug for InsightfaceBin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} pairs of {} images", self.name, self.pairs.len(), self.images.len())
    }
}

/// The strings of a pickle, read when they are needed.
struct Strings<'a> {
    file: File,
    path: &'a Path,
}

impl Strings<'_> {
    fn read(&self, blob: Blob) -> Result<Vec<u8>, BinError> {
        let raw = read_at(&self.file, blob.offset, blob.length.into())
            .map_err(|cause| BinError::Unreadable { file: self.path.into(), cause })?;
        pickle::decode(raw, blob.coding).map_err(|reason| {
            let reason = format!("a string cannot be read: {reason}");
            malformed(self.path, Place::Byte(blob.offset), reason)
        })
    }

    /// That an array is a row or column, whose elements take the `length` bytes of its data.
    fn check_shape(&self, array: Array, length: usize, what: &str) -> Result<(), BinError> {
        let bytes = array.elements.checked_mul(array.dtype.bytes());
        if array.long_sides <= 1 && bytes == Some(length as u64) {
            return Ok(());
        }
        Err(self.contents(format!(
            "{what} is an array of {} elements along {} axes with {length} bytes of data; an element for each byte \
             along one axis would be right",
            array.elements, array.long_sides
        )))
    }

    fn contents(&self, reason: String) -> BinError {
        malformed(self.path, Place::Whole, reason)
    }
}

/// That a verification set is there in another form than is read.
fn other_form(path: &Path, form: &str) -> BinError {
    let reason = format!(
        "it is {form}; the pickle of images and flags in one file is expected, which insightface calls .bin"
    );
    malformed(path, Place::Whole, reason)
}

fn malformed(file: &Path, place: Place, reason: String) -> BinError {
    BinError::Malformed { file: file.into(), place, reason }
}

fn read_flags(pickle: &Pickle, flags: Value, source: &Strings) -> Result<Vec<bool>, BinError> {
    let flag = |number: i64, k: usize| match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(format!("flag {k} is the number {number}, and not 0 or 1")),
    };
    let read: Result<Vec<bool>, String> = if let Some(array) = pickle.array(flags) {
        let data = source.read(array.data)?;
        source.check_shape(array, data.len(), "the list of flags")?;
        // One is a byte of 1 among those of 0, in either byte order.
        let number = |bytes: &[u8]| match bytes {
            [first, rest @ ..] if rest.iter().all(|byte| *byte == 0) => i64::from(*first),
            [rest @ .., last] if rest.iter().all(|byte| *byte == 0) => i64::from(*last),
            _ => i64::MAX,
        };
        let size = array.dtype.bytes().max(1) as usize;
        data.chunks(size).enumerate().map(|(k, bytes)| flag(number(bytes), k)).collect()
    } else if let Some(flags) = pickle.items(flags) {
        let read = |(k, value): (usize, &Value)| match *value {
            Value::Bool(same) => Ok(same),
            Value::Int(number) => flag(number, k),
            other => Err(format!("flag {k} is {}, and not a boolean", other.kind())),
        };
        flags.iter().enumerate().map(read).collect()
    } else {
        Err(format!("in place of the list of booleans it has {}", flags.kind()))
    };
    read.map_err(|reason| source.contents(reason))
}

/// The distinct images, and which of them each in the list of the file is.
fn tell_apart(
    pickle: &Pickle,
    images: &[Value],
    source: &Strings,
) -> Result<(Vec<Image>, Vec<usize>), BinError> {
    let (mut distinct, mut indices) = (Vec::new(), Vec::with_capacity(images.len()));
    let mut by_hash: HashMap<[u8; 32], usize> = HashMap::new();
    // A string that the memo shares among many places is read once: its index and length by where it lies.
    let mut by_place: HashMap<u64, (usize, usize)> = HashMap::new();
    for (position, &value) in images.iter().enumerate() {
        let array = pickle.array(value);
        let blob = match (value, array) {
            (Value::Bytes(blob), _) => blob,
            (_, Some(array)) if array.dtype == Dtype::Byte => array.data,
            (other, _) => {
                return Err(source.contents(format!(
                    "image {position} is {}, and neither a byte string nor an array of bytes",
                    other.kind()
                )));
            }
        };
        let (index, length) = match by_place.get(&blob.offset) {
            Some(&known) => known,
            None => {
                let bytes = source.read(blob)?;
                let sha256 = sha256(&bytes);
                let index = *by_hash.entry(sha256).or_insert_with(|| {
                    distinct.push(Image { blob, position, sha256 });
                    distinct.len() - 1
                });
                by_place.insert(blob.offset, (index, bytes.len()));
                (index, bytes.len())
            }
        };
        if let Some(array) = array {
            source.check_shape(array, length, &format!("image {position}"))?;
        }
        indices.push(index);
    }
    Ok((distinct, indices))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn write_pairs<I: AsRef<[u8]>>(
    file: &mut File,
    pairs: impl IntoIterator<Item = (I, I, bool)>,
) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    let mut flags = Vec::new();
    // Protocol 3; an empty list and a mark.
    file.write_all(b"\x80\x03](")?;
    for (a, b, same) in pairs {
        for image in [a.as_ref(), b.as_ref()] {
            if image.is_empty() || image.len() as u64 > MAX_FILE_SIZE {
                let reason = format!(
                    "an image of pair {} has {} bytes; from 1 byte to {} MiB are right",
                    flags.len(),
                    image.len(),
                    MAX_FILE_SIZE >> 20
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
            // BINBYTES.
            file.write_all(b"B")?;
            file.write_all(&(image.len() as u32).to_le_bytes())?;
            file.write_all(image)?;
        }
        flags.push(if same { 0x88 } else { 0x89 });
    }
    if flags.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a set has at least one pair"));
    }
    // The images are appended; another list with the flags; both in a tuple; the end.
    file.write_all(b"e](")?;
    file.write_all(&flags)?;
    file.write_all(b"e\x86.")?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Seek,
        time::{Duration, Instant},
    };

    use image::{ExtendedColorType, ImageEncoder, codecs};

    use super::*;

    fn read(bytes: impl Into<Vec<u8>>) -> Result<InsightfaceBin, String> {
        let (bytes, mut file) = (bytes.into(), tempfile::tempfile().unwrap());
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        let read = InsightfaceBin::read(file, bytes.len() as u64, Path::new("folder/x.bin"));
        read.map_err(|error| error.to_string())
    }

    fn refusal(bytes: impl Into<Vec<u8>>) -> String {
        read(bytes).unwrap_err()
    }

    /// What `fuzz/seeds/make_bin.py` made with Python 2 and 3.
    fn samples() -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/bin");
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn png(shade: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&[shade; 48], 4, 4, ExtendedColorType::Rgb8)
            .unwrap();
        bytes
    }

    #[test]
    fn what_python_2_and_3_write_in_each_protocol_is_one_set() {
        let files = samples();
        assert!(files.len() > 40);
        for file in files {
            let set = InsightfaceBin::open(&file).unwrap();
            assert_eq!(set.images(), 4, "{}", file.display());
            assert_eq!(set.pairs(), [(0, 1, true), (2, 3, false), (2, 0, true)], "{}", file.display());
            // Of the script, from the encoded images themselves.
            let fingerprint = "2c9afda458600598c44a3c19d5b79773797ade7fab751a915c4694cf37d99830";
            assert_eq!(set.fingerprint(), fingerprint, "{}", file.display());
            let file_name = file.file_name().unwrap().to_str().unwrap();
            assert_eq!(set.name(3), format!("{file_name} image 3"));
            assert_eq!(
                set.load(0, [2, 2]).unwrap().pixels(),
                [0, 10, 13, 39, 34, 92, 26, 255, 128, 127, 117, 85]
            );
            assert_eq!(set.load(1, [2, 2]).unwrap().pixels(), b"\\u00ffx'\"\\\\n");
            assert_eq!(set.load(2, [2, 2]).unwrap().pixels(), (40..160).step_by(10).collect::<Vec<u8>>());
            assert_eq!(set.load(3, [2, 2]).unwrap().pixels(), (244..=255).rev().collect::<Vec<u8>>());
        }
    }

    #[test]
    fn other_forms_of_verification_sets_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| InsightfaceBin::open(path).unwrap_err().to_string();
        assert!(message(folder.path()).contains(": it is a folder; the pickle of images and flags"));
        for part in ["meta", "data"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        assert!(message(folder.path()).contains(": it is the folder of a bcolz array; the pickle"));
        let list = folder.path().join("lfw_list.npy");
        fs::write(&list, b"\x93NUMPY\x01\0v\0").unwrap();
        assert!(message(&list).contains(": it is an array of numpy (.npy); the pickle"));
    }

    #[test]
    fn every_file_cut_short_is_refused() {
        for file in samples() {
            let bytes = fs::read(&file).unwrap();
            for length in 0..bytes.len() {
                let message = refusal(&bytes[..length]);
                assert!(
                    message.starts_with("folder/x.bin, byte "),
                    "{} to {length}: {message}",
                    file.display()
                );
            }
        }
    }

    #[test]
    fn a_written_set_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.bin");
        let pairs = [(png(1), png(2), true), (png(2), png(3), false), (png(4), png(4), true)];
        InsightfaceBin::write(&path, pairs.clone()).unwrap();
        let set = InsightfaceBin::open(&path).unwrap();
        assert_eq!(set.pairs(), [(0, 1, true), (1, 2, false), (3, 3, true)]);
        assert_eq!(set.images(), 4);
        assert_eq!(set.name(2), "set.bin image 3");
        for (index, shade) in [1, 2, 3, 4].into_iter().enumerate() {
            assert_eq!(set.load(index, [4, 4]).unwrap().pixels(), [shade; 48]);
        }
        // Nothing else is left, and a set that cannot be written leaves the old one.
        for bad in [vec![(vec![1], vec![], true)], vec![]] {
            let message = InsightfaceBin::write(&path, bad).unwrap_err().to_string();
            assert!(message.starts_with("cannot write ") && message.contains("set"), "{message}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(InsightfaceBin::open(&path).unwrap().fingerprint(), set.fingerprint());

        // The same length, other bytes.
        let other = [(png(5), png(6), true), (png(7), png(3), false), (png(4), png(4), true)];
        let mut changed = fs::read(&path).unwrap();
        InsightfaceBin::write(&folder.path().join("other.bin"), other).unwrap();
        changed.copy_from_slice(&fs::read(folder.path().join("other.bin")).unwrap());
        fs::write(&path, changed).unwrap();
        assert_eq!(
            set.load(0, [4, 4]).unwrap_err().to_string(),
            "set.bin image 0: the file has changed since it was opened"
        );
    }

    #[test]
    fn an_image_that_is_none_fails_when_it_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set.bin");
        InsightfaceBin::write(&path, [(b"hello".to_vec(), png(1), false)]).unwrap();
        let set = InsightfaceBin::open(&path).unwrap();
        assert_eq!(
            set.load(0, [4, 4]).unwrap_err().to_string(),
            "set.bin image 0: its content is not a JPEG, PNG, WebP, BMP or PNM image"
        );
        assert!(set.load(1, [4, 4]).is_ok());
    }

    #[test]
    fn a_pickle_of_something_else_is_named() {
        for (pickle, reason) in [
            (&b"N."[..], "its content is None, and not a list of images with a list of booleans"),
            (b"].", "its content is a list, and not a list of images with a list of booleans"),
            (b"NN\x86.", "in place of the list of images it has None"),
            (b"]N\x86.", "in place of the list of booleans it has None"),
            (
                b"]]\x86.",
                "it has 0 images and 0 flags; a set has at least one pair and two images for each flag",
            ),
            (
                b"(C\x01aC\x01bt(\x88\x89t\x86.",
                "it has 2 images and 2 flags; a set has at least one pair and two images for each flag",
            ),
            (
                b"(C\x01aC\x01bC\x01ct(\x88t\x86.",
                "it has 3 images and 1 flags; a set has at least one pair and two images for each flag",
            ),
            (
                b"(C\x01aX\x01\0\0\0bt(\x88t\x86.",
                "image 1 is a text, and neither a byte string nor an array of bytes",
            ),
            (b"(C\x01aC\x01bt(K\x02t\x86.", "flag 0 is the number 2, and not 0 or 1"),
            (b"(C\x01aC\x01bt(Nt\x86.", "flag 0 is None, and not a boolean"),
            (
                b"(C\x01acnumpy\nndarray\nt(\x88t\x86.",
                "image 1 is a name, and neither a byte string nor an array of bytes",
            ),
        ] {
            assert_eq!(refusal(pickle), format!("folder/x.bin: {reason}"));
        }
        // An array of two axes, of too few bytes, and one that never got its data.
        let array = |shape: &str, rest: &str| {
            format!(
                "(cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR{}S'x'\nt(I01\nt\x7f.",
                if rest.is_empty() {
                    String::new()
                } else {
                    format!("(I1\n({shape}tcnumpy\ndtype\n(S'{rest}'\nI0\nI1\ntRI00\nS'abcd'\ntb")
                }
            )
            .into_bytes()
            .into_iter()
            .map(|byte| if byte == 0x7F { 0x86 } else { byte })
            .collect::<Vec<u8>>()
        };
        // OpenCV's encoder gives columns.
        for shape in ["I4\n", "I4\nI1\n", "I1\nI4\n"] {
            assert!(read(array(shape, "u1")).is_ok());
        }
        for (shape, kind, reason) in [
            (
                "I2\nI2\n",
                "u1",
                "image 0 is an array of 4 elements along 2 axes with 4 bytes of data; an element for each byte \
                 along one axis would be right",
            ),
            (
                "I3\n",
                "u1",
                "image 0 is an array of 3 elements along 1 axes with 4 bytes of data; an element for each byte \
                 along one axis would be right",
            ),
            ("I4\n", "b1", "image 0 is an array, and neither a byte string nor an array of bytes"),
            ("", "", "image 0 is an array, and neither a byte string nor an array of bytes"),
        ] {
            assert_eq!(refusal(array(shape, kind)), format!("folder/x.bin: {reason}"));
        }
        let integers = refusal(array("I4\n", "i8"));
        assert!(integers.ends_with(": image 0 is an array, and neither a byte string nor an array of bytes"));
        let other = refusal(array("I4\n", "f4"));
        assert!(other.ends_with(
            ": the dtype \"f4\" is not allowed: only those of bytes, booleans and whole numbers are"
        ));
        assert!(refusal(array("I-4\n", "u1")).ends_with(": an array has no shape"));
        let huge = "I4294967296\n".repeat(3);
        assert!(refusal(array(&huge, "u1")).ends_with(": an array has no shape"));
    }

    #[test]
    fn nothing_is_run_and_only_known_names_pass() {
        let only = "only those that rebuild arrays of bytes or booleans are";
        for (pickle, offset, reason) in [
            (&b"cos\nsystem\n(S'id'\ntR."[..], 0, format!("the name os.system is not allowed: {only}")),
            (
                b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
                18,
                format!("the name builtins.eval is not allowed: {only}"),
            ),
            (b"cnumpy\nload\n.", 0, format!("the name numpy.load is not allowed: {only}")),
            (
                b"cnumpy\ncore.multiarray._reconstruct\n.",
                0,
                format!("the name numpy.core.multiarray._reconstruct is not allowed: {only}"),
            ),
            (b"c_codecs\ndecode\n.", 0, format!("the name _codecs.decode is not allowed: {only}")),
            (b"NN\x93.", 2, format!("the name None.None is not allowed: {only}")),
            (b"(ios\nsystem\n.", 1, "the opcode INST is not allowed in a list of images".into()),
            (b"N)\x81.", 2, "the opcode NEWOBJ is not allowed in a list of images".into()),
            (b"Pmodule\n.", 0, "the opcode PERSID is not allowed in a list of images".into()),
            (b"NQ.", 1, "the opcode PERSID is not allowed in a list of images".into()),
            (b"\x82\x01.", 0, "the opcode EXT is not allowed in a list of images".into()),
            (b"}.", 0, "the opcode DICT is not allowed in a list of images".into()),
            (b"\x97.", 0, "the opcode NEXT_BUFFER is not allowed in a list of images".into()),
            (b"\xff\xd8\xff", 0, "0xff is not an opcode of a pickle".into()),
            (b"\x80\x06.", 0, "protocol 6 is not known, only 0 to 5 are".into()),
            (b"NN\x85R.", 3, "a call of None with a tuple".into()),
            (b"N)R.", 2, "a call of None with a tuple".into()),
            (
                b"c_codecs\nencode\n(Va\nVidna\ntR.",
                27,
                "Encode is called with arguments it does not have in a list of images".into(),
            ),
            (
                b"cnumpy\ndtype\n(S'O'\nI0\nI1\ntR.",
                26,
                "the dtype \"O\" is not allowed: only those of bytes, booleans and whole numbers are".into(),
            ),
            (b"c_codecs\nencode\n)b.", 17, "a name is given a state it does not have".into()),
            (b"a.", 0, "the opcode takes a value, and there is none".into()),
            (b"N(a.", 2, "the opcode takes a value, and there is none".into()),
            (b"NNa.", 2, "a value is appended to None, which is not a list".into()),
            (b"t.", 0, "the opcode takes the values since a mark, and there is none".into()),
            (b"h\x05.", 0, "place 5 of the memo is empty".into()),
            (b"g-1\n.", 0, "\"-1\" is not a place of the memo".into()),
            (b"I1x\n.", 0, "\"1x\" is not a number of 64 bits".into()),
            (b"S'a\n.", 0, "a string literal has no quotes".into()),
            (b"S'\n.", 0, "a string literal has no quotes".into()),
            (b"", 0, "the file ends before the pickle does".into()),
        ] {
            let text = String::from_utf8_lossy(pickle);
            assert_eq!(refusal(pickle), format!("folder/x.bin, byte {offset}: {reason}"), "{text}");
        }
        // A name that fills a page does not fill the message.
        let long = [&b"\x8d\x00\x10\0\0\0\0\0\0"[..], &[b'x'; 4096], b"\x8c\x01y\x93."].concat();
        assert!(refusal(long).len() < 200);
        let line = [&b"c"[..], &[b'x'; 4096]].concat();
        assert_eq!(refusal(line), "folder/x.bin, byte 0: a number or name has more than 256 bytes");
    }

    #[test]
    fn lengths_that_lie_take_no_memory() {
        let huge = 1u64 << 60;
        for opcode in [0x8E, 0x96, 0x8D] {
            let pickle = [&[opcode][..], &huge.to_le_bytes(), b"abc"].concat();
            assert_eq!(
                refusal(pickle),
                format!("folder/x.bin, byte 0: a string of {huge} bytes is announced, and 3 are left")
            );
        }
        for opcode in *b"TBX" {
            let pickle = [&[opcode][..], &u32::MAX.to_le_bytes(), b"abc"].concat();
            assert!(refusal(pickle).contains("a string of 4294967295 bytes is announced, and 3 are left"));
        }
        let frame = [&[0x95][..], &huge.to_le_bytes(), b"N."].concat();
        assert!(refusal(frame).contains("a frame of 1152921504606846976 bytes is announced, and 2 are left"));
        assert!(refusal(&b"\x8a\xff0."[..]).contains("a number of 255 bytes is announced"));
        // Longer than any image, in either way to write a string.
        let length = pickle::MAX_STRING as usize + 1;
        let mut pickle = vec![b'x'; length + 7];
        pickle[0] = b'B';
        pickle[1..5].copy_from_slice(&(length as u32).to_le_bytes());
        assert_eq!(refusal(pickle.clone()), "folder/x.bin, byte 0: a string is longer than 64 MiB");
        pickle[0] = b'V';
        assert_eq!(refusal(pickle), "folder/x.bin, byte 0: a string is longer than 64 MiB");
    }

    /// Deep, wide, shared and cyclic structures: each ends at once.
    #[test]
    fn bombs_are_refused_quickly() {
        let million = 1_000_000;
        let started = Instant::now();
        assert_eq!(
            refusal(vec![b'('; million]),
            "folder/x.bin, byte 32: more than 32 marks are open inside one another"
        );
        for opcode in [b']', b')', b'N', 0x88] {
            assert!(refusal(vec![opcode; million]).ends_with(": the file ends before the pickle does"));
            assert!(refusal(vec![opcode; 3 * million]).ends_with(": more than 2000000 opcodes are not read"));
        }
        // A tuple in a tuple, a million deep, then the end.
        let deep = [&b")"[..], &vec![0x85; million], b"."].concat();
        assert!(
            refusal(deep)
                .ends_with("its content is a tuple, and not a list of images with a list of booleans")
        );
        // Ten lists of ten of the list before, a hundred times over: 10^100 elements to whoever expands them.
        let mut laughs = b"]q\x00".to_vec();
        for level in 0..100 {
            laughs.extend(b"](");
            for _ in 0..10 {
                laughs.extend([b'h', level]);
            }
            laughs.extend([b'e', b'q', level + 1]);
        }
        laughs.extend(b"]\x86.");
        assert!(refusal(laughs).ends_with(
            "it has 10 images and 0 flags; a set has at least one pair and two images \
                                           for each flag"
        ));
        // A list that holds itself.
        assert!(refusal(&b"]q\x00h\x00a]\x86."[..]).contains("it has 1 images and 0 flags"));
        // Large images, each many times, as strings and as arrays: each is read once.
        let image = [&b"\x80\x05B"[..], &(1u32 << 20).to_le_bytes(), &vec![7; 1 << 20], b"q\x000"].concat();
        assert!(refusal(image.clone()).contains("the opcode POP is not allowed"));
        let mut shared = image[..image.len() - 1].to_vec();
        let (dtype, count) = (b"cnumpy\ndtype\nX\x02\0\0\0u1\x85Rq\x02", 20_000);
        shared.extend(b"cnumpy.core.numeric\n_frombuffer\nq\x01");
        shared.extend(dtype);
        shared.extend(b"](");
        for _ in 0..count {
            shared.extend(b"h\x01(h\x00h\x02J\0\0\x10\0\x85NtRh\x00");
        }
        shared.extend(b"e](");
        shared.extend(vec![0x88; count]);
        shared.extend(b"e\x86.");
        let set = read(shared).unwrap();
        assert_eq!((set.images(), set.pairs().len()), (1, count));
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }

    /// Random damage ends in a set or a sentence.
    #[test]
    fn damaged_sets_never_panic() {
        use facegrad_random::{Purpose, Stream};
        for (number, file) in samples().into_iter().enumerate() {
            let bytes = fs::read(&file).unwrap();
            let mut stream = Stream::new(5, Purpose::SyntheticPicture, 0, number as u64);
            for _ in 0..300 {
                let mut damaged = bytes.clone();
                for _ in 0..1 + stream.below(4) {
                    let at = stream.below(damaged.len());
                    damaged[at] = stream.bits() as u8;
                }
                match read(damaged) {
                    Ok(set) => assert_eq!(set.pairs().len(), 3),
                    Err(message) => assert!(message.starts_with("folder/x.bin"), "{message}"),
                }
            }
        }
    }

    #[test]
    fn a_real_set_is_read() {
        let Some(folder) = std::env::var_os("FACEGRAD_FIXTURES").map(PathBuf::from) else {
            eprintln!("skipped: FACEGRAD_FIXTURES does not name a folder with small_lfw.bin");
            return;
        };
        let set = InsightfaceBin::open(&folder.join("small_lfw.bin")).unwrap();
        assert_eq!((set.pairs().len(), set.images()), (10, 17));
        assert!(set.pairs().iter().all(|&(_, _, same)| same));
        for index in 0..set.images() {
            let picture = set.load(index, [112, 112]).unwrap();
            assert_eq!((picture.width(), picture.height()), (112, 112));
        }
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no.bin");
        let message = InsightfaceBin::open(&missing).unwrap_err().to_string();
        assert!(message.starts_with("cannot read ") && message.contains("no.bin"), "{message}");
        let message = InsightfaceBin::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(folder.path().to_str().unwrap()), "{message}");
        let large = folder.path().join("large.bin");
        File::create(&large).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let message = InsightfaceBin::open(&large).unwrap_err().to_string();
        assert!(
            message.contains("has 8589934593 bytes; a verification set has at most 8589934592"),
            "{message}"
        );
    }
}
