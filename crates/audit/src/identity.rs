//! What embeddings say of the labels of a set: images of somebody else, identities of two people, people under two
//! labels, people who are also in another set.
//!
//! Nothing here knows how embeddings are made. All rules compare a figure with what is usual in the same set, by
//! medians and quartiles, so that they hold for any model whose embeddings are compared by their cosine; none of them
//! proves anything. A model that was trained on the very labels tends to confirm them.

use facegrad_verification::{LabelledUnitEmbeddings, UnitEmbeddings, UnitEmbeddingsError};
use rayon::prelude::*;

/// Embeddings of images with the labels they have, scaled to length one.
pub struct LabelledEmbeddings {
    units: UnitEmbeddings,
    labels: Vec<usize>,
    /// The sum of the units of each label, `[identities, dim]`.
    sums: Vec<f32>,
    /// The lengths of the sums.
    lengths: Vec<f32>,
    counts: Vec<usize>,
}

/// How near an image is to its identity and to others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affinity {
    /// The cosine with the mean of the other images of its identity; `None` if there are none.
    pub own: Option<f32>,
    /// The largest cosine with the mean of another identity; −1 if there is none.
    pub other: f32,
    /// The identity it is of.
    pub nearest: usize,
}

/// An image that looks like another identity than that which it is filed under.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuspectLabel {
    /// The image.
    pub image: usize,
    /// The cosine with the mean of the other images of its identity.
    pub own: f32,
    /// The cosine with the mean of the identity it looks like; less than `own` for an image that looks like nobody.
    pub other: f32,
    /// That identity.
    pub nearest: usize,
}

/// An identity that falls into two parts.
#[derive(Debug, Clone, PartialEq)]
pub struct MixedIdentity {
    /// The identity.
    pub identity: usize,
    /// The cosine between the means of its parts.
    pub cosine: f32,
    /// The images of the smaller part.
    pub part: Vec<usize>,
}

/// Two identities, of one set or of two, that look like one person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IdentityPair {
    /// The one.
    pub a: usize,
    /// The other.
    pub b: usize,
    /// The cosine between their means.
    pub cosine: f32,
}

/// What is usual in a set.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AffinityStatistics {
    /// The share of images that are nearer to the others of their identity than to any other identity, of those that
    /// have others: how far the embeddings tell these identities apart.
    pub recognised: f32,
    /// The median cosine of an image with the mean of the others of its identity.
    pub own: f32,
    /// The quarter of images that are least like their identity are below this.
    pub own_quartile: f32,
    /// The median cosine of the mean of an identity with the nearest other.
    pub between: f32,
    /// A tenth of the identities have halves that are less alike than this.
    pub halves: f32,
}

/// Embeddings that recognise fewer of the images than this say little of labels.
pub const TRUSTED: f32 = 0.9;

/// Images or identities that are compared by one task.
const BLOCK: usize = 64;
/// Smaller identities are not split.
const LEAST_SPLIT: usize = 8;
/// Parts with a smaller share of an identity, or fewer images than 3, are taken for odd images.
const LEAST_PART: f64 = 0.1;
/// A deviation by so many standard deviations, estimated from the median absolute deviation, is unusual.
const UNUSUAL: f32 = 2.5;
/// The same where there is no other identity to explain it.
const VERY_UNUSUAL: f32 = 4.0;
/// A standard deviation of a normal distribution in median absolute deviations.
const PER_MAD: f32 = 1.4826;

impl LabelledEmbeddings {
    /// Takes in `rows` `[images, dim]` and the label of each.
    ///
    /// # Errors
    /// If the sizes do not fit, or an embedding has no direction.
    ///
    /// # Panics
    /// If a label is not below `identities`.
    pub fn new(
        rows: Vec<f32>,
        dim: usize,
        labels: Vec<usize>,
        identities: usize,
    ) -> Result<Self, UnitEmbeddingsError> {
        let units = UnitEmbeddings::new(rows, dim)?;
        LabelledUnitEmbeddings::new(&units, &labels)?;
        let mut sums = vec![0.0f64; identities * dim];
        let mut counts = vec![0; identities];
        for (image, &label) in labels.iter().enumerate() {
            let sum = &mut sums[label * dim..(label + 1) * dim];
            sum.iter_mut().zip(units.row(image)).for_each(|(sum, x)| *sum += f64::from(*x));
            counts[label] += 1;
        }
        let sums: Vec<f32> = sums.into_iter().map(|x| x as f32).collect();
        let lengths = sums.chunks_exact(dim).map(|sum| dot(sum, sum).sqrt()).collect();
        Ok(Self { units, labels, sums, lengths, counts })
    }

    fn unit(&self, image: usize) -> &[f32] {
        self.units.row(image)
    }

    fn sum(&self, label: usize) -> &[f32] {
        let dim = self.units.dim();
        &self.sums[label * dim..(label + 1) * dim]
    }

    /// The images of each identity, in their order.
    fn members(&self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.counts.len()];
        self.labels.iter().enumerate().for_each(|(image, &label)| members[label].push(image));
        members
    }

    /// The image of each identity that is most like the mean of it, for those that have images.
    pub fn typical(&self) -> Vec<Option<usize>> {
        let mut best: Vec<Option<(f32, usize)>> = vec![None; self.counts.len()];
        for (image, &label) in self.labels.iter().enumerate() {
            let cosine = dot(self.unit(image), self.sum(label));
            if best[label].is_none_or(|(other, _)| cosine > other) {
                best[label] = Some((cosine, image));
            }
        }
        best.into_iter().map(|best| best.map(|(_, image)| image)).collect()
    }

    /// How near each image is to its identity, without itself, and to the nearest other.
    pub fn affinities(&self) -> Vec<Affinity> {
        let affinity = |image: usize| {
            let (unit, label) = (self.unit(image), self.labels[image]);
            let mut affinity = Affinity { own: None, other: -1.0, nearest: label };
            for (identity, &length) in self.lengths.iter().enumerate() {
                let product = dot(unit, self.sum(identity));
                if identity == label {
                    // The sum without the image: |s − x|² = |s|² − 2 s x + 1.
                    let rest = (length * length - 2.0 * product + 1.0).max(0.0).sqrt();
                    let is_some = self.counts[label] > 1 && rest > 1e-6;
                    affinity.own = is_some.then(|| (product - 1.0) / rest);
                } else if length > 1e-6 && product / length > affinity.other {
                    (affinity.other, affinity.nearest) = (product / length, identity);
                }
            }
            affinity
        };
        (0..self.labels.len()).into_par_iter().with_min_len(BLOCK).map(affinity).collect()
    }

    /// The mean of each identity against that of the nearest other.
    fn nearest_identities(&self) -> Vec<Option<IdentityPair>> {
        nearest(self, self, true)
    }

    /// What is usual in the set.
    pub fn usual(&self, affinities: &[Affinity]) -> AffinityStatistics {
        let own = sorted(affinities.iter().filter_map(|affinity| affinity.own));
        let between = sorted(self.nearest_identities().into_iter().flatten().map(|alike| alike.cosine));
        let halves = self.members().into_iter().filter(|images| images.len() >= 4).map(|images| {
            // Every second one: neighbours may be frames of one film.
            let half = |skip: usize| self.mean_of(images.iter().copied().skip(skip).step_by(2));
            cosine(&half(0), &half(1))
        });
        let recognised = affinities.iter().filter(|affinity| affinity.own > Some(affinity.other)).count();
        AffinityStatistics {
            recognised: recognised as f32 / own.len().max(1) as f32,
            own: quantile(&own, 0.5),
            own_quartile: quantile(&own, 0.25),
            between: quantile(&between, 0.5),
            halves: quantile(&sorted(halves), 0.1),
        }
    }

    fn mean_of(&self, images: impl Iterator<Item = usize>) -> Vec<f32> {
        let mut sum = vec![0.0; self.units.dim()];
        for image in images {
            sum.iter_mut().zip(self.unit(image)).for_each(|(sum, x)| *sum += x);
        }
        sum
    }

    /// Images that look like another identity, the clearest first, and images that look like nobody, the oddest first.
    ///
    /// Of the cosines of an identity's images with the mean of its others, the median and the deviation (1.4826 median
    /// absolute deviations, at least half of what is usual in the set) say what is usual. An image is likely
    /// mislabelled if it is 2.5 deviations below, nearer to another identity, and not that far below what is usual
    /// there: what Northcutt, Jiang and Chuang ("Confident learning", JAIR 2021) do with probabilities and means. It
    /// looks like nobody if it is 4 deviations below and not likely mislabelled. Identities of fewer than
    /// three images say nothing of theirs.
    pub fn mislabelled(&self, affinities: &[Affinity]) -> (Vec<SuspectLabel>, Vec<SuspectLabel>) {
        let own: Vec<Vec<f32>> = self
            .members()
            .into_iter()
            .map(|images| sorted(images.into_iter().filter_map(|image| affinities[image].own)))
            .collect();
        let deviations: Vec<f32> = own.iter().map(|own| deviation(own)).collect();
        let usual = quantile(
            &sorted(deviations.iter().zip(&own).filter(|(_, own)| own.len() > 2).map(|(d, _)| *d)),
            0.5,
        );
        let (mut mislabelled, mut odd) = (Vec::new(), Vec::new());
        for (image, affinity) in affinities.iter().enumerate() {
            let label = self.labels[image];
            let Some(cosine) = affinity.own.filter(|_| own[label].len() > 2) else { continue };
            let deviation = |label: usize| deviations[label].max(usual / 2.0).max(1e-6);
            let below = |label: usize, cosine: f32| (quantile(&own[label], 0.5) - cosine) / deviation(label);
            let found = SuspectLabel { image, own: cosine, other: affinity.other, nearest: affinity.nearest };
            let is_like_nearest = affinity.other > cosine
                && !own[affinity.nearest].is_empty()
                && below(affinity.nearest, affinity.other) < UNUSUAL;
            if below(label, cosine) > UNUSUAL && is_like_nearest {
                mislabelled.push(found);
            } else if below(label, cosine) > VERY_UNUSUAL {
                odd.push(found);
            }
        }
        let margin = |found: &SuspectLabel| found.other - found.own;
        mislabelled.sort_by(|a, b| margin(b).total_cmp(&margin(a)).then(a.image.cmp(&b.image)));
        odd.sort_by(|a, b| a.own.total_cmp(&b.own).then(a.image.cmp(&b.image)));
        (mislabelled, odd)
    }

    /// Identities that are likely two people, the clearest first.
    ///
    /// Each identity of at least 8 images is cut in two by spherical 2-means from its two most different images, and
    /// parts of at least a tenth and three images are kept. It is likely two people if the cosine between the means of
    /// its parts is 2.5 deviations below what is usual for identities, and no larger than that between different
    /// identities at the top quarter of the nearest.
    pub fn merged(&self) -> Vec<MixedIdentity> {
        let splits: Vec<Option<MixedIdentity>> = self
            .members()
            .into_par_iter()
            .enumerate()
            .map(|(identity, images)| self.split(identity, &images))
            .collect();
        let splits: Vec<MixedIdentity> = splits.into_iter().flatten().collect();
        let cosines = sorted(splits.iter().map(|split| split.cosine));
        let between = sorted(self.nearest_identities().into_iter().flatten().map(|alike| alike.cosine));
        let limit = quantile(&cosines, 0.5) - UNUSUAL * deviation(&cosines).max(0.01);
        let limit = limit.min(quantile(&between, 0.75));
        let mut found: Vec<MixedIdentity> = splits.into_iter().filter(|split| split.cosine < limit).collect();
        found.sort_by(|a, b| a.cosine.total_cmp(&b.cosine).then(a.identity.cmp(&b.identity)));
        found
    }

    fn split(&self, identity: usize, images: &[usize]) -> Option<MixedIdentity> {
        if images.len() < LEAST_SPLIT {
            return None;
        }
        let farthest = |from: &[f32]| {
            images
                .iter()
                .copied()
                .min_by(|&a, &b| dot(self.unit(a), from).total_cmp(&dot(self.unit(b), from)))
        };
        let first = farthest(self.sum(identity))?;
        let second = farthest(self.unit(first))?;
        let mut means = [self.unit(first).to_vec(), self.unit(second).to_vec()];
        let mut is_second = vec![false; images.len()];
        for _ in 0..50 {
            let lengths = means.each_ref().map(|mean| dot(mean, mean).sqrt().max(1e-12));
            let now: Vec<bool> = images
                .iter()
                .map(|&image| {
                    let unit = self.unit(image);
                    dot(unit, &means[1]) / lengths[1] > dot(unit, &means[0]) / lengths[0]
                })
                .collect();
            let is_settled = now == is_second;
            is_second = now;
            let part = |second: bool| {
                let images = images.iter().zip(&is_second).filter(|(_, is)| **is == second);
                self.mean_of(images.map(|(image, _)| *image))
            };
            means = [part(false), part(true)];
            if is_settled {
                break;
            }
        }
        let seconds = is_second.iter().filter(|is| **is).count();
        let smaller = seconds <= images.len() - seconds;
        let part = images.iter().zip(&is_second).filter(|(_, is)| **is == smaller);
        let part: Vec<usize> = part.map(|(image, _)| *image).collect();
        if part.len() < 3 || (part.len() as f64) < LEAST_PART * images.len() as f64 {
            return None;
        }
        Some(MixedIdentity { identity, cosine: cosine(&means[0], &means[1]), part })
    }

    /// Identities that are likely one person under two labels, the clearest first.
    ///
    /// They are the nearest to each other, and the cosine between their means is either as large as that between the
    /// halves of all but a tenth of the identities, or far out (by three times the distance of the quartiles above the
    /// upper: Tukey, "Exploratory data analysis", 1977) among those of the nearest identities.
    pub fn split_identities(&self, usual: &AffinityStatistics) -> Vec<IdentityPair> {
        let nearest = self.nearest_identities();
        let cosines = sorted(nearest.iter().flatten().map(|alike| alike.cosine));
        let (low, high) = (quantile(&cosines, 0.25), quantile(&cosines, 0.75));
        let far_out = high + 3.0 * (high - low).max(0.01);
        let limit = if usual.halves > 0.0 { far_out.min(usual.halves) } else { far_out };
        let mut found: Vec<IdentityPair> = nearest
            .iter()
            .flatten()
            .filter(|alike| {
                let back = nearest[alike.b].map(|back| back.b);
                alike.a < alike.b && back == Some(alike.a) && alike.cosine >= limit
            })
            .copied()
            .collect();
        by_cosine(&mut found);
        found
    }

    /// Identities that are likely in `other` too, as (identity, identity of the other), the clearest first.
    ///
    /// They are the nearest to each other, and the cosine between their means is both as large as that of three
    /// quarters of the images with their identity, and 5 deviations above the median of what identities of `other` have
    /// with the nearest here, most of whom are nobody's.
    pub fn common(&self, other: &Self, usual: &AffinityStatistics) -> Vec<IdentityPair> {
        if self.units.dim() != other.units.dim() {
            return Vec::new();
        }
        let (from_other, from_here) = (nearest(other, self, false), nearest(self, other, false));
        let cosines = sorted(from_other.iter().flatten().map(|alike| alike.cosine));
        let limit = quantile(&cosines, 0.5) + 5.0 * deviation(&cosines).max(0.01);
        let limit = limit.max(usual.own_quartile);
        let mut found: Vec<IdentityPair> = from_here
            .into_iter()
            .flatten()
            .filter(|alike| {
                alike.cosine >= limit && from_other[alike.b].is_some_and(|back| back.b == alike.a)
            })
            .collect();
        by_cosine(&mut found);
        found
    }
}

fn by_cosine(found: &mut [IdentityPair]) {
    found.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then((a.a, a.b).cmp(&(b.a, b.b))));
}

/// For each identity of `of`, that of `among` whose mean is nearest; not itself, if they are the `same` set.
fn nearest(of: &LabelledEmbeddings, among: &LabelledEmbeddings, same: bool) -> Vec<Option<IdentityPair>> {
    let nearest = |a: usize| {
        let (sum, length) = (of.sum(a), of.lengths[a]);
        let others = among.lengths.iter().enumerate();
        others
            .filter(|&(b, &other)| !(same && a == b) && other > 1e-6 && length > 1e-6)
            .map(|(b, other)| IdentityPair { a, b, cosine: dot(sum, among.sum(b)) / (length * other) })
            .reduce(|best, next| if next.cosine > best.cosine { next } else { best })
    };
    (0..of.counts.len()).into_par_iter().with_min_len(BLOCK).map(nearest).collect()
}

/// The product of two vectors, summed in sixteen lanes, which compilers make vectors of.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for ((lane, x), y) in lanes.iter_mut().zip(a).zip(b) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-12)
}

fn sorted(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut values: Vec<f32> = values.collect();
    values.sort_unstable_by(f32::total_cmp);
    values
}

/// The value below which a share of sorted values is; 0 of none.
fn quantile(sorted: &[f32], share: f64) -> f32 {
    let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}

/// The standard deviation of sorted values, estimated from the median absolute deviation; 0 of none.
fn deviation(values: &[f32]) -> f32 {
    let median = quantile(values, 0.5);
    PER_MAD * quantile(&sorted(values.iter().map(|value| (value - median).abs())), 0.5)
}

#[cfg(test)]
mod tests {
    use facegrad_random::{Purpose, Stream};

    use super::*;

    const DIM: usize = 64;

    /// People as directions, and images of them: a direction and noise of `spread` times its length.
    struct People(Stream);

    impl People {
        fn direction(&mut self) -> Vec<f32> {
            // The sum of some uniform numbers is about normal.
            let mut row: Vec<f32> = (0..DIM).map(|_| (0..6).map(|_| self.0.range(-1.0, 1.0)).sum()).collect();
            let length = dot(&row, &row).sqrt();
            row.iter_mut().for_each(|x| *x /= length);
            row
        }

        fn image(&mut self, person: &[f32], spread: f32) -> Vec<f32> {
            let noise = self.direction();
            person.iter().zip(noise).map(|(x, n)| 3.0 * (x + spread * n)).collect()
        }
    }

    /// A set of 60 people with 5 to 29 images each, of whom `who(label, k)` is on image k.
    fn set(
        seed: u64,
        spread: f32,
        who: impl Fn(usize, usize) -> usize,
    ) -> (LabelledEmbeddings, Vec<Vec<usize>>) {
        let mut people = People(Stream::new(seed, Purpose::Benchmark, 0, 0));
        let persons: Vec<Vec<f32>> = (0..60).map(|_| people.direction()).collect();
        let (mut rows, mut labels, mut images) = (Vec::new(), Vec::new(), Vec::new());
        for label in 0..60 {
            images.push(Vec::new());
            for k in 0..5 + label * 7 % 25 {
                images[label].push(labels.len());
                rows.extend(people.image(&persons[who(label, k)], spread));
                labels.push(label);
            }
        }
        (LabelledEmbeddings::new(rows, DIM, labels, 60).unwrap(), images)
    }

    #[test]
    fn planted_wrong_labels_are_found() {
        for spread in [0.6, 1.0] {
            // One image of every third person is of the next but seven.
            let (set, images) =
                set(1, spread, |label, k| if label % 3 == 0 && k == 2 { (label + 7) % 60 } else { label });
            let planted: Vec<usize> = (0..60).step_by(3).map(|label| images[label][2]).collect();
            let (found, odd) = set.mislabelled(&set.affinities());
            let right = found.iter().filter(|found| planted.contains(&found.image)).count();
            assert!(right >= 17, "{right} of {} at {spread}", planted.len());
            assert!(found.len() - right <= 1, "{found:?}");
            assert!(odd.len() < 10, "{odd:?}");
            for found in found.iter().filter(|found| planted.contains(&found.image)) {
                assert_eq!(found.nearest, (set.labels[found.image] + 7) % 60);
            }
            assert!(found.windows(2).all(|two| two[0].other - two[0].own >= two[1].other - two[1].own));
        }
    }

    #[test]
    fn a_clean_set_has_nothing_wrong() {
        for seed in 0..3 {
            let (set, _) = set(seed, 0.8, |label, _| label);
            let affinities = set.affinities();
            let usual = set.usual(&affinities);
            let (found, odd) = set.mislabelled(&affinities);
            assert!(found.is_empty() && odd.len() <= 3, "{found:?} {odd:?}");
            assert!(set.merged().len() <= 1, "{:?}", set.merged());
            assert_eq!(set.split_identities(&usual), []);
            assert!(usual.recognised > 0.99 && usual.own > usual.own_quartile, "{usual:?}");
        }
    }

    #[test]
    fn people_under_one_label_and_under_two() {
        // Labels 40 to 42 hold a second person in a third of their images; 50 to 52 are those of 10 to 12.
        let who = |label: usize, k: usize| match label {
            40..=42 if k.is_multiple_of(3) => label - 20,
            50..=52 => label - 40,
            _ => label,
        };
        let (set, images) = set(7, 0.8, who);
        let usual = set.usual(&set.affinities());
        let merged = set.merged();
        let mut labels: Vec<usize> = merged.iter().map(|merged| merged.identity).collect();
        labels.sort_unstable();
        // 41 and 42 have enough images; 40 has five.
        let expected: Vec<usize> = (40..=42).filter(|&label| images[label].len() >= 9).collect();
        assert!(expected.iter().all(|label| labels.contains(label)) && labels.len() <= expected.len() + 1);
        let first = merged.iter().find(|merged| merged.identity == expected[0]).unwrap();
        let seconds: Vec<usize> = images[expected[0]].iter().copied().step_by(3).collect();
        assert_eq!(first.part, seconds);
        let split = set.split_identities(&usual);
        let mut pairs: Vec<(usize, usize)> = split.iter().map(|alike| (alike.a, alike.b)).collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [(10, 50), (11, 51), (12, 52)]);
    }

    #[test]
    fn people_of_two_sets() {
        let (train, _) = set(3, 0.8, |label, _| label);
        let mut people = People(Stream::new(3, Purpose::Benchmark, 0, 0));
        let persons: Vec<Vec<f32>> = (0..60).map(|_| people.direction()).collect();
        let mut strangers = People(Stream::new(99, Purpose::Benchmark, 0, 0));
        // Two images of each of 100 people; the first three are 5, 6 and 7 of the other set.
        let mut rows = Vec::new();
        for label in 0..100 {
            let person = if label < 3 { persons[label + 5].clone() } else { strangers.direction() };
            (0..2).for_each(|_| rows.extend(strangers.image(&person, 0.8)));
        }
        let test = LabelledEmbeddings::new(rows, DIM, (0..200).map(|i| i / 2).collect(), 100).unwrap();
        let usual = train.usual(&train.affinities());
        let mut found: Vec<(usize, usize)> =
            train.common(&test, &usual).iter().map(|alike| (alike.a, alike.b)).collect();
        found.sort_unstable();
        assert_eq!(found, [(5, 0), (6, 1), (7, 2)]);
    }

    #[test]
    fn leaving_out_is_exact_and_typical_is_central() {
        let rows = vec![1.0, 0.0, 0.0, 1.0, 3.0, 3.0, 0.0, -2.0];
        let set = LabelledEmbeddings::new(rows, 2, vec![0, 0, 0, 1], 3).unwrap();
        let affinities = set.affinities();
        // The others of the first are (0, 1) and (√½, √½).
        let others = [0.5f32.sqrt(), 1.0 + 0.5f32.sqrt()];
        let expected = others[0] / (others[0].powi(2) + others[1].powi(2)).sqrt();
        assert!((affinities[0].own.unwrap() - expected).abs() < 1e-6);
        assert_eq!((affinities[3].own, affinities[3].nearest), (None, 0));
        assert_eq!(set.typical(), [Some(2), Some(3), None]);
    }

    #[test]
    fn what_is_no_set_of_embeddings() {
        let error = |rows: Vec<f32>, labels: Vec<usize>| {
            LabelledEmbeddings::new(rows, 2, labels, 2).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(error(vec![1.0; 3], vec![0]), "3 numbers are not embeddings with 2 numbers each");
        assert_eq!(error(vec![1.0; 2], vec![0, 1]), "2 identities for 1 embeddings; it takes one for each");
        assert!(error(vec![0.0; 2], vec![0]).starts_with("embedding 0 (from 0) is zero"));
        assert!(error(vec![f32::NAN; 2], vec![0]).starts_with("embedding 0 (from 0) is not finite"));
    }
}
