//! How long the metrics take from embeddings in memory: `cargo run --release -p facegrad-verification --example speed`.

use std::{hint::black_box, time::Instant};

use facegrad_random::{Purpose, Stream};
use facegrad_verification::{
    Bootstrap, Centring, Pair, PairList, People, Resampling, Roc, ScoredPair, Scores, Similarity,
    best_threshold, insightface, k_fold, k_fold_centred, same_pairs,
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

    // One genuine and one impostor pair of each person, as in LFW; and a hundred of each.
    for (people, each, folds, rounds) in [(3_000, 1, 10, 1_000), (5_000, 100, 1, 100)] {
        let (list, scores) = pairs_of_people(people, each, folds);
        let Ok(accuracy) = k_fold(&scores).or_else(|_| same_pairs(&scores)) else { continue };
        let people = People::of(&list);
        let resampling = Resampling { people: Some(&people), rounds, seed: 1 };
        let what = format!("Bootstrap::new, {} pairs, {rounds} rounds", scores.pairs().len());
        time(&what, || Bootstrap::new(&scores, Some(&accuracy), &resampling));
    }
}

/// `each` genuine pairs of every person, and as many impostor pairs with those who follow. Image 2p and 2p + 1 are of
/// person p.
fn pairs_of_people(people: usize, each: usize, folds: usize) -> (PairList<usize>, Scores) {
    let mut stream = Stream::new(1, Purpose::Benchmark, 0, 1);
    let (mut pairs, mut scored) = (Vec::new(), Vec::new());
    for person in 0..people {
        let fold = person % folds;
        let others = person + 1..(person + 1 + each).min(people);
        let genuine = std::iter::repeat_n(person, each);
        for other in genuine.chain(others) {
            let same = other == person;
            pairs.push(Pair { a: 2 * person, b: 2 * other + usize::from(same), same, fold });
            let score = f64::from(stream.normal()) + if same { 2.0 } else { 0.0 };
            scored.push(ScoredPair { score, same, fold });
        }
    }
    let owners = (0..2 * people).map(|image| image / 2).collect();
    let scores = Scores::new(scored).expect("finite scores of both kinds");
    (PairList::new((0..2 * people).collect(), pairs, Some(owners)), scores)
}
