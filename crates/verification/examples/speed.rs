//! How long the metrics take from embeddings in memory: `cargo run --release -p facegrad-verification --example speed`.

use std::{hint::black_box, time::Instant};

use facegrad_random::{Purpose, Stream};
use facegrad_verification::{
    Centring, Pair, PairList, Roc, ScoredPair, Scores, Similarity, best_threshold, insightface, k_fold,
    k_fold_centred,
};

/// Prints the shortest of three runs.
fn time<T>(what: &str, run: impl Fn() -> T) {
    let once = || {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    };
    let best = (0..3).map(|_| once()).fold(f64::INFINITY, f64::min);
    println!("{:9.2} ms  {what}", best * 1e3);
}

fn main() {
    // LFW View 2: 7,701 images, 10 folds of 300 genuine and 300 impostor pairs.
    let (images, dim) = (7_701, 512);
    let mut stream = Stream::new(1, Purpose::Benchmark, 0, 0);
    let embeddings: Vec<f32> = (0..images * dim).map(|_| stream.normal()).collect();
    let pairs = (0..6_000)
        .map(|i| Pair {
            a: stream.below(images),
            b: stream.below(images),
            same: i / 300 % 2 == 0,
            fold: i / 600,
        })
        .collect();
    let list = PairList::new((0..images).collect(), pairs, None);
    let cosine = Similarity::Cosine;
    time("Scores::of, 6,000 pairs x 512", || Scores::of(cosine, &embeddings, dim, &list));
    time("Scores::of_centred", || Scores::of_centred(cosine, Centring::OtherFolds, &embeddings, dim, &list));
    time("k_fold_centred, 10 folds", || {
        k_fold_centred(cosine, Centring::OtherFolds, &embeddings, dim, &list)
    });
    time("insightface::evaluate", || insightface::evaluate(&embeddings, dim, &list));
    if let Ok(scores) = Scores::of(cosine, &embeddings, dim, &list) {
        time("k_fold, 6,000 pairs x 10 folds", || k_fold(&scores));
    }

    let pair = |i: usize| {
        let same = i.is_multiple_of(2);
        let score = f64::from(stream.normal()) + if same { 2.0 } else { 0.0 };
        ScoredPair { score, same, fold: i / 100_000 }
    };
    if let Ok(scores) = Scores::new((0..1_000_000).map(pair).collect()) {
        time("best_threshold, 1,000,000 pairs", || best_threshold(scores.pairs()));
        time("Roc::new, 1,000,000 pairs", || Roc::new(&scores));
        time("k_fold, 1,000,000 pairs x 10 folds", || k_fold(&scores));
    }
}
