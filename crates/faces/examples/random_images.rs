//! What an image costs to read in random order, from sets of the same images in several formats: the table in
//! docs/scale.md. Nothing is decoded.
//!
//!     cargo run --release -p facegrad-faces --example random_images -- SET…

use std::{error::Error, hint::black_box, path::Path, time::Instant};

use facegrad_faces::SourceConfig;
use facegrad_random::{Purpose, Stream};

/// Images that are read from each set in a round.
const IMAGES: usize = 4_000;
/// Times that each set is measured, in turns.
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let mut sets = Vec::new();
    for path in std::env::args().skip(1) {
        let source = SourceConfig::of_path(Path::new(&path))?.open_any()?.source;
        sets.push((path, source, f64::INFINITY));
    }
    for round in 0..ROUNDS {
        for (_, source, best) in &mut sets {
            let mut stream = Stream::new(1, Purpose::Order, 0, round as u64);
            let begin = Instant::now();
            for _ in 0..IMAGES {
                black_box(source.stored(stream.below(source.len()))?);
            }
            *best = best.min(begin.elapsed().as_secs_f64() * 1e6 / IMAGES as f64);
        }
    }
    println!("| set | images | one, in random order: µs | times the first |");
    println!("|---|--:|--:|--:|");
    let first = sets.first().map_or(1.0, |(.., best)| *best);
    for (path, source, best) in &sets {
        println!("| {path} | {} | {best:.1} | {:.2} |", source.len(), best / first);
    }
    Ok(())
}
