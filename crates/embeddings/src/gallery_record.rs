//! How a gallery was made, and what has become of its images since.

use std::fmt;

use facegrad_files::Moment;
use serde::{Deserialize, Serialize};

/// How a gallery was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GalleryRecord {
    /// When, or when it was last brought up to date.
    pub made: Moment,
    /// The folder, list or set of its images.
    pub source: String,
    /// The keys of that set that were given, each as `key=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// Height and width of the images as the network saw them.
    pub image_size: [usize; 2],
    /// Images embedded at a time, which the last digits of embeddings may depend on.
    pub batch: usize,
    /// For each image, what tells its pixels apart: the start of their SHA-256.
    #[serde(skip)]
    pub pixels: Vec<u64>,
}

impl GalleryRecord {
    /// As a file has it: all but the pixels, and these.
    pub(crate) fn written(&self) -> (String, Vec<String>) {
        let all_but_pixels = serde_json::json!(self).to_string();
        (all_but_pixels, self.pixels.iter().map(|pixels| format!("{pixels:016x}")).collect())
    }

    /// Reads what [`written`](Self::written) gives.
    pub(crate) fn parse(json: &str, pixels: Option<Vec<String>>) -> Result<Self, String> {
        let wrong = |why: String| format!("its record is not one that facegrad writes: {why}");
        let record: Self = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
        let pixels = pixels.ok_or("its record says nothing of the pixels of its images")?;
        let number = |text: &String| {
            let number = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
            number.ok_or_else(|| wrong(format!("{text:?} tells no pixels apart")))
        };
        Ok(Self { pixels: pixels.iter().map(number).collect::<Result<_, _>>()?, ..record })
    }
}

/// The images that a gallery is, or is to be, made of.
#[derive(Debug, Clone, Copy)]
pub struct GalleryImages<'a> {
    /// What each is called.
    pub names: &'a [String],
    /// Who is on each.
    pub identities: &'a [String],
}

/// What is different about images since a gallery was made of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GalleryChanges {
    /// How many images there are now.
    pub images: usize,
    /// How many of these the gallery does not have.
    pub new: usize,
    /// How many have other pixels, or are of another person.
    pub changed: usize,
    /// How many the gallery has and are no longer there.
    pub gone: usize,
    /// For each image, the row of the gallery that is its embedding; `None` where it has to be embedded.
    pub kept: Vec<Option<usize>>,
}

impl GalleryChanges {
    /// Whether the gallery is up to date.
    pub fn is_none(&self) -> bool {
        (self.new, self.changed, self.gone) == (0, 0, 0)
    }

    /// How many images have to be embedded.
    pub fn to_embed(&self) -> usize {
        self.kept.iter().filter(|row| row.is_none()).count()
    }
}

impl fmt::Display for GalleryChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, new, changed, gone, .. } = self;
        let kept = images - new - changed;
        write!(f, "{images} images: {new} new, {changed} changed, {gone} gone, {kept} kept")
    }
}
