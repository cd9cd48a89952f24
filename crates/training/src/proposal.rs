//! A config for faces that nobody has trained on yet, as a start to change.

use std::{fmt::Write, path::Path};

use facegrad_faces::{FaceSource, SourceConfig};
use facegrad_random::{Purpose, Stream};
use facegrad_results::numbers::thousands;
use facegrad_settings::{Setting, toml};
use facegrad_verification::PairList;

use crate::ImagesPerIdentity;

/// People with fewer images do not teach what images of one person have in common.
const MIN_IMAGES: usize = 2;
/// The share of the people who are kept for the test, and how many at least and at most.
const TESTED: f64 = 0.1;
const FEWEST_TESTED: usize = 20;
const MOST_TESTED: usize = 500;
/// Genuine pairs of a fold, and as many impostor pairs, where there are enough: LFW has as many.
const PAIRS: usize = 300;
/// How many images a run should see in all: passes over a small set repeat it, and of a large set a few are enough.
const SEEN: f64 = 2e6;
/// Passes over the set, at least and at most.
const EPOCHS: [f64; 2] = [8.0, 40.0];
/// Faces are brought to this side; smaller ones stay as they are.
const SIDE: usize = 112;

/// What is known of a set and of the machine that is to train on it.
pub struct ProposalFacts<'a> {
    /// What the run is called.
    pub name: &'a str,
    /// The set as a config has it.
    pub config: &'a SourceConfig,
    /// The set.
    pub source: &'a dyn FaceSource,
    /// The size of its images (height, width).
    pub size: [usize; 2],
    /// Whether a graphics card computes.
    pub has_card: bool,
    /// Where the list of the images of the test will lie.
    pub test_list: &'a Path,
    /// Where the list of all images that training leaves out will lie; that of the test where it is no other.
    pub exclude_list: &'a Path,
}

/// A config, and the people who are kept for its test.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The config, with comments.
    pub config: String,
    /// The images of the test, in their order; empty where there are too few people.
    pub test: Vec<usize>,
}

/// The people of the test and what is drawn from them.
struct Test {
    images: Vec<usize>,
    people: usize,
    folds: usize,
    pairs: usize,
}

impl Proposal {
    /// What fits the facts. The same facts give the same proposal.
    pub fn of(facts: &ProposalFacts) -> Self {
        // A part of a set that somebody has chosen by a list is theirs.
        let is_whole = facts.config.subset.keep.is_none();
        let mut images: Vec<Vec<usize>> = vec![Vec::new(); facts.source.identities().len()];
        (0..facts.source.len()).for_each(|image| images[facts.source.label(image)].push(image));
        let test = is_whole.then(|| test_of(&images)).flatten();
        let config = config(facts, &images, test.as_ref());
        Self { config, test: test.map(|test| test.images).unwrap_or_default() }
    }
}

/// The test, where the people are enough for one and for training; `images` are those of each person.
fn test_of(images: &[Vec<usize>]) -> Option<Test> {
    let mut people: Vec<usize> =
        (0..images.len()).filter(|&label| images[label].len() >= MIN_IMAGES).collect();
    let count = ((people.len() as f64 * TESTED) as usize).clamp(FEWEST_TESTED, MOST_TESTED);
    // Most of the people are for training.
    if people.len() < 3 * count {
        return None;
    }
    Stream::new(1, Purpose::Pairs, 2, 0).shuffle(&mut people);
    people.truncate(count);
    people.sort_unstable();
    let mut chosen: Vec<(usize, usize)> =
        people.iter().flat_map(|&label| images[label].iter().map(move |&image| (image, label))).collect();
    chosen.sort_unstable();
    let labels: Vec<usize> = chosen.iter().map(|(_, label)| *label).collect();
    let folds = if count >= 50 { 10 } else { 5 };
    // As many as each fold has.
    let halves = std::iter::successors(Some(PAIRS), |pairs| (*pairs > 1).then_some(pairs / 2));
    let pairs =
        halves.into_iter().find(|&pairs| PairList::<usize>::generate(&labels, folds, pairs, 1).is_ok())?;
    let images = chosen.into_iter().map(|(image, _)| image).collect();
    Some(Test { images, people: count, folds, pairs })
}

/// The config as a text; `of_people` are the images of each person.
fn config(facts: &ProposalFacts, of_people: &[Vec<usize>], test: Option<&Test>) -> String {
    let &ProposalFacts { name, config, source, size, has_card, test_list, exclude_list } = facts;
    let (images, people) = (source.len(), source.identities().len());
    let per_person = ImagesPerIdentity::of(source);
    let counts: Vec<usize> = of_people.iter().map(Vec::len).filter(|&count| count >= MIN_IMAGES).collect();
    // Where nobody or one person has several images, all are taken.
    let min_images = if counts.len() < 2 { 1 } else { MIN_IMAGES };
    let (with_enough, of_them) = match min_images {
        1 => (people, images),
        _ => (counts.len(), counts.iter().sum()),
    };
    let left = of_them - test.map_or(0, |test| test.images.len());
    let trained = with_enough - test.map_or(0, |test| test.people);
    let [height, width] = size.map(|side| side.clamp(16, SIDE));
    let epochs = (SEEN / left as f64).clamp(EPOCHS[0], EPOCHS[1]).round();
    let batch = match left {
        // Some batches an epoch, of a power of two.
        ..256 => (1usize << (left / 4).max(2).ilog2()).clamp(2, 64),
        256..10_000 => 64,
        10_000..500_000 => 128,
        _ => 256,
    };
    let (backbone, why) = match (has_card, left) {
        (true, ..100_000) => {
            ("iresnet18", "For a graphics card and so many images; larger: iresnet34, iresnet50")
        }
        (true, _) => ("iresnet50", "For a graphics card and so many images; larger: iresnet100"),
        (false, _) => ("nano", "Made for processors; more accurate and slower: mobilefacenet, iresnet18"),
    };
    // The scale that lets so many classes be told apart grows with their logarithm (NormFace, section 3.3), and a
    // small margin is learnt from few images.
    let (scale, margin) = if trained < 10_000 { (32.0, 0.3) } else { (64.0, 0.5) };

    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    line(format!(
        "# {} images of {} people, {per_person}; {}x{} pixels.",
        thousands(images),
        thousands(people),
        size[0],
        size[1]
    ));
    line("#".into());
    line(
        "# Made by facegrad new, as a start to change. facegrad explain tells what can be said here:".into(),
    );
    line("# facegrad explain head, facegrad explain arcface, facegrad explain augmentation.".into());
    line("\n[run]".into());
    line(format!("name = {}", text_of(name)));
    line(
        "# Passes over all images. Half as many are often nearly as good, and twice as many rarely worse."
            .into(),
    );
    line(format!("epochs = {epochs}"));
    line(format!("batch = {batch}"));
    line("\n[data]".into());
    line("# Height and width that the network sees; smaller is faster and less accurate.".into());
    line(format!("size = [{height}, {width}]"));
    line("\n[data.train]".into());
    keys(config, test.is_some()).for_each(&mut line);
    if min_images > 1 {
        line("# People with one image do not teach what images of one person have in common.".into());
        line(format!("min_images = {min_images}"));
    }
    if test.is_some() {
        let also = if exclude_list == test_list { "" } else { ", and what was left out before" };
        line(format!("# The people of the test below{also}."));
        line(format!("exclude = {}", path_of(exclude_list)));
    }
    line("\n[backbone]".into());
    line(format!("# {why}."));
    line(format!("kind = \"{backbone}\""));
    line("\n[head]".into());
    line("# The margin grows while the network is still learning what faces are.".into());
    line("kind = \"arcface\"".into());
    line(format!("scale = {scale:.1}"));
    line(format!("margin = {{ kind = \"linear\", from = 0.0, to = {margin}, until = 0.25 }}"));
    line("\n[optimizer]".into());
    line("kind = \"sgd\"".into());
    line("learning_rate = 0.1".into());
    line("nesterov = true".into());
    line("\n[schedule]".into());
    line("kind = \"cosine\"".into());
    line("\n[augmentation]".into());
    for (key, value) in
        [("flip", 0.5), ("shift", 0.05), ("scale", 0.1), ("colour_jitter", 0.5), ("low_resolution", 0.1)]
    {
        line(format!("{key} = {value}"));
    }
    let Some(Test { people, folds, pairs, .. }) = test else {
        line(format!(
            "\n# There is no test: it takes {} people with two images or more to keep {FEWEST_TESTED} of them for one,\n\
             # and a set of which no list says already what is kept.\n\
             # facegrad explain evaluation tells the ways to give one.",
            3 * FEWEST_TESTED
        ));
        return text;
    };
    line(format!(
        "\n# Pairs of {people} people whom training does not see. Where you have pairs of your own, or LFW's, take those:\n\
         # facegrad explain pair_file."
    ));
    line("[[evaluation]]".into());
    line("kind = \"drawn_pairs\"".into());
    line("name = \"unseen\"".into());
    line(format!("folds = {folds}"));
    line(format!("pairs_per_fold = {pairs}"));
    line("\n[evaluation.source]".into());
    keys(config, true).for_each(&mut line);
    line(format!("keep = {}", path_of(test_list)));
    text
}

/// The keys of a set, a line each, without the list of what is left out where that `is_replaced`.
fn keys(config: &SourceConfig, is_replaced: bool) -> impl Iterator<Item = String> {
    let table = match config.write() {
        Some(toml::Value::Table(table)) => table,
        _ => toml::Table::new(),
    };
    // The first is the proposal's.
    let is_own = move |key: &str| key == "min_images" || key == "exclude" && is_replaced;
    table.into_iter().filter(move |(key, _)| !is_own(key)).map(|(key, value)| {
        let mut line = String::new();
        // Writing into a text cannot fail.
        let _ = write!(line, "{key} = {value}");
        line
    })
}

/// A text as TOML has it.
fn text_of(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn path_of(path: &Path) -> String {
    text_of(&facegrad_files::name_of(path))
}

#[cfg(test)]
mod tests {
    use facegrad_faces::FolderConfig;

    use super::*;
    use crate::preflight::tests::TestSource;

    /// A set of `people` with `images` each, of which nothing is ever read.
    fn proposal(people: usize, images: usize, has_card: bool) -> (Proposal, usize) {
        let source = TestSource {
            identities: (0..people).map(|person| format!("p{person}")).collect(),
            labels: (0..people * images).map(|image| image / images).collect(),
            image: |_| Err("never read"),
        };
        let config = FolderConfig { path: "my \"faces\"".into() }.into();
        let facts = ProposalFacts {
            name: "mine",
            config: &config,
            source: &source,
            size: [112, 96],
            has_card,
            test_list: Path::new("mine-test.csv"),
            exclude_list: Path::new("mine-test.csv"),
        };
        let proposal = Proposal::of(&facts);
        assert_eq!(proposal, Proposal::of(&facts));
        (proposal, people * images)
    }

    #[test]
    fn a_config_is_one_that_can_be_read_and_says_what_was_found() {
        for (people, images, has_card) in [(2, 2, false), (300, 20, false), (20_000, 30, true)] {
            let (proposal, count) = proposal(people, images, has_card);
            let table: toml::Table = proposal.config.parse().unwrap();
            let (experiment, left_out) = crate::Experiment::resolve(table, &[]).unwrap();
            assert!(left_out.is_empty(), "{}", proposal.config);
            assert_eq!(experiment.data.size, [112, 96]);
            assert!(proposal.config.contains("path = 'my \"faces\"'"), "{}", proposal.config);
            assert!(proposal.config.starts_with(&format!("# {} images of ", thousands(count))));
            assert_eq!(experiment.backbone.kind() == "nano", !has_card);
        }
    }

    #[test]
    fn a_batch_is_no_more_than_a_quarter_of_a_small_set() {
        for (people, images, batch) in [(2, 2, 2), (3, 8, 4), (10, 5, 8), (50, 5, 32), (40, 20, 64)] {
            let (proposal, _) = proposal(people, images, false);
            assert!(proposal.config.contains(&format!("\nbatch = {batch}\n")), "{}", proposal.config);
            assert!(proposal.config.contains("\nmin_images = 2\n"), "{}", proposal.config);
        }
        let (single, _) = proposal(30, 1, false);
        assert!(!single.config.contains("min_images"), "{}", single.config);
    }

    #[test]
    fn a_tenth_of_the_people_are_for_the_test_and_their_pairs_can_be_drawn() {
        let (few, _) = proposal(40, 20, false);
        assert!(few.test.is_empty() && few.config.contains("# There is no test"), "{}", few.config);
        assert!(!few.config.contains("exclude"), "{}", few.config);

        let (some, _) = proposal(300, 4, false);
        assert_eq!(some.test.len(), 30 * 4);
        let labels: Vec<usize> = some.test.iter().map(|image| image / 4).collect();
        let wanted = |key: &str| {
            let line = some.config.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
            line.unwrap().parse::<usize>().unwrap()
        };
        let (folds, pairs) = (wanted("folds"), wanted("pairs_per_fold"));
        assert!(pairs > 10 && pairs < PAIRS, "{pairs}");
        assert_eq!(
            PairList::<usize>::generate(&labels, folds, pairs, 1).unwrap().pairs().len(),
            2 * folds * pairs
        );
        assert!(
            some.config.contains("exclude = \"mine-test.csv\"")
                && some.config.contains("keep = \"mine-test.csv\"")
        );
    }
}
