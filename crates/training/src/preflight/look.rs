//! A look at a few images.

use std::time::Instant;

use facegrad_faces::{FaceError, FaceSource, StoredImage};
use facegrad_pictures::{Picture, decode::decode_at_least, plain};

use crate::error::TrainError;

/// Images that are looked at.
const LOOKED_AT: usize = 16;

/// What a look at a few images found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Look {
    /// Time on one thread to read an image and bring it to the size of the network, in seconds.
    pub(crate) seconds: f64,
    /// What need not be wrong and may be, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// An image that was looked at.
struct SampleImage {
    /// Width and height, in pixels.
    size: [usize; 2],
    is_grey: bool,
    /// Whether it comes from a file, and not from the program.
    is_file: bool,
    seconds: f64,
}

/// Looks at images from all over `source`, decoded as the loader does for an augmentation that cuts from `decoded`
/// (height, width), which become as large as `size`.
///
/// # Errors
/// If none of them can be read.
pub(crate) fn look(
    source: &dyn FaceSource,
    decoded: [usize; 2],
    size: [usize; 2],
) -> Result<Look, TrainError> {
    let count = source.len().min(LOOKED_AT);
    // With both ends, so that a set that is cut short shows; of both halves in turn, as neighbours may share what it
    // takes to read them, which they rarely do in the order of training.
    let turns = (0..count).map(|i| if i % 2 == 0 { i / 2 } else { count.div_ceil(2) + i / 2 });
    let mut looked: Vec<_> = turns
        .map(|i| (i, sample(source, i * (source.len() - 1) / (count - 1).max(1), decoded, size)))
        .collect();
    looked.sort_unstable_by_key(|(i, _)| *i);
    let (mut samples, mut unreadable) = (Vec::new(), Vec::new());
    for (_, image) in looked {
        match image {
            Ok(image) => samples.push(image),
            Err(error) => unreadable.push(error),
        }
    }
    match unreadable.into_iter().next() {
        Some(first) if samples.is_empty() => Err(TrainError::NothingReadable { looked_at: count, first }),
        first => Ok(Look {
            seconds: samples.iter().map(|image| image.seconds).sum::<f64>() / samples.len().max(1) as f64,
            notes: [
                unreadable_note(first, count - samples.len(), count),
                grey_note(&samples),
                size_note(&samples, size),
                source.advice(),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }),
    }
}

fn sample(
    source: &dyn FaceSource,
    index: usize,
    decoded: [usize; 2],
    size: [usize; 2],
) -> Result<SampleImage, FaceError> {
    let begin = Instant::now();
    let (picture, is_file) = match source.stored(index)? {
        StoredImage::Pixels(picture) => (picture, false),
        StoredImage::Encoded(bytes) => {
            let decoded = decode_at_least(&bytes, decoded);
            let picture =
                decoded.map_err(|error| FaceError { name: source.name(index), reason: error.to_string() })?;
            (picture, true)
        }
    };
    let ([height, width], is_grey) = (picture.original_size(), is_grey(&picture));
    plain(picture, size);
    Ok(SampleImage { size: [width, height], is_grey, is_file, seconds: begin.elapsed().as_secs_f64() })
}

fn is_grey(picture: &Picture) -> bool {
    picture.pixels().chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
}

fn unreadable_note(first: Option<FaceError>, unreadable: usize, count: usize) -> Option<String> {
    let first = first?;
    Some(format!("{unreadable} of the {count} images that were tried cannot be read; the first is {first}"))
}

fn grey_note(samples: &[SampleImage]) -> Option<String> {
    let grey = samples.iter().filter(|image| image.is_grey).count();
    let all = samples.len();
    (grey > 0 && grey < all)
        .then(|| format!("{grey} of the {all} images that were looked at are grey, the others are in colour"))
}

fn size_note(samples: &[SampleImage], [height, width]: [usize; 2]) -> Option<String> {
    let first = samples.first()?.size;
    let advice = "if the faces are not aligned yet, see facegrad align";
    if samples.iter().any(|image| image.size != first) {
        let area = |image: &&SampleImage| image.size[0] * image.size[1];
        let (least, most) = (samples.iter().min_by_key(area)?, samples.iter().max_by_key(area)?);
        let [[a, b], [c, d]] = [least.size, most.size];
        return Some(format!(
            "images differ in size, such as {a}x{b} and {c}x{d} (width x height); {advice}"
        ));
    }
    let [found_width, found_height] = first;
    if found_width * height != found_height * width {
        return Some(format!(
            "images are {found_width}x{found_height} (width x height) and the network takes {width}x{height}: they are brought to other proportions; {advice}"
        ));
    }
    (found_width != width && samples[0].is_file).then(|| {
        format!("images are {found_width}x{found_height} (width x height) and are resized to {width}x{height}; {advice}")
    })
}

#[cfg(test)]
mod tests {
    use facegrad_pictures::{ImageFormat, encode};

    use super::{super::tests::made, *};

    /// A picture of `size` (width, height), in colour or grey.
    fn picture([width, height]: [usize; 2], grey: bool) -> Picture {
        let pixel = if grey { [7, 7, 7] } else { [7, 8, 9] };
        Picture::new(width, height, pixel.repeat(width * height))
    }

    /// A file with that picture.
    fn file(size: [usize; 2], grey: bool) -> StoredImage {
        let mut bytes = format!("P6 {} {} 255\n", size[0], size[1]).into_bytes();
        bytes.extend(picture(size, grey).pixels());
        StoredImage::Encoded(bytes)
    }

    fn notes(image: impl Fn(usize) -> Result<StoredImage, &'static str> + Send + Sync) -> Vec<String> {
        look(&made(&[50, 50], image), [112, 112], [112, 112]).unwrap().notes
    }

    #[test]
    fn images_as_they_should_be_need_no_note() {
        assert!(notes(|_| Ok(file([112, 112], false))).is_empty());
        assert!(notes(|_| Ok(file([112, 112], true))).is_empty(), "a grey set is a grey set");
        assert!(
            notes(|_| Ok(StoredImage::Pixels(picture([96, 96], false)))).is_empty(),
            "drawn as they should be"
        );
    }

    #[test]
    fn what_may_be_wrong_is_noted() {
        let align = "if the faces are not aligned yet, see facegrad align";
        assert_eq!(
            notes(|_| Ok(file([250, 250], false))),
            [format!("images are 250x250 (width x height) and are resized to 112x112; {align}")]
        );
        // A photograph is decoded as the loader does, at a half here, and called as large as it is.
        let photograph = encode(&picture([250, 250], false), ImageFormat::Jpeg).unwrap();
        assert_eq!(
            notes(|_| Ok(StoredImage::Encoded(photograph.clone()))),
            [format!("images are 250x250 (width x height) and are resized to 112x112; {align}")]
        );
        assert_eq!(
            notes(|_| Ok(file([178, 218], false))),
            [format!(
                "images are 178x218 (width x height) and the network takes 112x112: they are brought to other proportions; {align}"
            )]
        );
        assert_eq!(
            notes(|index| Ok(file(if index == 99 { [30, 40] } else { [112, 112] }, index < 50))),
            [
                "8 of the 16 images that were looked at are grey, the others are in colour".into(),
                format!("images differ in size, such as 30x40 and 112x112 (width x height); {align}"),
            ]
        );
        assert_eq!(
            notes(|index| if index == 0 {
                Ok(StoredImage::Encoded(Vec::new()))
            } else {
                Ok(file([112, 112], false))
            }),
            ["1 of the 16 images that were tried cannot be read; the first is image 0: the file is empty"]
        );
    }

    #[test]
    fn a_set_without_a_readable_image_is_refused() {
        let refused = |images: &[usize]| {
            look(&made(images, |_| Err("the disk is gone")), [112, 112], [112, 112]).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&[50, 50]),
            "none of the 16 training images that were tried can be read; the first is image 0: the disk is gone"
        );
        assert!(refused(&[1, 1]).starts_with("none of the 2 training images"));
        assert!(refused(&[1]).starts_with("none of the 1 training images"));
    }
}
