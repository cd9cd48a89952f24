//! What decoding a JPEG at a fraction of its size saves, and what it changes: the table in docs/performance.md.
//!
//!     cargo run --release -p facegrad-pictures --example decode -- PHOTOGRAPH.jpg…

use std::{error::Error, fs, hint::black_box, time::Instant};

use facegrad_pictures::{
    decode::{decode, decode_at_least},
    plain,
};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// Height and width that are wanted, in pixels.
const WANTED: [usize; 2] = [112, 112];
/// Times that each decoder is measured, in turns.
const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    println!(
        "| file | pixels | zune-jpeg: ms | in full: ms | for {WANTED:?}: ms | pixels | mean difference |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for path in std::env::args().skip(1) {
        let bytes = fs::read(&path)?;
        let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut best = [f64::INFINITY; 3];
        for _ in 0..ROUNDS {
            let mut time = |place: usize, begin: Instant| {
                best[place] = best[place].min(begin.elapsed().as_secs_f64() * 1e3);
            };
            let begin = Instant::now();
            black_box(JpegDecoder::new_with_options(ZCursor::new(&bytes), options).decode())
                .map_err(|error| format!("{path}: {error}"))?;
            time(0, begin);
            let begin = Instant::now();
            black_box(decode(&bytes)?);
            time(1, begin);
            let begin = Instant::now();
            black_box(decode_at_least(&bytes, WANTED)?);
            time(2, begin);
        }
        let (full, scaled) = (decode(&bytes)?, decode_at_least(&bytes, WANTED)?);
        let [before, after] = [&full, &scaled].map(|picture| [picture.width(), picture.height()]);
        let [full, scaled] = [full, scaled].map(|picture| plain(picture, WANTED).into_pixels());
        let apart: f64 = full.iter().zip(&scaled).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        let ([zune, whole, part], mean) = (best, apart / full.len() as f64);
        println!("| {path} | {before:?} | {zune:.3} | {whole:.3} | {part:.3} | {after:?} | {mean:.2} |");
    }
    Ok(())
}
