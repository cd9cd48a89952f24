//! What each image of a set is, from its file and its pixels alone.

use facegrad_faces::{FaceSource, StoredImage};
use facegrad_pictures::{
    Picture,
    decode::{MAX_SIDE, decode},
};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::{Content, FileFormat, Fingerprint, MeanFace, Thumbnail, sample::spread};

/// Images read between two reports of progress.
const AT_A_TIME: usize = 1024;
/// Images that the mean face is made of, at most.
const MEAN_OF: usize = 2000;
/// Channels that differ by no more than this are grey: what rounding of JPEG's colours leaves of it.
pub const GREY_TOLERANCE: u8 = 8;
/// The share of pixels that are grey in an image that is.
pub const GREY_SHARE: f64 = 0.99;

/// What is kept of an image. A set of five million takes about half a gigabyte.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRecord {
    /// The first 128 bits of the SHA-256 of the file; of the pixels where the set has no files.
    pub file: [u8; 16],
    /// The first 128 bits of the SHA-256 over width, height and pixels as a network sees them.
    pub pixels: [u8; 16],
    /// The perceptual hash, unless the image is featureless.
    pub fingerprint: Option<Fingerprint>,
    /// That of what is within a frame, if there is one.
    pub fingerprint_within: Option<Fingerprint>,
    /// How far the face lies as the others do; see [`MeanFace`].
    pub likeness: Option<f32>,
    /// Pixels in a row.
    pub width: u16,
    /// Number of rows.
    pub height: u16,
    /// What the file is; `None` where the set has no files.
    pub content: Option<Content>,
    /// Whether the name of the file says that it is of another format.
    pub misnamed: bool,
    /// Whether at least 99 % of the pixels have channels that differ by 8 at most.
    pub grey: bool,
}

impl ImageRecord {
    /// The perceptual hashes, by any of which another image may be like it.
    pub fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        self.fingerprint.into_iter().chain(self.fingerprint_within)
    }
}

/// An image that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableEntry {
    /// The image.
    pub image: usize,
    /// One clause, such as `the JPEG data ends early`.
    pub reason: String,
}

/// What each image of a set is.
#[derive(Debug, Clone, PartialEq)]
pub struct SetSurvey {
    /// For each image, unless it cannot be used.
    pub records: Vec<Option<ImageRecord>>,
    /// Those that cannot be used, in their order.
    pub unreadable: Vec<UnreadableEntry>,
}

impl SetSurvey {
    /// Reads every image of `source` once, and some of them a second time. `progress` is told how many are done and
    /// says whether to go on; `None` if it said no.
    ///
    /// The result does not depend on the number of threads.
    pub fn of(source: &dyn FaceSource, progress: &mut dyn FnMut(usize) -> bool) -> Option<Self> {
        let mean = mean_face(source);
        let mut survey = Self { records: Vec::with_capacity(source.len()), unreadable: Vec::new() };
        for first in (0..source.len()).step_by(AT_A_TIME) {
            let images = first..(first + AT_A_TIME).min(source.len());
            let looked_at: Vec<Result<ImageRecord, String>> =
                images.into_par_iter().map(|image| look_at(source, image, mean.as_ref())).collect();
            for (image, looked_at) in (first..).zip(looked_at) {
                match looked_at {
                    Ok(record) => survey.records.push(Some(record)),
                    Err(reason) => {
                        survey.records.push(None);
                        survey.unreadable.push(UnreadableEntry { image, reason });
                    }
                }
            }
            if !progress(survey.records.len()) {
                return None;
            }
        }
        Some(survey)
    }
}

/// The picture of an image and its thumbnail; `None` if it cannot be read.
pub fn thumbnail(source: &dyn FaceSource, image: usize) -> Option<Thumbnail> {
    // A file may have become unreadable meanwhile.
    source.load(image, [MAX_SIDE; 2]).ok().map(Thumbnail::of)
}

fn mean_face(source: &dyn FaceSource) -> Option<MeanFace> {
    let images = spread(source.len(), MEAN_OF);
    let faces: Vec<Thumbnail> = images.filter_map(|image| thumbnail(source, image)).collect();
    MeanFace::of(faces.iter())
}

fn look_at(source: &dyn FaceSource, image: usize, mean: Option<&MeanFace>) -> Result<ImageRecord, String> {
    let (picture, content, file) = match source.stored(image).map_err(|error| error.reason)? {
        StoredImage::Encoded(bytes) => {
            let picture = decode(&bytes).map_err(|error| error.to_string())?;
            (picture, Some(Content::of(&bytes)), Some(shortened(Sha256::digest(&bytes).into())))
        }
        StoredImage::Pixels(picture) => (picture, None, None),
    };
    let pixels = pixels_hash(&picture);
    let [height, width] = picture.original_size().map(|side| side as u16);
    let grey = is_grey(&picture);
    let thumbnail = Thumbnail::of(picture);
    let named = FileFormat::of_name(&source.key(image));
    Ok(ImageRecord {
        file: file.unwrap_or(pixels),
        pixels,
        fingerprint: thumbnail.fingerprint(),
        fingerprint_within: thumbnail.fingerprint_within(),
        likeness: mean.and_then(|mean| mean.likeness(&thumbnail)),
        width,
        height,
        content,
        misnamed: content.is_some_and(|content| named.is_some_and(|named| named != content.format)),
        grey,
    })
}

fn shortened(hash: [u8; 32]) -> [u8; 16] {
    std::array::from_fn(|i| hash[i])
}

fn pixels_hash(picture: &Picture) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update((picture.width() as u64).to_le_bytes());
    hash.update((picture.height() as u64).to_le_bytes());
    hash.update(picture.pixels());
    shortened(hash.finalize().into())
}

fn is_grey(picture: &Picture) -> bool {
    let pixels = picture.pixels().chunks_exact(3);
    let total = pixels.len();
    let coloured = pixels.filter(|pixel| {
        let (least, most) = (pixel.iter().min(), pixel.iter().max());
        most.zip(least).is_some_and(|(most, least)| most - least > GREY_TOLERANCE)
    });
    coloured.count() as f64 <= (1.0 - GREY_SHARE) * total as f64
}

#[cfg(test)]
mod tests {
    use facegrad_faces::SourceConfig;
    use facegrad_pictures::ImageFormat;
    use facegrad_synthetic::{SyntheticConfig, write_folder};

    use super::*;

    #[test]
    fn a_folder_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("faces");
        let recipe = SyntheticConfig { identities: 5, images: 6, size: 64, ..Default::default() };
        write_folder(&recipe, ImageFormat::Jpeg, &root, &mut |_, _| {}).unwrap();
        let file = |name: &str| root.join(name);
        let jpg = std::fs::read(file("000000/0000.jpg")).unwrap();
        std::fs::write(file("000001/cut.jpg"), &jpg[..jpg.len() / 2]).unwrap();
        std::fs::write(file("000001/name.png"), &jpg).unwrap();
        let grey: Vec<u8> = (0..64u32 * 64).map(|i| (i * 7 % 251) as u8).collect();
        std::fs::write(file("000002/grey.pgm"), [&b"P5 64 64 255\n"[..], &grey].concat()).unwrap();
        let source = SourceConfig::of_path(&root).unwrap().open_any().unwrap().source;

        let mut told = Vec::new();
        let survey = SetSurvey::of(source.as_ref(), &mut |done| {
            told.push(done);
            true
        })
        .unwrap();
        assert_eq!(told, [33]);
        assert_eq!(survey.unreadable.len(), 1);
        let unreadable = &survey.unreadable[0];
        assert_eq!(source.key(unreadable.image), "000001/cut.jpg");
        assert_eq!(unreadable.reason, "the JPEG data ends early");
        let of = |key: &str| {
            let image = (0..source.len()).find(|&image| source.key(image) == key).unwrap();
            survey.records[image].clone().unwrap()
        };
        let (first, named) = (of("000000/0000.jpg"), of("000001/name.png"));
        assert!(
            !first.misnamed && named.misnamed && first.file == named.file && first.pixels == named.pixels
        );
        assert_eq!((first.width, first.height, first.grey), (64, 64, false));
        assert!(first.fingerprint.is_some() && first.likeness.is_some());
        assert!(of("000002/grey.pgm").grey);
        assert_ne!(first.pixels, of("000000/0001.jpg").pixels);
        assert_eq!(SetSurvey::of(source.as_ref(), &mut |_| false), None);
        assert!(thumbnail(source.as_ref(), unreadable.image).is_none());
    }
}
