//! Whether two photographs show the same person.
//!
//!     cargo run --release --example verify_two_photographs -- checkpoints/quickstart a.jpg b.jpg
//!
//! The photographs are of aligned faces, as the model was trained on (`facegrad align`). A model with operating points
//! (`facegrad calibrate`) decides; of another only the score is known.

use std::{error::Error, path::Path};

use facegrad::{
    Backend, Embedder, EmbeddingModel, ImageFiles, choose,
    verification::{Flip, Pair, PairList, Scores},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, a, b] = &arguments[..] else {
        return Err("a model and two photographs are expected".into());
    };
    let chosen = choose(Backend::built_in()[0], None)?;
    let model = EmbeddingModel::load(Path::new(model), &chosen.device)?;
    let images = ImageFiles::new([a, b].map(|path| (path.clone(), path.into())));
    let embedder = Embedder::model(&model, 2, &chosen.description);
    let points = &model.card.operating_points;
    let flip = points.first().map_or(Flip::Add, |point| point.flip);
    let embedded = embedder.embed(&images, flip, &mut |_done| true)?;

    let pair = Pair { a: 0, b: 1, same: true, fold: 0 };
    let pairs = PairList::new(vec![a.clone(), b.clone()], vec![pair], None);
    let scores = Scores::of(model.card.scoring, &embedded.rows, embedded.dim, &pairs)?;
    println!("{} {:.4}", model.card.scoring, scores.pairs()[0].score);
    // A point of searches is for galleries.
    for point in points.iter().filter(|point| !point.target.is_of_searches()) {
        let score = point.score_of(&embedded.rows, embedded.dim, [a.clone(), b.clone()])?;
        let decision = if point.accepts(score) { "same person" } else { "different people" };
        println!("{decision} at {}, threshold {:.4}", point.target, point.threshold);
    }
    Ok(())
}
