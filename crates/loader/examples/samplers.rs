//! How long a sampler takes to begin an epoch of a large set, and for the next batch: the table in docs/scale.md.
//!
//!     cargo run --release -p facegrad-loader --example samplers -- [IDENTITIES [IMAGES_EACH]]

use std::{error::Error, time::Instant};

use facegrad_faces::{FaceError, FaceSource, StoredImage};
use facegrad_loader::SamplerConfig;

/// Images in a batch.
const BATCH: usize = 512;

/// Labels without pictures.
struct Labels {
    identities: Vec<String>,
    each: usize,
}

impl FaceSource for Labels {
    fn len(&self) -> usize {
        self.identities.len() * self.each
    }

    fn identities(&self) -> &[String] {
        &self.identities
    }

    fn label(&self, index: usize) -> usize {
        index % self.identities.len()
    }

    fn name(&self, index: usize) -> String {
        format!("image {index}")
    }

    fn key(&self, index: usize) -> String {
        self.name(index)
    }

    fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
        Err(FaceError { name: self.name(index), reason: "there are no pictures".into() })
    }

    fn fingerprint(&self) -> String {
        String::new()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let identities = numbers.first().copied().unwrap_or(100_000);
    let each = numbers.get(1).copied().unwrap_or(50);
    let set = Labels { identities: vec![String::new(); identities], each };
    println!("{} images of {identities} identities, batches of {BATCH}", set.len());
    println!("| sampler | to begin an epoch: ms | next batch: ms |");
    println!("|---|--:|--:|");
    let steps_per_epoch = set.len() / BATCH;
    for kind in SamplerConfig::KINDS {
        let config = SamplerConfig::of_kind(kind).ok_or("a kind that is none")?;
        let mut sampler = config.build(&set, 1, BATCH)?;
        let mut time = |step: usize| {
            let begin = Instant::now();
            assert_eq!(sampler.batch(step).len(), BATCH);
            begin.elapsed().as_secs_f64() * 1e3
        };
        time(0);
        // The epochs after the first, as a run meets them.
        let begin = (1..4).map(|epoch| time(epoch * steps_per_epoch)).fold(f64::INFINITY, f64::min);
        let next = (1..20).map(|step| time(3 * steps_per_epoch + step)).fold(f64::INFINITY, f64::min);
        println!("| {kind} | {begin:.1} | {next:.3} |");
    }
    Ok(())
}
