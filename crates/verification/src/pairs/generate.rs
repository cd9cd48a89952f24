//! Pairs drawn from a labelled set, for evaluation on one's own images or on the synthetic faces.

use std::collections::{BTreeMap, HashMap};

use facegrad_random::{Purpose, Stream};

use super::{Pair, PairList, PairsError};

impl PairList<usize> {
    /// Draws `folds` folds, each with `per_class` genuine and `per_class` impostor pairs.
    ///
    /// `labels[i]` is the identity of image `i`, and the list names images by `i`. Folds share no identity,
    /// so a threshold chosen on some is applied to people it has not seen on the others. No pair comes
    /// twice. Within a fold the identities take turns, so that each appears about equally often however many
    /// images it has. The list depends on the arguments only.
    ///
    /// # Errors
    /// If a fold cannot be filled: identities are dealt to the folds at random, those with two and more
    /// images first, in equal numbers.
    pub fn generate(labels: &[usize], folds: usize, per_class: usize, seed: u64) -> Result<Self, PairsError> {
        if folds == 0 || per_class == 0 {
            return Err(PairsError::Empty { folds, per_class });
        }
        let (mut images, mut pairs) = (Vec::new(), Vec::new());
        let mut positions = HashMap::new();
        for (fold, identities) in deal(labels, folds, seed).into_iter().enumerate() {
            for (same, drawn) in draw_fold(&identities, fold, per_class, seed)? {
                let [a, b] = drawn.map(|image| {
                    *positions.entry(image).or_insert_with(|| {
                        images.push(image);
                        images.len() - 1
                    })
                });
                pairs.push(Pair { a, b, same, fold });
            }
        }
        let people = images.iter().map(|&image: &usize| labels[image]).collect();
        Ok(Self::new(images, pairs, Some(people)))
    }
}

/// The images of one person.
type Identity = Vec<usize>;

/// The identities of each fold.
fn deal(labels: &[usize], folds: usize, seed: u64) -> Vec<Vec<Identity>> {
    let mut by_label: BTreeMap<usize, Identity> = BTreeMap::new();
    for (image, &label) in labels.iter().enumerate() {
        by_label.entry(label).or_default().push(image);
    }
    let mut identities: Vec<Identity> = by_label.into_values().collect();
    Stream::new(seed, Purpose::Pairs, 0, 0).shuffle(&mut identities);
    // A stable sort keeps the random order among those with two and more images, and among the others.
    identities.sort_by_key(|images| images.len() < 2);
    // No more folds than can hold anything: the first empty one ends in an error.
    let mut dealt = vec![Vec::new(); folds.min(identities.len() + 1)];
    let number = dealt.len();
    for (i, identity) in identities.into_iter().enumerate() {
        dealt[i % number].push(identity);
    }
    dealt
}

/// The genuine, then the impostor pairs of one fold, as images.
fn draw_fold(
    identities: &[Identity],
    fold: usize,
    per_class: usize,
    seed: u64,
) -> Result<Vec<(bool, [usize; 2])>, PairsError> {
    let stream = |class| Stream::new(seed, Purpose::Pairs, 1, 2 * fold as u64 + class);
    let too_few = |class, available| PairsError::TooFewImages {
        fold,
        identities: identities.len(),
        images: identities.iter().map(Vec::len).sum(),
        available,
        class,
        wanted: per_class,
    };

    let several: Vec<&Identity> = identities.iter().filter(|images| images.len() > 1).collect();
    let pairs_within = |identity: usize| couples(several[identity].len());
    let mut pairs: Vec<_> = draw(several.len(), pairs_within, per_class, &mut stream(0))
        .map_err(|available| too_few("genuine", available))?
        .into_iter()
        .map(|(identity, couple)| {
            let images = several[identity];
            let (a, b) = unrank(images.len(), couple);
            (true, [images[a], images[b]])
        })
        .collect();

    let two = |couple: usize| {
        let (a, b) = unrank(identities.len(), couple);
        (&identities[a], &identities[b])
    };
    let pairs_between = |couple: usize| {
        let (a, b) = two(couple);
        a.len() * b.len()
    };
    pairs.extend(
        draw(couples(identities.len()), pairs_between, per_class, &mut stream(1))
            .map_err(|available| too_few("impostor", available))?
            .into_iter()
            .map(|(couple, product)| {
                let (a, b) = two(couple);
                (false, [a[product % a.len()], b[product / a.len()]])
            }),
    );
    Ok(pairs)
}

/// The number of unordered pairs of `n` things.
fn couples(n: usize) -> usize {
    n * n.saturating_sub(1) / 2
}

/// The unordered pair of `0..n` with the number `couple`.
///
/// Consecutive numbers walk round the ring of all `n`: the first `n` pair each with its neighbour, the next
/// `n` each with its neighbour's neighbour, so that all take part equally often.
fn unrank(n: usize, couple: usize) -> (usize, usize) {
    let (distance, first) = (couple / n + 1, couple % n);
    (first, (first + distance) % n)
}

/// Draws `count` distinct items, taking turns among `groups` groups with `size(group)` items each, as
/// (group, item). Every group must have an item.
///
/// # Errors
/// The number of items there are, if it is less than `count`.
fn draw(
    groups: usize,
    size: impl Fn(usize) -> usize,
    count: usize,
    stream: &mut Stream,
) -> Result<Vec<(usize, usize)>, usize> {
    // The first groups serve: each has an item, so no more than `count` groups are needed.
    let groups = groups.min(count);
    let available = (0..groups).map(&size).fold(0, usize::saturating_add);
    if available < count {
        return Err(available);
    }
    let mut urns: Vec<(usize, Urn)> = (0..groups).map(|group| (group, Urn::new(size(group)))).collect();
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count {
        for (group, urn) in urns.iter_mut().take(count - drawn.len()) {
            drawn.push((*group, urn.draw(stream)));
        }
        urns.retain(|(_, urn)| urn.left > 0);
    }
    Ok(drawn)
}

/// The numbers `0..size` to draw from without replacement, in memory that grows with the draws only: a
/// shuffle (Fisher and Yates) that stores just the places it has changed.
struct Urn {
    left: usize,
    moved: HashMap<usize, usize>,
}

impl Urn {
    fn new(size: usize) -> Self {
        Self { left: size, moved: HashMap::new() }
    }

    /// Draws a number; there must be one left.
    fn draw(&mut self, stream: &mut Stream) -> usize {
        let place = stream.below(self.left);
        self.left -= 1;
        let last = self.moved.remove(&self.left).unwrap_or(self.left);
        if place == self.left { last } else { self.moved.insert(place, last).unwrap_or(place) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    /// `sizes[i]` images of identity `10 i`, interleaved.
    fn labels(sizes: &[usize]) -> Vec<usize> {
        let rounds = sizes.iter().copied().max().unwrap_or(0);
        (0..rounds)
            .flat_map(|round| {
                sizes.iter().enumerate().filter(move |(_, size)| **size > round).map(|(i, _)| 10 * i)
            })
            .collect()
    }

    fn check(labels: &[usize], list: &PairList<usize>, folds: usize, per_class: usize) {
        assert_eq!(
            (list.folds(), list.genuine(), list.impostor()),
            (folds, folds * per_class, folds * per_class)
        );
        let mut fold_of = HashMap::new();
        let mut seen = HashSet::new();
        for (index, pair) in list.pairs().iter().enumerate() {
            assert_eq!(
                (pair.fold, pair.same),
                (index / (2 * per_class), index % (2 * per_class) < per_class)
            );
            let [a, b] = [pair.a, pair.b].map(|i| list.images()[i]);
            assert_ne!(a, b);
            assert_eq!(labels[a] == labels[b], pair.same);
            assert!(seen.insert((a.min(b), a.max(b))), "the pair {a} {b} comes twice");
            for image in [a, b] {
                assert_eq!(*fold_of.entry(labels[image]).or_insert(pair.fold), pair.fold);
            }
        }
        assert_eq!(list.images().iter().collect::<HashSet<_>>().len(), list.images().len());
    }

    #[test]
    fn folds_are_balanced_and_share_no_identity() {
        for (sizes, folds, per_class) in [
            (vec![20; 40], 10, 100),
            (vec![1, 1, 2, 2, 3, 9, 1, 30, 2, 2, 1, 4], 2, 12),
            (vec![2; 4], 2, 2),
            // Every pair there is: 2 x 3 genuine, 9 impostor.
            (vec![3; 2], 1, 6),
        ] {
            let labels = labels(&sizes);
            let list = PairList::generate(&labels, folds, per_class, 1).unwrap();
            check(&labels, &list, folds, per_class);
        }
    }

    #[test]
    fn the_seed_decides() {
        let labels = labels(&[6; 20]);
        let list = |seed| PairList::generate(&labels, 5, 20, seed).unwrap();
        assert_eq!(list(1), list(1));
        assert_ne!(list(1).sha256(), list(2).sha256());
    }

    #[test]
    fn identities_take_part_equally() {
        let sizes = [vec![50; 5], vec![3; 5]].concat();
        let labels = labels(&sizes);
        let list = PairList::generate(&labels, 1, 30, 3).unwrap();
        let mut parts = HashMap::new();
        for pair in list.pairs() {
            for image in [pair.a, pair.b] {
                *parts.entry((pair.same, labels[list.images()[image]])).or_insert(0) += 1;
            }
        }
        assert_eq!(parts.len(), 20);
        assert!(parts.values().all(|&count| count == 6), "{parts:?}");
    }

    #[test]
    fn what_cannot_be_filled_is_said() {
        let error = |sizes: &[usize], folds, per_class| {
            PairList::generate(&labels(sizes), folds, per_class, 1).unwrap_err().to_string()
        };
        assert_eq!(
            error(&[3; 4], 2, 7),
            "the images that fall to fold 0 (2 identities, 6 images) form only 6 genuine pairs, not 7; \
             ask for fewer folds or fewer pairs, or add images"
        );
        assert!(error(&[10], 1, 3).contains("only 0 impostor pairs"));
        assert!(error(&[1; 10], 1, 3).contains("only 0 genuine pairs"));
        assert!(error(&[], 10, 300).contains("fold 0 (0 identities, 0 images)"));
        assert!(error(&[2; 3], usize::MAX, 1).contains("fold"));
        assert!(error(&[2; 3], 1, usize::MAX).contains("genuine"));
        assert_eq!(
            error(&[2; 3], 0, 1),
            "a list of 0 folds with 1 pairs of each class is empty; both must be at least 1"
        );
    }

    #[test]
    fn every_couple_has_one_number() {
        for n in 2..9 {
            let all: HashSet<_> = (0..couples(n))
                .map(|couple| unrank(n, couple))
                .map(|(a, b)| (a.min(b), a.max(b)))
                .filter(|(a, b)| a < b)
                .collect();
            assert_eq!(all.len(), couples(n), "{n}");
        }
    }

    #[test]
    fn an_urn_gives_each_number_once_and_without_bias() {
        let mut stream = Stream::new(1, Purpose::Pairs, 9, 9);
        let mut first = [0; 4];
        for _ in 0..4000 {
            let mut urn = Urn::new(4);
            let mut drawn: Vec<usize> = (0..4).map(|_| urn.draw(&mut stream)).collect();
            first[drawn[1]] += 1;
            drawn.sort_unstable();
            assert_eq!(drawn, [0, 1, 2, 3]);
        }
        // Five standard deviations of a binomial count with p = 1/4.
        assert!(first.iter().all(|count| (count - 1000_i32).abs() < 137), "{first:?}");
    }
}
