//! What some images of a set tell of all of them, in seconds.

use facegrad_faces::FaceSource;
use facegrad_pictures::decode::MAX_SIDE;
use rayon::prelude::*;

use crate::{ALIGNED_LIKENESS, MeanFace, Thumbnail};

/// Aligned faces have a side of this many pixels at most: crops of published sets have 96 to 160, and what is larger has
/// been cut out with much around the face, or is a photograph.
const LARGEST_CROP: usize = 160;
/// The share of images that have the size of most of them in a set that some program has cut out.
const CUT_ALIKE: f64 = 0.9;

/// Images of a set, looked at in equal distances.
#[derive(Debug, Clone, PartialEq)]
pub struct SetSample {
    /// How many were looked at.
    pub looked_at: usize,
    /// How many of them cannot be used.
    pub unreadable: usize,
    /// The size of most of them (height, width), if any can be used.
    pub size: Option<[usize; 2]>,
    /// How many have it.
    pub of_size: usize,
    /// The median likeness to their mean face, where they have one; see [`MeanFace`].
    pub likeness: Option<f32>,
}

impl SetSample {
    /// Looks at `most` images of `source` at most.
    pub fn of(source: &dyn FaceSource, most: usize) -> Self {
        let loaded: Vec<Option<([usize; 2], Thumbnail)>> = spread(source.len(), most)
            .map(|image| {
                let picture = source.load(image, [MAX_SIDE; 2]).ok()?;
                Some((picture.original_size(), Thumbnail::of(picture)))
            })
            .collect();
        let (looked_at, images) = (loaded.len(), loaded.into_iter().flatten());
        let (mut sizes, faces): (Vec<_>, Vec<_>) = images.unzip();
        sizes.sort_unstable();
        let most_common = sizes.chunk_by(|a, b| a == b).max_by_key(|alike| alike.len());
        let mean = MeanFace::of(faces.iter());
        let mut likenesses: Vec<f32> =
            mean.iter().flat_map(|mean| faces.iter().filter_map(|face| mean.likeness(face))).collect();
        likenesses.sort_by(f32::total_cmp);
        Self {
            looked_at,
            unreadable: looked_at - faces.len(),
            size: most_common.map(|alike| alike[0]),
            of_size: most_common.map_or(0, <[_]>::len),
            likeness: likenesses.get(likenesses.len() / 2).copied(),
        }
    }

    /// Why these are hardly faces in the position that networks expect; nothing if they may be.
    pub fn unaligned(&self) -> Option<String> {
        let [height, width] = self.size?;
        let usable = self.looked_at - self.unreadable;
        if (self.of_size as f64) < CUT_ALIKE * usable as f64 {
            let of_size = self.of_size;
            return Some(format!(
                "they are of many sizes: {of_size} of {usable} are of {height}x{width} pixels"
            ));
        }
        if height.max(width) > LARGEST_CROP {
            return Some(format!("they are of {height}x{width} pixels, and aligned faces have some 112"));
        }
        let likeness = self.likeness.filter(|likeness| *likeness < ALIGNED_LIKENESS)?;
        Some(format!(
            "eyes, nose and mouth are elsewhere on each of them (likeness to their mean {likeness:.2})"
        ))
    }
}

/// At most `most` of so many images, in equal distances.
pub(crate) fn spread(images: usize, most: usize) -> impl IndexedParallelIterator<Item = usize> {
    (0..images).into_par_iter().step_by(images.div_ceil(most.max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use facegrad_faces::SourceConfig;
    use facegrad_pictures::ImageFormat;
    use facegrad_synthetic::{SyntheticConfig, write_folder};

    use super::*;

    #[test]
    fn drawn_faces_are_aligned() {
        let folder = tempfile::tempdir().unwrap();
        let drawn = SyntheticConfig { identities: 6, images: 10, size: 32, ..Default::default() };
        let path = folder.path().join("faces");
        write_folder(&drawn, ImageFormat::Png, &path, &mut |_done, _total| {}).unwrap();
        let faces = SourceConfig::of_path(&path).unwrap().open().unwrap().source;
        let sample = SetSample::of(faces.as_ref(), 30);
        assert_eq!((sample.looked_at, sample.unreadable, sample.of_size), (30, 0, 30));
        assert_eq!(sample.size, Some([32, 32]));
        assert!(sample.likeness.unwrap() > ALIGNED_LIKENESS, "{sample:?}");
        assert_eq!(sample.unaligned(), None);
    }

    #[test]
    fn what_is_no_crop_is_told_with_the_reason() {
        let crops = SetSample {
            looked_at: 20,
            unreadable: 0,
            size: Some([112, 112]),
            of_size: 20,
            likeness: Some(0.6),
        };
        assert_eq!(crops.unaligned(), None);
        for (sample, reason) in [
            (
                SetSample { of_size: 4, ..crops.clone() },
                "they are of many sizes: 4 of 20 are of 112x112 pixels",
            ),
            (SetSample { size: Some([250, 250]), ..crops.clone() }, "they are of 250x250 pixels"),
            (SetSample { likeness: Some(0.1), ..crops.clone() }, "eyes, nose and mouth are elsewhere"),
        ] {
            let told = sample.unaligned().unwrap();
            assert!(told.starts_with(reason), "{told}");
        }
        assert_eq!(SetSample { size: None, ..crops }.unaligned(), None, "nothing is known of it");
    }
}
