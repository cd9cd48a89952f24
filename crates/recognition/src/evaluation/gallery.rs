//! Models side by side: their sheets with images and maps to look at, and whether their differences are more than noise.

use std::collections::HashMap;

use facegrad_embeddings::{Pca, Tsne};
use facegrad_pictures::{ImageFormat, encode};
use facegrad_results::{EmbeddedImage, EmbeddingMap, Fact, ImagePair, MapClass, ResultSheet};
use facegrad_verification::{
    Contender, Flip, PairedComparison, PairedError, People, Resampling, ScoredPair, VerificationResult,
    compare,
};

use super::{Measurement, OpenProtocol, PairOutcome, ProtocolOutcome};

/// A model, and what was measured of it on each protocol.
pub struct Contestant {
    /// What it is called beside others.
    pub name: String,
    /// What is known of it.
    pub card: Vec<Fact>,
    /// One for each protocol.
    pub measured: Vec<ProtocolOutcome>,
}

/// What there is to look at beside numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GalleryOptions {
    /// So many of the worst false accepts and of the worst false rejects are shown.
    pub worst: usize,
    /// Side of a thumbnail in pixels.
    pub thumbnail: usize,
    /// So many people are on the maps of embeddings.
    pub people: usize,
    /// So many embeddings are on a map at most.
    pub points: usize,
}

impl Default for GalleryOptions {
    fn default() -> Self {
        Self { worst: 20, thumbnail: 88, people: 12, points: 600 }
    }
}

/// The sheets of `contestants` on `protocols`, which are given by name, with the worst errors and maps of embeddings where
/// a protocol lists pairs.
pub fn sheets(
    protocols: &[(String, Box<dyn OpenProtocol>)],
    contestants: &[Contestant],
    options: &GalleryOptions,
) -> Vec<ResultSheet> {
    let mut sheets = Vec::new();
    for (i, (name, protocol)) in protocols.iter().enumerate() {
        for contestant in contestants {
            let Some(measured) = contestant.measured.get(i) else { continue };
            let model = contestant.name.clone();
            let mut sheet = ResultSheet { name: name.clone(), model, ..measured.sheet() };
            if let (Some(pairs), Some(result)) = (&measured.pairs, measured.outcome.verification()) {
                let worst = |same| worst(protocol.as_ref(), pairs, result, same, options);
                sheet.pairs = vec![
                    ("Worst false accepts: other people, highest scores".into(), worst(false)),
                    ("Worst false rejects: same person, lowest scores".into(), worst(true)),
                ];
                sheet.maps = maps(name, &contestant.name, pairs, options);
            }
            sheets.push(sheet);
        }
    }
    sheets
}

/// The worst false accepts (`same` false) or false rejects of the thresholds of the accuracy.
fn worst(
    protocol: &dyn OpenProtocol,
    pairs: &PairOutcome,
    result: &VerificationResult,
    same: bool,
    options: &GalleryOptions,
) -> Vec<ImagePair> {
    let Some(accuracy) = &result.accuracy else { return Vec::new() };
    let thresholds: HashMap<usize, f64> =
        accuracy.folds.iter().map(|fold| (fold.fold, fold.threshold)).collect();
    let threshold = |pair: &ScoredPair| match accuracy.folds.len() {
        1 => accuracy.threshold(),
        _ => thresholds.get(&pair.fold).copied().unwrap_or_default(),
    };
    let mut wrong: Vec<(usize, f64)> = pairs
        .scores
        .pairs()
        .iter()
        .enumerate()
        .filter(|(_, pair)| pair.same == same && (pair.score >= threshold(pair)) != same)
        .map(|(i, pair)| (i, pair.score))
        .collect();
    let order =
        |a: &(usize, f64), b: &(usize, f64)| if same { a.1.total_cmp(&b.1) } else { b.1.total_cmp(&a.1) };
    wrong.sort_by(order);
    let side = [options.thumbnail; 2];
    let thumbnail = |image: usize| EmbeddedImage {
        bytes: protocol
            .picture(pairs.positions[image], side)
            .and_then(|picture| encode(&picture, ImageFormat::Jpeg).ok())
            .unwrap_or_default(),
        alt: pairs.list.images()[image].clone(),
    };
    wrong
        .iter()
        .take(options.worst)
        .map(|&(i, score)| {
            let pair = pairs.list.pairs()[i];
            let name = |image: usize| pairs.list.images()[image].clone();
            ImagePair {
                left: thumbnail(pair.a),
                right: thumbnail(pair.b),
                score,
                caption: format!("{} and {}", name(pair.a), name(pair.b)),
            }
        })
        .collect()
}

/// The people with most images, laid out by principal components and by t-SNE.
fn maps(protocol: &str, model: &str, pairs: &PairOutcome, options: &GalleryOptions) -> Vec<EmbeddingMap> {
    let (list, dim) = (&pairs.list, pairs.embedded.dim);
    let mut by_person: HashMap<usize, Vec<usize>> = HashMap::new();
    for (image, person) in list.people().iter().enumerate() {
        by_person.entry(*person).or_default().push(image);
    }
    let mut people: Vec<(usize, Vec<usize>)> = by_person.into_iter().collect();
    people.sort_by_key(|(person, images)| (std::cmp::Reverse(images.len()), *person));
    people.truncate(options.people);
    let each = options.points / people.len().max(1);
    people.iter_mut().for_each(|(_, images)| images.truncate(each.max(1)));
    // With fewer than three images a person there is nothing to see.
    people.retain(|(_, images)| images.len() > 2);
    let images: Vec<usize> = people.iter().flat_map(|(_, images)| images.clone()).collect();
    if people.len() < 2 {
        return Vec::new();
    }
    let mut rows = Vec::with_capacity(images.len() * dim);
    for &image in &images {
        let row = &pairs.embedded.rows[image * dim..(image + 1) * dim];
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
        rows.extend(row.iter().map(|x| (f64::from(*x) / length) as f32));
    }
    let name = |image: usize| {
        let name = &list.images()[image];
        if list.names_people() {
            name.split('/').next().unwrap_or(name).replace('_', " ")
        } else {
            name.clone()
        }
    };
    let classes = |point: &dyn Fn(usize) -> (f64, f64)| {
        let mut next = 0;
        let class = |(_, images): &(usize, Vec<usize>)| {
            let points = (next..next + images.len()).map(point).collect();
            next += images.len();
            MapClass { name: name(images[0]), points }
        };
        people.iter().map(class).collect::<Vec<_>>()
    };
    let mut maps = Vec::new();
    let about =
        format!("the {} people with most images of {protocol}, unit embeddings of {model}", people.len());
    if let Ok(pca) = Pca::fit(&rows, dim)
        && let Ok(points) = pca.project(&rows, 2)
    {
        let share = |k: usize| {
            format!("component {k} ({:.0} % of the variance)", (pca.share(k) - pca.share(k - 1)) * 100.0)
        };
        maps.push(EmbeddingMap {
            title: format!("principal components: {protocol}, {model}"),
            x_label: share(1),
            y_label: share(2),
            classes: classes(&|i| (f64::from(points[2 * i]), f64::from(points[2 * i + 1]))),
            note: about.clone(),
        });
    }
    if let Ok(map) = Tsne::default().map(&rows, dim) {
        maps.push(EmbeddingMap {
            title: format!("t-SNE: {protocol}, {model}"),
            classes: classes(&|i| (f64::from(map.points[i][0]), f64::from(map.points[i][1]))),
            note: format!("{about}; {map}"),
            ..Default::default()
        });
    }
    maps
}

/// Two models on the pairs of one protocol.
pub struct PairedModels {
    /// What the protocol is called.
    pub protocol: String,
    /// What the page calls the one model.
    pub a: String,
    /// What it calls the other.
    pub b: String,
    /// How an image and its mirror image were fused for each.
    pub flips: [Flip; 2],
    /// Whether the difference is more than noise, or why they cannot be compared.
    pub outcome: Result<PairedComparison, PairedError>,
}

/// Every two of `contestants` on each of `protocols` that lists pairs.
pub fn comparisons(
    protocols: &[(String, Box<dyn OpenProtocol>)],
    contestants: &[Contestant],
    measurement: &Measurement,
) -> Vec<PairedModels> {
    let mut all = Vec::new();
    for (k, a) in contestants.iter().enumerate() {
        for b in &contestants[k + 1..] {
            for ((protocol, _), (of_a, of_b)) in protocols.iter().zip(a.measured.iter().zip(&b.measured)) {
                let flip =
                    |of: &ProtocolOutcome| of.outcome.verification().map(|result| result.provenance.flip);
                let flips = flip(of_a).zip(flip(of_b));
                let (Some(of_a), Some(of_b), Some((flip_a, flip_b))) = (&of_a.pairs, &of_b.pairs, flips)
                else {
                    continue;
                };
                let people = People::with_lost(&of_a.list, of_a.scores.lost());
                let Measurement { bootstrap_rounds: rounds, seed, .. } = *measurement;
                let resampling = Resampling { people: Some(&people), rounds, seed };
                let outcome = compare(contender(of_a), contender(of_b), &resampling);
                all.push(PairedModels {
                    protocol: protocol.clone(),
                    a: a.name.clone(),
                    b: b.name.clone(),
                    flips: [flip_a, flip_b],
                    outcome,
                });
            }
        }
    }
    all
}

fn contender(pairs: &PairOutcome) -> Contender<'_> {
    Contender { scores: &pairs.scores, development: pairs.development.as_ref() }
}
