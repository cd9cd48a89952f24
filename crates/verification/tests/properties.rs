//! What holds for every list of pairs, whatever the scores.

use facegrad_random::{Purpose, Stream};
use facegrad_verification::{
    Accuracy, Centring, Pair, PairList, Roc, ScoredPair, Scores, Similarity, Unmeasurable, best_threshold,
    insightface, k_fold, k_fold_centred, same_pairs, transfer,
};

const DIM: usize = 6;
const FOLDS: usize = 5;

/// Embeddings of small whole numbers, so that there are ties, and pairs of them in which each fold has both
/// classes.
fn list(seed: u64) -> (Vec<f32>, PairList<usize>) {
    let mut stream = Stream::new(seed, Purpose::Pairs, 9, 0);
    let images = 60;
    let embeddings = (0..images * DIM).map(|_| (2.0 * stream.normal()).round() + 0.5).collect();
    let pairs = (0..300)
        .map(|i| {
            let a = stream.below(images);
            let b = (a + 1 + stream.below(images - 1)) % images;
            Pair { a, b, same: i % 2 == 0, fold: i / 2 % FOLDS }
        })
        .collect();
    (embeddings, PairList::new((0..images).collect(), pairs, None))
}

/// Scores of two overlapping classes on a grid of eighths.
fn scores(seed: u64) -> Scores {
    let mut stream = Stream::new(seed, Purpose::Bootstrap, 9, 0);
    let pair = |i: usize| {
        let same = i.is_multiple_of(3);
        let score = f64::from(stream.normal()) + if same { 1.0 } else { 0.0 };
        ScoredPair { score: (score * 8.0).round() / 8.0, same, fold: i / 3 % FOLDS }
    };
    Scores::new((0..600).map(pair).collect()).unwrap()
}

fn changed(scores: &Scores, change: impl Fn(ScoredPair) -> ScoredPair) -> Scores {
    Scores::new(scores.pairs().iter().copied().map(change).collect()).unwrap()
}

fn with_pairs(list: &PairList<usize>, pairs: Vec<Pair>) -> PairList<usize> {
    PairList::new(list.images().to_vec(), pairs, None)
}

#[test]
fn the_curve_rises_from_corner_to_corner() {
    for seed in 0..10 {
        let roc = Roc::new(&scores(seed)).unwrap();
        let curve = roc.curve();
        assert_eq!((curve[0], curve[curve.len() - 1]), ((0.0, 0.0), (1.0, 1.0)));
        for step in curve.windows(2) {
            assert!(step[0].0 <= step[1].0 && step[0].1 <= step[1].1 && step[0] != step[1]);
        }
        for share in [roc.auc(), roc.eer(), roc.average_precision()] {
            assert!((0.0..=1.0).contains(&share));
        }
    }
}

#[test]
fn turned_round_scores_turn_the_area_round() {
    for seed in 0..10 {
        let scores = scores(seed);
        let turned = changed(&scores, |pair| ScoredPair { score: -pair.score, ..pair });
        let auc = |scores| Roc::new(scores).unwrap().auc();
        assert!((auc(&scores) + auc(&turned) - 1.0).abs() < 1e-15);
        // Other names for the classes do the same.
        let renamed = changed(&scores, |pair| ScoredPair { same: !pair.same, ..pair });
        assert_eq!(auc(&renamed), auc(&turned));
    }
}

#[test]
fn the_order_of_the_pairs_does_not_matter() {
    for seed in 0..5 {
        let (embeddings, list) = list(seed);
        let mut pairs = list.pairs().to_vec();
        Stream::new(seed, Purpose::Order, 9, 0).shuffle(&mut pairs);
        let shuffled = with_pairs(&list, pairs);
        for similarity in [Similarity::Cosine, Similarity::Euclidean] {
            let of = |list| Scores::of(similarity, &embeddings, DIM, list).unwrap();
            let (a, b) = (of(&list), of(&shuffled));
            assert_eq!(Roc::new(&a), Roc::new(&b));
            assert_eq!(k_fold(&a), k_fold(&b));
            assert_eq!(same_pairs(&a), same_pairs(&b));
            // The mean is summed in another order.
            let area = |list| {
                let scores = Scores::of_centred(similarity, Centring::OtherFolds, &embeddings, DIM, list);
                Roc::new(&scores.unwrap()).unwrap().auc()
            };
            assert!((area(&list) - area(&shuffled)).abs() < 1e-3);
        }
    }
}

#[test]
fn the_sides_of_a_pair_can_be_swapped() {
    for seed in 0..5 {
        let (embeddings, list) = list(seed);
        let swap = |pair: &Pair| Pair { a: pair.b, b: pair.a, ..*pair };
        let swapped = with_pairs(&list, list.pairs().iter().map(swap).collect());
        for similarity in [Similarity::Cosine, Similarity::Euclidean] {
            let plain = |list| Scores::of(similarity, &embeddings, DIM, list).unwrap();
            assert_eq!(plain(&list), plain(&swapped));
            let centred =
                |list| Scores::of_centred(similarity, Centring::OtherFolds, &embeddings, DIM, list).unwrap();
            for (a, b) in centred(&list).pairs().iter().zip(centred(&swapped).pairs()) {
                assert!((a.score - b.score).abs() < 1e-12);
            }
        }
        let compat = |list| insightface::evaluate(&embeddings, DIM, list).unwrap();
        assert_eq!(compat(&list), compat(&swapped));
    }
}

#[test]
fn a_rising_function_of_the_scores_changes_no_decision() {
    let rising: [fn(f64) -> f64; 4] = [f64::exp, f64::atan, |x| x.powi(3) + x, |x| 2.0 * x + 1.0];
    for seed in 0..5 {
        let scores = scores(seed);
        for f in rising {
            let other = changed(&scores, |pair| ScoredPair { score: f(pair.score), ..pair });
            let (a, b) = (Roc::new(&scores).unwrap(), Roc::new(&other).unwrap());
            assert_eq!(a.curve(), b.curve());
            assert_eq!((a.auc(), a.eer()), (b.auc(), b.eer()));
            assert_eq!(a.average_precision(), b.average_precision());
            // Of equally good thresholds the one in the widest gap is taken. Which gap that is depends on the
            // function, so only the number of correct decisions on the same pairs has to stay.
            assert_eq!(same_pairs(&scores).unwrap().mean, same_pairs(&other).unwrap().mean);
        }
        // A linear function keeps the order of the gaps, and so the decisions in every fold.
        let linear = changed(&scores, |pair| ScoredPair { score: 4.0 * pair.score - 1.0, ..pair });
        let decisions = |scores| {
            let Accuracy { mean, folds, .. } = k_fold(scores).unwrap();
            (mean, folds.iter().map(|f| (f.false_accepts, f.false_rejects)).collect::<Vec<_>>())
        };
        assert_eq!(decisions(&scores), decisions(&linear));
    }
}

#[test]
fn the_length_of_embeddings_does_not_change_cosines() {
    let (embeddings, list) = list(3);
    // Powers of two: without rounding.
    let scaled: Vec<f32> = embeddings
        .chunks(DIM)
        .zip(0..)
        .flat_map(|(row, i)| row.iter().map(move |x| x * 2.0_f32.powi(i % 9 - 4)))
        .collect();
    let of = |embeddings: &[f32]| Scores::of(Similarity::Cosine, embeddings, DIM, &list).unwrap();
    assert_eq!(of(&embeddings), of(&scaled));
    let compat = |embeddings: &[f32]| insightface::evaluate(embeddings, DIM, &list).unwrap();
    assert_eq!(compat(&embeddings), compat(&scaled));
}

#[test]
fn lists_of_one_class_are_refused_with_a_sentence() {
    let (embeddings, list) = list(1);
    for (same, reason, sentence) in [
        (true, Unmeasurable::OnlyGenuine, "not measurable: only genuine pairs"),
        (false, Unmeasurable::OnlyImpostor, "not measurable: only impostor pairs"),
    ] {
        let pairs = list.pairs().iter().map(|pair| Pair { same, ..*pair }).collect();
        let one_class = with_pairs(&list, pairs);
        let scores = Scores::of(Similarity::Cosine, &embeddings, DIM, &one_class).unwrap();
        assert_eq!(scores.unmeasurable(), Some(reason));
        assert_eq!(Roc::new(&scores).unwrap_err(), reason);
        assert_eq!(k_fold(&scores).unwrap_err(), reason);
        assert_eq!(same_pairs(&scores).unwrap_err(), reason);
        assert_eq!(transfer(&scores, &scores).unwrap_err(), reason);
        assert_eq!(best_threshold(scores.pairs()).unwrap_err(), reason);
        for centring in [Centring::None, Centring::OtherFolds] {
            let centred = k_fold_centred(Similarity::Cosine, centring, &embeddings, DIM, &one_class);
            assert_eq!(centred.unwrap_err().to_string(), sentence);
        }
        let compat = insightface::evaluate(&embeddings, DIM, &one_class);
        assert_eq!(compat.unwrap_err().to_string(), sentence);
    }
}
