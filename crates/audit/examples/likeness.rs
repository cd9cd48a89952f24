//! What the likeness to the mean face of a set finds: aligned faces of a folder against the same faces shifted, turned
//! and scaled.
//!
//!     cargo run --release --example likeness -- FOLDER

use std::path::Path;

use facegrad_audit::{LEAST_LIKENESS, MeanFace, Thumbnail};
use facegrad_faces::SourceConfig;
use facegrad_pictures::{ARCFACE_LANDMARKS, Picture, Similarity2d, plain, warp};
use rayon::prelude::*;

/// Images that are looked at.
const FACES: usize = 3000;
const SIDE: usize = 112;
/// Pixels around a face that its mirror image fills, so that no black edges give a shift away.
const AROUND: usize = 40;

/// A face moved by `shift` pixels, turned by `degrees` and scaled around the middle.
fn moved(face: &Picture, scale: f64, degrees: f64, shift: [f64; 2]) -> Picture {
    let mirror = |at: usize| {
        let at = at as isize - AROUND as isize;
        let at = if at < 0 { -at - 1 } else { at };
        (if at >= SIDE as isize { 2 * SIDE as isize - 1 - at } else { at }) as usize
    };
    let wide = SIDE + 2 * AROUND;
    let places = (0..wide * wide).map(|i| (mirror(i / wide) * SIDE + mirror(i % wide)) * 3);
    let pixels = places.flat_map(|at| face.pixels()[at..at + 3].to_vec()).collect();
    let (cos, sin) = (scale * degrees.to_radians().cos(), scale * degrees.to_radians().sin());
    let middle = SIDE as f64 / 2.0;
    let to = ARCFACE_LANDMARKS.map(|point| {
        let [x, y] = point.map(|x| f64::from(x) - middle);
        [cos * x - sin * y + middle + shift[0], sin * x + cos * y + middle + shift[1]].map(|x| x as f32)
    });
    let from = ARCFACE_LANDMARKS.map(|point| point.map(|x| x + AROUND as f32));
    let transform = Similarity2d::estimate(from, to).expect("the template is moved");
    warp(&Picture::new(wide, wide, pixels), &transform, [SIDE, SIDE])
}

fn main() {
    let folder = std::env::args().nth(1).expect("the folder is the argument");
    let opened = SourceConfig::of_path(Path::new(&folder)).and_then(|set| set.open_any()).expect("a set");
    let source = opened.source;
    let step = (source.len() / FACES).max(1);
    let faces: Vec<Picture> = (0..source.len())
        .into_par_iter()
        .step_by(step)
        .filter_map(|image| Some(plain(source.load(image, [SIDE, SIDE]).ok()?, [SIDE, SIDE])))
        .collect();
    let thumbnails: Vec<Thumbnail> = faces.par_iter().map(|face| Thumbnail::of(face.clone())).collect();
    let mean = MeanFace::of(thumbnails.iter()).expect("enough faces");
    let likenesses = |of: &(dyn Fn(&Picture) -> Picture + Sync)| {
        let of = faces.par_iter().filter_map(|face| mean.likeness(&Thumbnail::of(of(face))));
        let mut of: Vec<f32> = of.collect();
        of.sort_unstable_by(f32::total_cmp);
        of
    };
    let below = |of: &[f32]| of.partition_point(|x| *x < LEAST_LIKENESS) as f64 / of.len() as f64;
    let own = likenesses(&Clone::clone);
    println!(
        "{} faces: median {:.2}, below {LEAST_LIKENESS}: {:.2} %",
        own.len(),
        own[own.len() / 2],
        100.0 * below(&own)
    );
    let changes = [
        ("6 pixels aside", 1.0, 0.0, [6.0, 0.0]),
        ("6 pixels down", 1.0, 0.0, [0.0, 6.0]),
        ("12 pixels aside", 1.0, 0.0, [12.0, 0.0]),
        ("12 pixels up", 1.0, 0.0, [0.0, -12.0]),
        ("turned by 10 degrees", 1.0, 10.0, [0.0; 2]),
        ("turned by 20 degrees", 1.0, 20.0, [0.0; 2]),
        ("turned by 45 degrees", 1.0, 45.0, [0.0; 2]),
        ("turned by 90 degrees", 1.0, 90.0, [0.0; 2]),
        ("upside down", 1.0, 180.0, [0.0; 2]),
        ("three quarters the size", 0.75, 0.0, [0.0; 2]),
        ("four thirds the size", 4.0 / 3.0, 0.0, [0.0; 2]),
    ];
    for (name, scale, degrees, shift) in changes {
        let of = likenesses(&|face| moved(face, scale, degrees, shift));
        let auc = of.iter().map(|x| 1.0 - own.partition_point(|y| y < x) as f64 / own.len() as f64);
        let auc = auc.sum::<f64>() / of.len() as f64;
        println!(
            "{name:24} median {:>5.2}, AUC {auc:.3}, below {LEAST_LIKENESS}: {:.1} %",
            of[of.len() / 2],
            100.0 * below(&of)
        );
    }
}
