//! What separates near duplicates from different photographs of one person: distances of perceptual hashes and of
//! thumbnails, for changed copies of the images of a folder and for its other images.
//!
//!     cargo run --release --example near_duplicates -- FOLDER

use std::{io::Cursor, path::Path};

use facegrad_audit::{Fingerprint, Thumbnail};
use facegrad_faces::SourceConfig;
use facegrad_pictures::{Picture, plain};
use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};
use rayon::prelude::*;

/// Images that copies are made of.
const COPIED: usize = 2000;

/// Pairs of hashes that differ in more bits are not looked at.
const MOST_BITS: u32 = 16;
/// Where the rows of the tables begin and end.
const DIFFERENCES: [f32; 9] = [0.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 256.0];

struct Face {
    label: usize,
    picture: Picture,
    thumbnail: Thumbnail,
    fingerprint: Fingerprint,
}

fn face(label: usize, picture: Picture) -> Option<Face> {
    let thumbnail = Thumbnail::of(picture.clone());
    let fingerprint = thumbnail.fingerprint()?;
    Some(Face { label, picture, thumbnail, fingerprint })
}

fn reencoded(picture: &Picture, quality: u8) -> Picture {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
    encoder
        .write_image(picture.pixels(), width, height, ExtendedColorType::Rgb8)
        .expect("a picture is encoded");
    facegrad_pictures::decode::decode(&bytes.into_inner()).expect("what was encoded is decoded")
}

/// Without `share` of each side at the right and at the bottom.
fn cropped(picture: &Picture, share: f64) -> Picture {
    let keep = |side: usize| side - (side as f64 * share).round() as usize;
    let (width, height) = (keep(picture.width()), keep(picture.height()));
    let rows = picture.pixels().chunks_exact(picture.width() * 3).take(height);
    Picture::new(width, height, rows.flat_map(|row| &row[..width * 3]).copied().collect())
}

fn each(picture: &Picture, change: impl Fn(f32) -> f32) -> Picture {
    let pixels = picture.pixels().iter().map(|&v| change(f32::from(v)).clamp(0.0, 255.0) as u8).collect();
    Picture::new(picture.width(), picture.height(), pixels)
}

fn mirrored(picture: &Picture) -> Picture {
    let rows = picture.pixels().chunks_exact(picture.width() * 3);
    let pixels = rows.flat_map(|row| row.chunks_exact(3).rev().flatten()).copied().collect();
    Picture::new(picture.width(), picture.height(), pixels)
}

/// A kind of change, and what it makes of a picture.
type Change = (&'static str, fn(&Picture) -> Picture);

const CHANGES: [Change; 8] = [
    ("JPEG of quality 75", |p| reencoded(p, 75)),
    ("JPEG of quality 30", |p| reencoded(p, 30)),
    ("half the size, and back", |p| {
        plain(plain(p.clone(), [p.height() / 2, p.width() / 2]), [p.height(), p.width()])
    }),
    ("a crop of 2 %", |p| cropped(p, 0.02)),
    ("a crop of 5 %", |p| cropped(p, 0.05)),
    ("darker: 0.7 v + 20", |p| each(p, |v| 0.7 * v + 20.0)),
    ("gamma 1.4", |p| each(p, |v| 255.0 * (v / 255.0).powf(1.4))),
    ("mirrored, JPEG of quality 75", |p| reencoded(&mirrored(p), 75)),
];

/// Prints both figures below which 50, 90, 95, 99 and 100 % of the pairs are.
fn quantiles(name: &str, mut bits: Vec<u32>, mut differences: Vec<f32>) {
    bits.sort_unstable();
    differences.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| ((bits.len() - 1) as f64 * share).round() as usize;
    let text = [0.5, 0.9, 0.95, 0.99, 1.0]
        .map(|s| format!("{:>3} {:>5.1}", bits[at(s)], differences[at(s)]))
        .join("  ");
    println!("{name:34} {:>8}  {text}", bits.len());
}

fn main() {
    let folder = std::env::args().nth(1).expect("the folder is the argument");
    let opened = SourceConfig::of_path(Path::new(&folder)).and_then(|set| set.open_any()).expect("a set");
    let source = opened.source;
    let faces: Vec<Face> = (0..source.len())
        .into_par_iter()
        .filter_map(|i| face(source.label(i), source.load(i, [112, 112]).ok()?))
        .collect();
    println!("{} images; columns: hash bits and thumbnail difference", faces.len());
    println!("changed copies: at 50, 90, 95, 99 and 100 % of the pairs");
    let step = (faces.len() / COPIED).max(1);
    for (name, change) in CHANGES {
        let pairs: Vec<(u32, f32)> = faces
            .par_iter()
            .step_by(step)
            .filter_map(|original| {
                let copy = face(0, change(&original.picture))?;
                let mirrored = name.starts_with("mirrored");
                let of = if mirrored { copy.fingerprint.mirrored } else { copy.fingerprint.hash };
                let bits = (of ^ original.fingerprint.hash).count_ones();
                Some((bits, original.thumbnail.difference(&copy.thumbnail, mirrored)?))
            })
            .collect();
        let (bits, differences) = pairs.into_iter().unzip();
        quantiles(name, bits, differences);
    }
    let bits = |a: usize, b: usize| (faces[a].fingerprint.hash ^ faces[b].fingerprint.hash).count_ones();
    let difference = |a: usize, b: usize| {
        faces[a].thumbnail.difference(&faces[b].thumbnail, false).unwrap_or(f32::INFINITY)
    };
    println!(
        "other images: pairs by hash bits (columns: 0-4, 5-8, 9-12, 13-16) and thumbnail difference (rows)"
    );
    for (name, is_same) in [("one person", true), ("different people", false)] {
        let pairs: Vec<(u32, f32)> = (0..faces.len())
            .into_par_iter()
            .flat_map_iter(|a| {
                let others = (a + 1..faces.len()).filter(|&b| (faces[a].label == faces[b].label) == is_same);
                others.map(|b| (a, b)).filter(|&(a, b)| bits(a, b) <= MOST_BITS).collect::<Vec<_>>()
            })
            .map(|(a, b)| (bits(a, b), difference(a, b)))
            .collect();
        println!("{name}");
        for range in DIFFERENCES.windows(2) {
            let counts = [(0, 4), (5, 8), (9, 12), (13, MOST_BITS)].map(|(low, high)| {
                let is_in = |&&(bits, difference): &&(u32, f32)| {
                    (low..=high).contains(&bits) && (range[0]..range[1]).contains(&difference)
                };
                pairs.iter().filter(is_in).count()
            });
            println!("{:>4} to {:<4} {counts:>7?}", range[0], range[1]);
        }
    }
}
