//! Procedural faces: a data set of any size from a seed, with nothing to download.
//!
//! An identity decides the shape of the head, skin, hair, brows, eyes, nose, mouth, ears, beard and marks. A
//! picture decides pose, expression, light, grooming, background, occlusion and camera, which change the
//! pixels at least as much, so that comparing pixels or colours does not tell people apart
//! ([`pixel_baseline`] measures that). Faces are aligned to the ArcFace template as a detector would align
//! them, with a detector's errors.
//!
//! Identity `k` under a seed is the same person whatever the other keys are, and so is each of its pictures.
//! The bytes do not depend on the machine: only operations that IEEE 754 rounds exactly are used. Nothing here knows of
//! data sets; that a [`SyntheticFaces`] is one is said where data sets are.
//!
//! ```
//! use facegrad_synthetic::{SyntheticConfig, SyntheticFaces};
//!
//! let faces = SyntheticFaces::new(&SyntheticConfig { identities: 10, ..Default::default() });
//! // The third picture of the first person, 64 x 64 pixels.
//! let picture = faces.render(0, 2, 64);
//! assert_eq!((picture.width(), picture.height()), (64, 64));
//! assert_eq!(picture, faces.render(0, 2, 64));
//! ```

mod baseline;
mod canvas;
mod folder;
mod head;
mod identity;
mod paint;
mod scene;

use facegrad_pictures::Picture;
use facegrad_random::{Purpose, Stream};
use facegrad_settings::{Setting, at_least, settings, within};

use self::{identity::Identity, scene::Scene};

pub use self::{
    baseline::{PixelFeature, pixel_baseline},
    folder::{WrittenFolder, synthetic_sheet, write_folder},
};

/// Version of the recipe: raised whenever the same config would give other bytes.
pub const RECIPE: u32 = 1;

settings! {
    /// Synthetic faces.
    pub struct SyntheticConfig {
        /// Number of identities.
        identities: usize = 200, at_least(1.0).up_to(10_000_000.0);
        /// Pictures of each identity.
        images: usize = 20, at_least(1.0).up_to(65_536.0);
        /// Width and height of a picture in pixels.
        size: usize = 112, within(16.0, 1024.0);
        /// What all random choices follow from.
        seed: u64 = 1;
        /// The first identity; ranges that do not overlap hold different people.
        first_identity: usize = 0;
        /// How far pictures of one identity differ: 0 for plain frontal ones, 1 for photographs of daily life.
        difficulty: f64 = 1.0, within(0.0, 3.0);
    }
}

/// A set of synthetic faces, drawn when asked for.
#[derive(Debug, Clone)]
pub struct SyntheticFaces {
    config: SyntheticConfig,
    names: Vec<String>,
}

impl SyntheticFaces {
    /// The set that `config` describes. Images are numbered identity by identity.
    pub fn new(config: &SyntheticConfig) -> Self {
        let names = (0..config.identities)
            .map(|label| format!("{:06}", config.first_identity.saturating_add(label)))
            .collect();
        Self { config: config.clone(), names }
    }

    /// The config that describes this set.
    pub fn config(&self) -> &SyntheticConfig {
        &self.config
    }

    /// Picture `picture` of the identity with label `label`, `side` x `side` pixels.
    ///
    /// Pictures beyond the `images` of the config exist, too, up to 65,535.
    pub fn render(&self, label: usize, picture: usize, side: usize) -> Picture {
        let SyntheticConfig { seed, first_identity, difficulty, .. } = self.config;
        let identity = first_identity.saturating_add(label) as u64;
        let person = Identity::draw(&mut Stream::new(seed, Purpose::SyntheticIdentity, 0, identity));
        let mut stream = Stream::new(seed, Purpose::SyntheticPicture, picture as u64, identity);
        let scene = Scene::draw(&mut stream, difficulty as f32);
        paint::paint(&person, &scene, side)
    }

    /// The name of each identity, indexed by label: its number, of six digits or more.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// SHA-256 (hex) over the recipe and the config.
    pub fn fingerprint(&self) -> String {
        let config = self.config.write().map(|value| value.to_string()).unwrap_or_default();
        facegrad_files::sha256(format!("facegrad synthetic faces, recipe {RECIPE}\n{config}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use sha2::{Digest, Sha256};

    use super::*;

    fn faces(config: SyntheticConfig) -> SyntheticFaces {
        SyntheticFaces::new(&config)
    }

    fn difference(a: &Picture, b: &Picture) -> f64 {
        let sum: f64 = a.pixels().iter().zip(b.pixels()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        sum / a.pixels().len() as f64
    }

    #[test]
    fn a_picture_depends_on_seed_identity_number_and_difficulty_only() {
        let small = faces(SyntheticConfig { identities: 3, images: 2, ..SyntheticConfig::default() });
        let large = faces(SyntheticConfig { identities: 50, images: 9, ..SyntheticConfig::default() });
        let later = faces(SyntheticConfig { first_identity: 2, ..SyntheticConfig::default() });
        let picture = small.render(2, 1, 112);
        assert_eq!(picture, large.render(2, 1, 112));
        assert_eq!(picture, later.render(0, 1, 112));
        let reseeded = faces(SyntheticConfig { seed: 2, ..SyntheticConfig::default() });
        assert_ne!(picture, reseeded.render(2, 1, 112));
    }

    /// The bytes are a promise: results on synthetic faces name their recipe. After a change to the drawing
    /// on purpose, raise [`RECIPE`] and take over the new digest.
    #[test]
    fn this_recipe_gives_these_bytes() {
        let faces = faces(SyntheticConfig::default());
        let mut digest = Sha256::new();
        (0..40).for_each(|k| digest.update(faces.render(k, k % 7, 64).pixels()));
        let digest: String = digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((RECIPE, digest.as_str()), (1, "0dfe19e43814ce49"));
    }

    #[test]
    fn people_differ_in_looks_and_pictures_of_a_person_in_circumstances() {
        let plain = faces(SyntheticConfig { difficulty: 0.0, ..SyntheticConfig::default() });
        let real = faces(SyntheticConfig::default());
        for k in 0..20 {
            assert!(difference(&plain.render(k, 0, 64), &plain.render(k + 1, 0, 64)) > 4.0, "identity {k}");
            assert!(difference(&real.render(k, 0, 64), &real.render(k, 1, 64)) > 4.0, "identity {k}");
        }
    }

    #[test]
    fn pictures_use_the_range_of_a_byte_without_saturating() {
        let faces = faces(SyntheticConfig::default());
        let (mut sum, mut squares, mut cut, mut count) = (0.0, 0.0, 0, 0);
        for k in 0..100 {
            let picture = faces.render(k, 3, 64);
            let contrast = picture.pixels().iter().max().unwrap() - picture.pixels().iter().min().unwrap();
            assert!(contrast > 30, "identity {k} is nearly uniform: {contrast}");
            for &byte in picture.pixels() {
                sum += f64::from(byte);
                squares += f64::from(byte) * f64::from(byte);
                cut += usize::from(byte == 0 || byte == 255);
                count += 1;
            }
        }
        let mean = sum / f64::from(count);
        let deviation = (squares / f64::from(count) - mean * mean).sqrt();
        assert!((80.0..170.0).contains(&mean), "{mean}");
        assert!((35.0..85.0).contains(&deviation), "{deviation}");
        assert!((cut as f64) < 0.03 * f64::from(count), "{cut} of {count} bytes are 0 or 255");
    }

    #[test]
    fn comparing_pixels_or_colours_does_not_tell_people_apart() {
        let faces = faces(SyntheticConfig { identities: 100, size: 64, ..SyntheticConfig::default() });
        for feature in [
            PixelFeature::Pixels { centred: false },
            PixelFeature::Grey { side: 32, centred: true },
            PixelFeature::MeanColour,
            PixelFeature::Histogram,
        ] {
            let accuracy = pixel_baseline(&faces, feature, 10, 40);
            println!("{feature:?}: {:.1} %", 100.0 * accuracy);
            assert!((0.5..0.75).contains(&accuracy), "{feature:?}: {accuracy}");
        }
    }

    #[test]
    fn every_size_and_difficulty_can_be_drawn() {
        for (size, difficulty) in [(16, 3.0), (17, 0.0), (200, 1.0)] {
            let faces =
                faces(SyntheticConfig { size, difficulty, identities: 40, ..SyntheticConfig::default() });
            for label in 0..40 {
                let picture = faces.render(label, 0, size);
                assert_eq!((picture.width(), picture.height()), (size, size));
            }
        }
    }

    #[test]
    fn the_time_a_picture_takes() {
        let faces = faces(SyntheticConfig::default());
        for side in [112, 64] {
            let started = Instant::now();
            (0..100).for_each(|k| assert_eq!(faces.render(k, 0, side).width(), side));
            println!("{side}x{side}: {:.2} ms a picture", started.elapsed().as_secs_f64() * 10.0);
        }
    }
}
