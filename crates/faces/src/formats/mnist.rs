//! MNIST's idx files: grey pictures and a label for each, as Fashion-MNIST, KMNIST and others have them too.
//!
//! All numbers are big endian. Images: 0x00000803, count, rows, columns, then a byte a pixel. Labels: 0x00000801, count,
//! then a byte each. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", "File formats
//! for the MNIST database".

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use facegrad_files::{hexadecimal, name_of};
use facegrad_pictures::{
    Picture,
    decode::{MAX_PIXELS, MAX_SIDE},
};
use facegrad_settings::{choice, settings};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::{
    Format, LabelGaps, LabelNeed, OpenSet, Place, SourceError, SourceKind, Summary, has_extension,
    labelled::{Images, LabelledImages},
    labels::Labels,
    positioned::read_at,
    title_of,
};
use crate::StoredImage;

const IMAGES: u32 = 0x0000_0803;
const LABELS: u32 = 0x0000_0801;

/// Most bytes that a compressed file may inflate to: it has to be in memory, as it cannot be read by position.
const MAX_INFLATED: u64 = 1 << 30;

/// No byte of a deflated file becomes more than this many (zlib's technical details, "Maximum Compression Factor").
const MAX_RATIO: u64 = 1032;

choice! {
    /// A part of a set of idx files.
    pub enum MnistPart {
        /// `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`.
        Train = "train",
        /// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`.
        Test = "test",
    }
}

settings! {
    /// Grey pictures in idx files, as MNIST has them.
    pub struct MnistConfig {
        /// The folder with the files, such as train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or as .gz.
        path: PathBuf = PathBuf::new();
        /// Which of its two parts is taken.
        part: MnistPart = MnistPart::Train;
        /// What to do if some number below the greatest label has no image.
        label_gaps: LabelGaps = LabelGaps::Refuse;
    }
}

impl Format for MnistConfig {
    fn of_path(&self, path: &Path) -> Option<SourceKind> {
        let part = MnistPart::ALL.iter().find(|part| find(path, **part, "images", 3).is_some())?;
        Some(Self { path: path.into(), part: *part, ..Self::default() }.into())
    }

    fn title(&self) -> String {
        format!("{} {}", title_of(&self.path), self.part)
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        Some((&self.path, "the folder with the idx files"))
    }

    fn open_for(&self, need: LabelNeed) -> Result<OpenSet, SourceError> {
        Ok(IdxImages::read(self, need)?.open())
    }
}

/// The file of a part, plain or else compressed; `kind` is `images` or `labels`.
fn find(folder: &Path, part: MnistPart, kind: &str, axes: u8) -> Option<PathBuf> {
    let prefixes: &[&str] = match part {
        MnistPart::Train => &["train"],
        MnistPart::Test => &["t10k", "test"],
    };
    let names = ["", ".gz"].into_iter().flat_map(|suffix| {
        ["-", "."].into_iter().flat_map(move |dash| {
            prefixes.iter().map(move |prefix| format!("{prefix}-{kind}{dash}idx{axes}-ubyte{suffix}"))
        })
    });
    names.map(|name| folder.join(name)).find(|path| path.is_file())
}

/// The pictures and labels of a part.
#[derive(Debug)]
pub(crate) struct IdxImages {
    images: PathBuf,
    content: Content,
    rows: usize,
    columns: usize,
}

/// The content of an idx file behind its header.
#[derive(Debug)]
enum Content {
    /// Read by position, from this byte on.
    File(File, u64),
    /// What a compressed file inflated to.
    Inflated(Vec<u8>),
}

impl IdxImages {
    fn read(config: &MnistConfig, need: LabelNeed) -> Result<LabelledImages<Self>, SourceError> {
        let path = |kind, axes| {
            find(&config.path, config.part, kind, axes).ok_or_else(|| {
                let part = if config.part == MnistPart::Train { "train" } else { "t10k" };
                let name = format!("{part}-{kind}-idx{axes}-ubyte");
                let expected = format!("a file of {kind} called so, or {name}.gz,");
                SourceError::Missing { path: config.path.join(name), expected }
            })
        };
        let (images, labels) = (path("images", 3)?, path("labels", 1)?);
        let (sides, content, size) = read(&images, IMAGES)?;
        let [count, rows, columns] = sides;
        let (label_sides, numbers, _) = read(&labels, LABELS)?;
        if label_sides[0] != count {
            let reason = format!(
                "it has {} labels, and {} has {count} images; a label for each is expected",
                label_sides[0],
                images.display()
            );
            return Err(SourceError::malformed(&labels, Place::Whole, reason));
        }
        let numbers = match numbers {
            Content::Inflated(numbers) => numbers,
            // The length of the file is the count; more than an image file may have are never used.
            Content::File(file, start) => read_at(&file, start, count)
                .map_err(|source| SourceError::Unreadable { path: labels.clone(), source })?,
        };
        let mut hash = Sha256::new();
        [count, rows, columns, size].iter().for_each(|number| hash.update(number.to_le_bytes()));
        hash.update(&numbers);
        let numbers = numbers.into_iter().map(u32::from).collect();
        Ok(LabelledImages {
            images: Self { images, content, rows: rows as usize, columns: columns as usize },
            labels: Labels::of_numbers(numbers, need.gaps(config.label_gaps), &labels)?,
            summary: Summary::default(),
            fingerprint: hexadecimal(&hash.finalize()),
        })
    }
}

/// The sides of an idx file (1 where there is none), its content, and its size on disk; `magic` says what it should be.
fn read(path: &Path, magic: u32) -> Result<([u64; 3], Content, u64), SourceError> {
    let malformed = |place, reason: String| SourceError::malformed(path, place, reason);
    let unreadable = |source| SourceError::Unreadable { path: path.into(), source };
    let file = facegrad_files::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let axes = (magic & 0xff) as usize;
    let mut header = vec![0; 4 + 4 * axes];
    let is_compressed = has_extension(path, &["gz"]);
    let mut stream: Box<dyn Read + '_> =
        if is_compressed { Box::new(MultiGzDecoder::new(&file)) } else { Box::new(&file) };
    stream.read_exact(&mut header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            malformed(Place::Whole, format!("it ends within its header, which has {} bytes", 4 + 4 * axes))
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            malformed(Place::Whole, format!("it is not gzip: {error}"))
        }
        _ => unreadable(error),
    })?;
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if number(0) != magic {
        let reason = format!("it begins with {:#010x}; {magic:#010x} is expected", number(0));
        return Err(malformed(Place::Byte(0), reason));
    }
    let mut sides = [1_u64; 3];
    sides.iter_mut().take(axes).enumerate().for_each(|(axis, side)| *side = number(4 + 4 * axis).into());
    let [count, rows, columns] = sides;
    let longest = MAX_SIDE as u64;
    if !(1..=longest).contains(&rows)
        || !(1..=longest).contains(&columns)
        || rows * columns > MAX_PIXELS as u64
    {
        let reason = format!(
            "its header claims images of {columns} x {rows} pixels; from 1 to {MAX_SIDE} a side and {} megapixels in \
             all are accepted",
            MAX_PIXELS / 1_000_000
        );
        return Err(malformed(Place::Byte(8), reason));
    }
    // Below 2^32 times 64 million.
    let expected = count * rows * columns;
    let (found, content) = if is_compressed {
        if expected > MAX_INFLATED || expected / MAX_RATIO > size {
            let reason = format!(
                "its header claims {expected} bytes of content; a compressed file of {size} bytes has at most {}",
                MAX_INFLATED.min(size.saturating_mul(MAX_RATIO))
            );
            return Err(malformed(Place::Byte(4), reason));
        }
        let mut bytes = Vec::with_capacity(expected as usize);
        // One byte more would show that the header is wrong; a file that inflates without end stops here.
        stream.take(expected + 1).read_to_end(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                malformed(Place::Whole, "its compressed data is damaged or ends early".into())
            }
            _ => unreadable(error),
        })?;
        (bytes.len() as u64, Content::Inflated(bytes))
    } else {
        drop(stream);
        let start = header.len() as u64;
        (size.saturating_sub(start), Content::File(file, start))
    };
    if found != expected {
        let more = if is_compressed && found > expected { " or more" } else { "" };
        let reason = format!("its header claims {expected} bytes of content, and there are {found}{more}");
        return Err(malformed(Place::Byte(4), reason));
    }
    Ok((sides, content, size))
}

impl Images for IdxImages {
    fn name(&self, index: usize) -> String {
        format!("{} image {index}", name_of(&self.images))
    }

    fn key(&self, index: usize) -> String {
        index.to_string()
    }

    fn stored(&self, index: usize) -> Result<StoredImage, String> {
        let size = self.rows * self.columns;
        let read;
        let grey = match &self.content {
            Content::Inflated(bytes) => &bytes[index * size..(index + 1) * size],
            Content::File(file, start) => {
                read = read_at(file, start + (index * size) as u64, size as u64)
                    .map_err(|error| format!("it cannot be read: {error}"))?;
                &read
            }
        };
        let pixels = grey.iter().flat_map(|&grey| [grey; 3]).collect();
        Ok(StoredImage::Pixels(Picture::new(self.columns, self.rows, pixels)))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use flate2::{Compression, write::GzEncoder};
    use tempfile::TempDir;

    use super::*;
    use crate::SourceConfig;

    fn idx(magic: u32, sides: &[u32], content: &[u8]) -> Vec<u8> {
        let mut bytes = magic.to_be_bytes().to_vec();
        sides.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
        bytes.extend(content);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Three images of 2 rows and 3 columns.
    fn images() -> Vec<u8> {
        idx(IMAGES, &[3, 2, 3], &(0..18).collect::<Vec<u8>>())
    }

    fn folder(files: &[(&str, Vec<u8>)]) -> (TempDir, MnistConfig) {
        let root = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, bytes)| fs::write(root.path().join(name), bytes).unwrap());
        let config = MnistConfig { path: root.path().into(), ..MnistConfig::default() };
        (root, config)
    }

    fn message(images: (&str, Vec<u8>), labels: (&str, Vec<u8>)) -> String {
        let (root, config) = folder(&[images, labels]);
        config.open().err().unwrap().to_string().replace(&root.path().display().to_string(), "ROOT")
    }

    #[test]
    fn grey_pictures_become_rgb() {
        let labels = idx(LABELS, &[3], &[1, 0, 1]);
        for (dash, suffix) in [("-", ""), (".", ""), ("-", ".gz"), (".", ".gz")] {
            let pack = |bytes: Vec<u8>| if suffix.is_empty() { bytes } else { gzip(&bytes) };
            let (image_file, label_file) = (
                format!("train-images{dash}idx3-ubyte{suffix}"),
                format!("train-labels{dash}idx1-ubyte{suffix}"),
            );
            let (root, config) =
                folder(&[(&image_file, pack(images())), (&label_file, pack(labels.clone()))]);
            assert_eq!(SourceConfig::of_path(root.path()).unwrap(), SourceConfig::from(config.clone()));
            let opened = SourceConfig::from(config).open().unwrap();
            assert_eq!(opened.summary.to_string(), "3 images of 2 identities");
            let source = opened.source;
            assert_eq!(source.identities(), ["0", "1"]);
            assert_eq!((0..3).map(|i| source.label(i)).collect::<Vec<_>>(), [1, 0, 1]);
            assert_eq!(source.key(2), "2");
            assert!(source.name(2).ends_with("-ubyte image 2") || !suffix.is_empty());
            let pixels = [12, 13, 14, 15, 16, 17].iter().flat_map(|&grey| [grey; 3]).collect();
            let expected = Picture::new(3, 2, pixels);
            assert_eq!(source.load(2, [2, 3]).unwrap(), expected);
            assert_eq!(source.stored(2).unwrap(), StoredImage::Pixels(expected));
            assert_eq!(source.fingerprint().len(), 64);
        }
    }

    #[test]
    fn the_parts_are_told_apart_and_gaps_refused() {
        let labels = idx(LABELS, &[3], &[0, 255, 0]);
        let (root, mut config) =
            folder(&[("t10k-images-idx3-ubyte", images()), ("t10k-labels-idx1-ubyte", labels)]);
        config.part = MnistPart::Test;
        assert_eq!(MnistConfig::default().of_path(root.path()), Some(config.clone().into()));
        let message = config.open().err().unwrap().to_string();
        assert!(message.contains("from 0 to 255, and 254 numbers"), "{message}");
        config.label_gaps = LabelGaps::Close;
        assert_eq!(config.open().unwrap().source.identities(), ["0", "255"]);
        config.part = MnistPart::Train;
        let message = config.open().err().unwrap().to_string();
        assert!(message.contains("there is no ") && message.ends_with("/train-images-idx3-ubyte; a file of images called so, or train-images-idx3-ubyte.gz, is expected"), "{message}");
        assert!(MnistConfig::default().of_path(&root.path().join("t10k-images-idx3-ubyte")).is_none());
    }

    #[test]
    fn headers_that_lie_take_no_memory() {
        let plain = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte");
        let labels = || (plain.1, idx(LABELS, &[3], &[0, 1, 0]));
        let of = |bytes: Vec<u8>| message((plain.0, bytes), labels());
        let root = "ROOT/train-images-idx3-ubyte";
        assert_eq!(of(Vec::new()), format!("{root}: it ends within its header, which has 16 bytes"));
        assert_eq!(of(images()[..15].to_vec()), of(Vec::new()));
        assert_eq!(
            of(b"\x89PNG\r\n\x1a\n0123456789".to_vec()),
            format!("{root}, byte 0: it begins with 0x89504e47; 0x00000803 is expected")
        );
        assert_eq!(
            of(images()[..33].to_vec()),
            format!("{root}, byte 4: its header claims 18 bytes of content, and there are 17")
        );
        assert_eq!(
            of([images(), vec![0]].concat()),
            format!("{root}, byte 4: its header claims 18 bytes of content, and there are 19")
        );
        assert!(
            of(idx(IMAGES, &[u32::MAX, 28, 28], &[]))
                .contains("claims 3367254359280 bytes of content, and there are 0")
        );
        for sides in [[1, u32::MAX, u32::MAX], [1, 0, 28], [1, 28, 0], [1, 10_000, 10_000]] {
            assert!(of(idx(IMAGES, &sides, &[])).contains(", byte 8: its header claims images of "));
        }
        assert_eq!(
            message((plain.0, images()), (plain.1, idx(LABELS, &[2], &[0, 1]))),
            "ROOT/train-labels-idx1-ubyte: it has 2 labels, and ROOT/train-images-idx3-ubyte has 3 images; a label for \
             each is expected"
        );
        let empty = (plain.0, idx(IMAGES, &[0, 28, 28], &[]));
        let (_root, config) = folder(&[empty, (plain.1, idx(LABELS, &[0], &[]))]);
        let empty = SourceConfig::from(config).open().err().unwrap().to_string();
        assert!(empty.ends_with(" train has no images"), "{empty}");
    }

    #[test]
    fn compressed_files_are_inflated_within_bounds() {
        let packed = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz");
        let labels = || (packed.1, gzip(&idx(LABELS, &[3], &[0, 1, 0])));
        let of = |bytes: Vec<u8>| message((packed.0, bytes), labels());
        let root = "ROOT/train-images-idx3-ubyte.gz";
        assert!(of(images()).starts_with(&format!("{root}: it is not gzip")), "{}", of(images()));
        assert_eq!(of(Vec::new()), format!("{root}: it ends within its header, which has 16 bytes"));
        let whole = gzip(&images());
        assert_eq!(
            of(whole[..whole.len() - 9].to_vec()),
            format!("{root}: its compressed data is damaged or ends early")
        );
        // 64 MiB of zeros behind a header that claims 18 bytes: no more than one too many is inflated.
        let bomb = gzip(&[images(), vec![0; 64 << 20]].concat());
        assert_eq!(
            of(bomb),
            format!("{root}, byte 4: its header claims 18 bytes of content, and there are 19 or more")
        );
        let claims = gzip(&idx(IMAGES, &[1_000_000, 28, 28], &[]));
        let size = claims.len() as u64;
        assert_eq!(
            of(claims),
            format!(
                "{root}, byte 4: its header claims 784000000 bytes of content; a compressed file of {size} bytes has at most {}",
                size * 1032
            )
        );
        let claims = gzip(&idx(IMAGES, &[2_000_000, 28, 28], &vec![0; 1 << 20]));
        assert!(of(claims).contains("claims 1568000000 bytes of content; a compressed file of "));
    }

    /// Random damage ends in a set or a sentence.
    #[test]
    fn damaged_files_never_panic() {
        use facegrad_random::{Purpose, Stream};
        let whole =
            [images(), idx(LABELS, &[3], &[0, 1, 0]), gzip(&images()), gzip(&idx(LABELS, &[3], &[0, 1, 0]))];
        let mut stream = Stream::new(5, Purpose::SyntheticPicture, 0, 0);
        let mut opened = 0;
        for round in 0..300 {
            let mut files = whole.clone();
            for file in &mut files {
                let at = stream.below(file.len());
                file[at] = stream.bits() as u8;
                if stream.below(4) == 0 {
                    file.truncate(at);
                }
            }
            let [images, labels, packed_images, packed_labels] = files;
            let (_root, config) = if round % 2 == 0 {
                folder(&[("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)])
            } else {
                folder(&[
                    ("train-images-idx3-ubyte.gz", packed_images),
                    ("train-labels-idx1-ubyte.gz", packed_labels),
                ])
            };
            match config.open() {
                Ok(set) => {
                    opened += 1;
                    (0..set.source.len()).for_each(|index| drop(set.source.load(index, [2, 3])));
                }
                Err(error) => assert!(!error.to_string().contains('\n')),
            }
        }
        assert!((1..300).contains(&opened), "{opened}");
    }

    #[test]
    fn the_real_mnist_is_read() {
        let shared = std::env::var_os("FACEGRAD_SHARED_DATA").map(PathBuf::from);
        let shared =
            shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
        let path = shared.join("mnist");
        if !path.exists() {
            eprintln!("skipped: there is no {}", path.display());
            return;
        }
        for (part, images, ones) in [(MnistPart::Train, 60_000, 6_742), (MnistPart::Test, 10_000, 1_135)] {
            let config = MnistConfig { path: path.clone(), part, ..MnistConfig::default() };
            let opened = SourceConfig::from(config).open().unwrap();
            assert_eq!(opened.summary.to_string(), format!("{images} images of 10 identities"));
            let source = opened.source;
            assert_eq!(source.identities(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
            assert_eq!((0..images).filter(|&index| source.label(index) == 1).count(), ones);
            let first: Vec<usize> = (0..5).map(|index| source.label(index)).collect();
            assert_eq!(first, if part == MnistPart::Train { [5, 0, 4, 1, 9] } else { [7, 2, 1, 0, 4] });
            let picture = source.load(images - 1, [28, 28]).unwrap();
            assert_eq!((picture.width(), picture.height()), (28, 28));
            let sum: usize = (0..images)
                .step_by(100)
                .map(|index| {
                    source
                        .load(index, [28, 28])
                        .unwrap()
                        .pixels()
                        .iter()
                        .step_by(3)
                        .map(|&x| x as usize)
                        .sum::<usize>()
                })
                .sum();
            // The mean grey level of all training images is 33.3.
            let mean = sum as f64 / (images / 100 * 784) as f64;
            assert!((31.0..36.0).contains(&mean), "{mean}");
        }
    }
}
