//! BLUFR, the benchmark of large-scale unconstrained face recognition on Labeled Faces in the Wild.
//!
//! Ten trials, each with a test set of some 9,700 images. Verification compares all pairs of the test set, some
//! 47 million, at a false-accept rate of 0.1 %. Open-set identification searches about 8,700 probes, half of
//! them without a mate, in a gallery of 1,000 people with one image each, and reports the detection and
//! identification rate (DIR) at rank 1 and a false-alarm rate of 1 %. The figure of merit is the mean over the
//! trials minus their standard deviation, with divisor n − 1 as in the authors' MATLAB code.
//!
//! Source: Liao, Lei, Yi & Li, "A benchmark study of large-scale unconstrained face recognition", IJCB 2014,
//! and the toolkit of the authors. Three things differ: a rate is never above its target, where the toolkit
//! rounds the number of false accepts to the nearest; the threshold is the lowest with that number of false
//! accepts, as everywhere in this crate, where the toolkit takes the last falsely accepted score; and ties
//! count against the system, where the toolkit ranks them by position.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use facegrad_files::hexadecimal;
use facegrad_results::{
    Better, Fact, Figure, ResultSection, ResultSheet, ResultTable, Scale,
    numbers::{percent, points, thousands, too_few},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    FnirAtFpir, IdentityScore, LostProbes, RemainingProbes, Search, SearchError,
    result::{LOST_PROBES, fnir_at_fpir},
};
use crate::{
    GridTarAtFar, LabelledUnitEmbeddings, ListError, LostImages, Missing, Provenance, ScoreCounts,
    Similarity, UnitEmbeddings, Unmeasurable,
    interval::mean_and_deviation,
    list_file::{Line, lines, read_text, stays_inside},
    text::{equal_scores, provenance_facts},
};

/// The false-accept rate of the verification rate.
const FAR: f64 = 1e-3;

/// The false-alarm rate of the detection and identification rate.
const FPIR: f64 = 1e-2;

/// Files beyond this size are not read: the largest list has 3 MB.
const MAX_BYTES: u64 = 64 << 20;

/// Files with more trials are damaged: there are ten.
const MAX_TRIALS: usize = 1000;

/// The images of one trial, as positions in [`BlufrLists::images`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlufrSets {
    /// The images whose pairs are compared.
    pub test: Vec<usize>,
    /// The images that are searched in.
    pub gallery: Vec<usize>,
    /// The images that are searched for; with the gallery they make up the test set.
    pub probes: Vec<usize>,
}

/// The lists of the benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlufrLists {
    images: Vec<String>,
    identities: Vec<usize>,
    trials: Vec<BlufrSets>,
}

impl BlufrLists {
    /// Reads the text lists of the authors' toolkit, its folder `list/lfw`.
    ///
    /// - `image_list.txt`: one file name a line, `<name>_<number>.jpg`
    /// - `labels.txt`: for each of them, the number of its person
    /// - `test_set.txt`, `gallery_set.txt`, `probe_set.txt`: the number of trials; then for each trial the number
    ///   of its images, and that many lines `<index>, <file name>`, where the first image has index 1
    ///
    /// `reference/blufr_lists.py` in this crate writes the same files from the toolkit's
    /// `blufr_lfw_config.mat`.
    ///
    /// # Errors
    /// If a file cannot be read or is too large, the first line that is not as described, lists that contradict
    /// each other, or a trial whose gallery and probes are not its test set.
    pub fn read(folder: &Path) -> Result<Self, ListError> {
        let list = |name: &str| List::read(folder.join(name));
        let (image_list, label_list) = (list("image_list.txt")?, list("labels.txt")?);
        let (names, labels) = (image_list.lines(), label_list.lines());
        let image = |line: &Line| {
            image_of(line.text).ok_or_else(|| line.wrong("an image of LFW, such as Ada_Lovelace_0001.jpg"))
        };
        let images: Vec<String> = names.iter().map(image).collect::<Result<_, _>>()?;
        if images.is_empty() {
            return Err(ListError::Empty { file: image_list.file });
        }
        if labels.len() != images.len() {
            let expected = format!("one label for each of the {} images of image_list.txt", images.len());
            return Err(label_list.wrong(labels.len(), expected, format!("{} labels", labels.len())));
        }
        let label = |line: &Line| line.text.parse().map_err(|_| line.wrong("the number of a person"));
        let identities = labels.iter().map(label).collect::<Result<_, _>>()?;
        let test_list = list("test_set.txt")?;
        let tests = test_list.sets(&names)?;
        let others = |name: &str| {
            let list = list(name)?;
            let sets = list.sets(&names)?;
            if sets.len() == tests.len() {
                return Ok(sets);
            }
            let expected = format!("{} trials, as in test_set.txt", tests.len());
            Err(list.wrong(1, expected, sets.len().to_string()))
        };
        let (galleries, probes) = (others("gallery_set.txt")?, others("probe_set.txt")?);
        let mut trials = Vec::with_capacity(tests.len());
        for (trial, ((test, gallery), probes)) in (1..).zip(tests.into_iter().zip(galleries).zip(probes)) {
            let mut union = [&gallery[..], &probes[..]].concat();
            let mut sorted = test.clone();
            union.sort_unstable();
            sorted.sort_unstable();
            if union != sorted {
                let expected =
                    format!("gallery and probes of trial {trial} to make up its test set, each image once");
                let found = format!("{} and {} images for {}", gallery.len(), probes.len(), test.len());
                return Err(test_list.wrong(1, expected, found));
            }
            trials.push(BlufrSets { test, gallery, probes });
        }
        Ok(Self { images, identities, trials })
    }

    /// The images, `<name>/<name>_<number>`: the extension is left to the caller. These are what is to be
    /// embedded, in this order.
    pub fn images(&self) -> &[String] {
        &self.images
    }

    /// Who is on each image, as a number.
    pub fn identities(&self) -> &[usize] {
        &self.identities
    }

    /// The trials.
    pub fn trials(&self) -> &[BlufrSets] {
        &self.trials
    }

    /// SHA-256, in hexadecimal, of images, labels and trials. It does not depend on line ends or spacing, nor
    /// on the pixels.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for (image, identity) in self.images.iter().zip(&self.identities) {
            hash.update(format!("{identity}\t{image}\n"));
        }
        for (trial, sets) in self.trials.iter().enumerate() {
            for (set, positions) in
                [("test", &sets.test), ("gallery", &sets.gallery), ("probe", &sets.probes)]
            {
                positions.iter().for_each(|position| hash.update(format!("{trial}\t{set}\t{position}\n")));
            }
        }
        hexadecimal(&hash.finalize())
    }
}

/// `Ada_Lovelace_0001.jpg` as `Ada_Lovelace/Ada_Lovelace_0001`.
fn image_of(name: &str) -> Option<String> {
    let (stem, _) = name.rsplit_once('.')?;
    let (person, number) = stem.rsplit_once('_')?;
    let is_image = stays_inside(person) && !person.contains(['/', '\\']) && number.parse::<u32>().is_ok();
    is_image.then(|| format!("{person}/{stem}"))
}

/// A list of the toolkit.
struct List {
    file: PathBuf,
    text: String,
}

impl List {
    fn read(file: PathBuf) -> Result<Self, ListError> {
        Ok(Self { text: read_text(&file, MAX_BYTES)?, file })
    }

    /// The lines without the blanks around them, and without the blank ones at the end.
    fn lines(&self) -> Vec<Line<'_>> {
        let all = lines(self.text.trim_end(), &self.file);
        all.map(|line| Line { text: line.text.trim(), ..line }).collect()
    }

    fn wrong(&self, number: usize, expected: String, found: String) -> ListError {
        Line { file: &self.file, number, text: "" }.found(expected, found)
    }

    /// The sets of images of each trial, as positions from 0 in `names`.
    fn sets(&self, names: &[Line]) -> Result<Vec<Vec<usize>>, ListError> {
        let lines = self.lines();
        let wrong = |at: usize, expected: String| match lines.get(at) {
            Some(line) => line.wrong(expected),
            None => self.wrong(at + 1, expected, "the end of the file".into()),
        };
        let number = |at: usize, most: usize, what: &str| {
            let value = lines.get(at).and_then(|line| line.text.parse().ok());
            let value = value.filter(|n| (1..=most).contains(n));
            value.ok_or_else(|| wrong(at, format!("the number of {what}, from 1 to {most}")))
        };
        let trials: usize = number(0, MAX_TRIALS, "trials")?;
        let (mut at, mut sets) = (1, Vec::new());
        for trial in 1..=trials {
            let count: usize = number(at, names.len(), &format!("images of trial {trial}"))?;
            let mut seen = vec![false; names.len()];
            let mut set = Vec::with_capacity(count);
            for at in at + 1..=at + count {
                let position = lines.get(at).and_then(|line| {
                    let (index, name) = line.text.split_once(',')?;
                    let position = index.trim().parse::<usize>().ok()?.checked_sub(1)?;
                    (names.get(position)?.text == name.trim()).then_some(position)
                });
                let expected = "the index of an image, from 1, a comma and its name as in image_list.txt";
                let position = position.ok_or_else(|| wrong(at, expected.into()))?;
                if std::mem::replace(&mut seen[position], true) {
                    return Err(wrong(at, format!("each image once in trial {trial}")));
                }
                set.push(position);
            }
            sets.push(set);
            at += count + 1;
        }
        if at < lines.len() {
            return Err(wrong(at, format!("the end of the file after {trials} trials")));
        }
        Ok(sets)
    }
}

/// How many of the pairs of images of these people are genuine and how many impostor pairs.
fn pairs_of(people: &[usize]) -> [usize; 2] {
    let pairs = |images: usize| images * images.saturating_sub(1) / 2;
    let mut images_of: HashMap<usize, usize> = HashMap::new();
    people.iter().for_each(|person| *images_of.entry(*person).or_default() += 1);
    let genuine = images_of.into_values().map(pairs).sum();
    [genuine, pairs(people.len()) - genuine]
}

/// What one trial measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlufrTrial {
    /// The number of images in the test set.
    pub test_images: usize,
    /// The number of genuine pairs.
    pub genuine: usize,
    /// The number of impostor pairs.
    pub impostor: usize,
    /// The number of images in the gallery.
    pub gallery_images: usize,
    /// The number of probes whose person is in the gallery.
    pub mated_probes: usize,
    /// The number of probes whose person is not.
    pub nonmated_probes: usize,
    /// The verification rate: the true-accept rate at a false-accept rate of 0.1 %. Absent if the pairs are not
    /// of both classes.
    pub verification: Option<GridTarAtFar>,
    /// Why it is absent.
    pub verification_unmeasurable: Option<Unmeasurable>,
    /// One minus the detection and identification rate: the false-negative rate at a false-positive rate of
    /// 1 %.
    pub identification: FnirAtFpir,
}

impl BlufrTrial {
    /// The verification rate at a false-accept rate of 0.1 %.
    pub fn verification_rate(&self) -> Option<f64> {
        Some(self.verification?.at.measured?.tar)
    }

    /// The detection and identification rate at rank 1 and a false-alarm rate of 1 %.
    pub fn identification_rate(&self) -> Option<f64> {
        Some(1.0 - self.identification.measured?.fnir.value)
    }
}

/// The figure of merit of a rate over the trials.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanMinusDeviation {
    /// The mean over the trials, µ.
    pub mean: f64,
    /// The standard deviation over the trials, σ, with divisor n − 1.
    pub standard_deviation: f64,
    /// µ − σ.
    pub mean_minus_deviation: f64,
}

impl MeanMinusDeviation {
    /// Of the rates of all trials; nothing if one is absent or there are fewer than two.
    fn of(rates: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let rates: Vec<f64> = rates.collect::<Option<_>>()?;
        let (mean, standard_deviation) = mean_and_deviation(&rates)?;
        Some(Self { mean, standard_deviation, mean_minus_deviation: mean - standard_deviation })
    }
}

/// What BLUFR measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlufrResult {
    /// Protocol, data, model and switches; `pairs_sha256` is of the lists ([`BlufrLists::sha256`]).
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The verification rate at a false-accept rate of 0.1 %; absent unless every trial has one.
    pub verification: Option<MeanMinusDeviation>,
    /// The detection and identification rate at rank 1 and a false-alarm rate of 1 %; absent unless every trial
    /// has one.
    pub identification: Option<MeanMinusDeviation>,
    /// The trials.
    pub trials: Vec<BlufrTrial>,
    /// The images that are not there or cannot be read, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostBlufr>,
    /// Whether all scores are equal, so that nobody is told apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub equal_scores: bool,
}

/// What the lost images of the benchmark did. A lost image is in a pair with each other of its test set, so that a thousandth
/// of lost images takes more false accepts than the verification rate allows if they count as such.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LostBlufr {
    /// Which images, and what became of their pairs and searches.
    #[serde(flatten)]
    pub of: LostImages,
    /// The verification rate of the images that are there, and the one where the pairs of the others are errors.
    pub verification: [Option<MeanMinusDeviation>; 2],
    /// The detection and identification rate in the same way.
    pub identification: [Option<MeanMinusDeviation>; 2],
}

impl BlufrResult {
    /// Measures every trial, by the cosine, which becomes the score of the provenance.
    ///
    /// # Shapes
    /// - `embeddings`: `[lists.images(), dim]`
    ///
    /// # Errors
    /// If there is not one embedding for each image.
    pub fn measure(
        lists: &BlufrLists,
        embeddings: &UnitEmbeddings,
        provenance: Provenance,
    ) -> Result<Self, SearchError> {
        Self::measure_usable(lists, &vec![false; lists.images().len()], embeddings, provenance, None)
    }

    /// [`BlufrResult::measure`] where some images are lost; `lost` says what becomes of their pairs and searches.
    ///
    /// # Shapes
    /// - `is_lost`: `[lists.images()]`
    /// - `embeddings`: of those that are not, `[_, dim]`
    ///
    /// # Errors
    /// If there is not one embedding for each of these.
    pub fn measure_usable(
        lists: &BlufrLists,
        is_lost: &[bool],
        embeddings: &UnitEmbeddings,
        provenance: Provenance,
        lost: Option<LostImages>,
    ) -> Result<Self, SearchError> {
        // The row of each image, of which a lost one has none.
        let rows: Vec<Option<usize>> = is_lost
            .iter()
            .scan(0, |next, &lost| {
                let row = (!lost).then_some(*next);
                *next += usize::from(!lost);
                Some(row)
            })
            .collect();
        let there: Vec<usize> = (0..rows.len()).filter(|&image| rows[image].is_some()).collect();
        let identities = |images: &[usize]| -> Vec<usize> {
            images.iter().map(|&image| lists.identities[image]).collect()
        };
        LabelledUnitEmbeddings::new(embeddings, &identities(&there))?;
        let of = |images: Vec<usize>| {
            let there: Vec<usize> = images.into_iter().filter(|&image| !is_lost[image]).collect();
            let rows: Vec<usize> = there.iter().filter_map(|&image| rows[image]).collect();
            (embeddings.select(&rows), identities(&there))
        };
        // Of the images that are there, and with the errors of the others.
        let trial = |sets: &BlufrSets| -> Result<([BlufrTrial; 2], bool), SearchError> {
            let which = |images: &[usize]| images.iter().map(|&image| is_lost[image]).collect::<Vec<bool>>();
            let rest = RemainingProbes::of(
                (&identities(&sets.gallery), &which(&sets.gallery)),
                (&identities(&sets.probes), &which(&sets.probes)),
            );
            let probes = rest.probes.iter().map(|&probe| sets.probes[probe]).collect();
            let [test, gallery, probes] = [sets.test.clone(), sets.gallery.clone(), probes].map(of);
            let counts = ScoreCounts::all_pairs(LabelledUnitEmbeddings::new(&test.0, &test.1)?);
            let (gallery, probes) = (
                LabelledUnitEmbeddings::new(&gallery.0, &gallery.1)?,
                LabelledUnitEmbeddings::new(&probes.0, &probes.1)?,
            );
            let search = Search::new(gallery, probes, IdentityScore::Max)?;
            let [genuine, impostor] = pairs_of(&identities(&sets.test));
            let lost_pairs = [genuine - counts.genuine(), impostor - counts.impostor()];
            let with = |[genuine, impostor]: [usize; 2], lost: LostProbes| {
                let search = search.clone().with_errors(lost);
                let roc = counts.roc().map(|roc| roc.with_errors(genuine, impostor));
                let found = search.probes.iter().filter(|found| found.mate.is_some()).count();
                let mated_probes = found + search.lost.mated.len();
                BlufrTrial {
                    test_images: test.1.len(),
                    genuine: counts.genuine() + genuine,
                    impostor: counts.impostor() + impostor,
                    gallery_images: search.gallery_images,
                    mated_probes,
                    nonmated_probes: search.probes.len() - found + search.lost.nonmated.len(),
                    verification: roc.as_ref().ok().map(|roc| GridTarAtFar::of(roc, FAR)),
                    verification_unmeasurable: roc.err(),
                    identification: fnir_at_fpir(&search, FPIR),
                }
            };
            let both = [with([0, 0], LostProbes::default()), with(lost_pairs, rest.lost)];
            Ok((both, counts.are_equal()))
        };
        // One after the other: each trial uses every thread and holds a copy of its embeddings.
        let trials: Vec<([BlufrTrial; 2], bool)> =
            lists.trials.iter().map(trial).collect::<Result<_, _>>()?;
        let equal_scores = !trials.is_empty() && trials.iter().all(|(_, equal)| *equal);
        let mean = |rate: fn(&BlufrTrial) -> Option<f64>| {
            [0, 1].map(|errors| MeanMinusDeviation::of(trials.iter().map(|trial| rate(&trial.0[errors]))))
        };
        let (verification, identification) =
            (mean(BlufrTrial::verification_rate), mean(BlufrTrial::identification_rate));
        let errors = usize::from(lost.as_ref().is_some_and(|lost| lost.missing == Missing::Wrong));
        Ok(Self {
            provenance: Provenance { score: Similarity::Cosine, ..provenance },
            verification: verification[errors],
            identification: identification[errors],
            trials: trials.into_iter().map(|trial| trial.0[errors].clone()).collect(),
            lost: lost.map(|of| LostBlufr { of, verification, identification }),
            equal_scores,
        })
    }

    /// The result as lists of figures, facts, and a table of the trials.
    pub fn sheet(&self) -> ResultSheet {
        let figure = |key: &str, label: &str, rate: Option<MeanMinusDeviation>| {
            let absent = || "not measurable in every one of at least two trials".to_owned();
            let value = rate.map(|rate| rate.mean_minus_deviation).ok_or_else(absent);
            Figure::new(key, label, Scale::Percent, Better::Higher, value).note(rate.map_or_else(
                String::new,
                |rate| {
                    format!(
                        " (mean {} minus deviation {} over {} trials)",
                        points(rate.mean, 2),
                        points(rate.standard_deviation, 2),
                        self.trials.len()
                    )
                },
            ))
        };
        let mut figures = vec![
            figure("verification_rate", "VR at FAR 0.1 %", self.verification),
            figure("identification_rate", "DIR at rank 1, FAR 1 %", self.identification),
        ];
        let mut facts = Vec::new();
        if let Some(LostBlufr { of, verification, identification }) = &self.lost {
            // The other numbers: which of the two are the rates depends on what was asked for.
            let (key, with, other) = match of.missing {
                Missing::Wrong => ("of_rest", "without lost images", 0),
                _ => ("with_errors", "with lost images as errors", 1),
            };
            let mut add = |name: &str, label: &str, rate| {
                figures.push(figure(&format!("{name}_{key}"), &format!("{label} {with}"), rate));
            };
            add("verification_rate", "VR", verification[other]);
            add("identification_rate", "DIR", identification[other]);
            facts.push(Fact::new("lost", format!("pairs and searches {}", of.describe())));
        }
        facts.extend(equal_scores(self.equal_scores));
        facts.extend(provenance_facts(&self.provenance));
        let row = |(index, trial): (usize, &BlufrTrial)| {
            let rate = |rate: Option<f64>| rate.map_or("-".into(), percent);
            vec![
                (index + 1).to_string(),
                rate(trial.verification_rate()),
                rate(trial.identification_rate()),
                thousands(trial.genuine),
                thousands(trial.impostor),
                thousands(trial.mated_probes),
                thousands(trial.nonmated_probes),
            ]
        };
        let notes = self.trials.iter().enumerate().flat_map(|(index, trial)| {
            trial.notes().into_iter().map(move |note| format!("trial {}: {note}", index + 1))
        });
        let header =
            ["trial", "VR", "DIR", "genuine pairs", "impostor pairs", "mated probes", "non-mated probes"];
        ResultSheet {
            protocol: self.provenance.protocol.clone(),
            headlines: vec![("verification_rate", "verification rate µ − σ")],
            sections: vec![ResultSection {
                figures,
                facts,
                tables: vec![ResultTable {
                    title: "Trials".into(),
                    header: header.map(Into::into).into(),
                    rows: self.trials.iter().enumerate().map(row).collect(),
                    note: notes.collect::<Vec<_>>().join("\n"),
                    ..ResultTable::default()
                }],
                ..ResultSection::default()
            }],
            ..ResultSheet::default()
        }
    }
}

impl BlufrTrial {
    /// Why rates are absent.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(reason) = self.verification_unmeasurable {
            notes.push(format!("VR {reason}"));
        }
        if let Some(GridTarAtFar { at, .. }) =
            self.verification.filter(|_| self.verification_rate().is_none())
        {
            notes.push(match self.impostor >= at.impostors_needed {
                true => format!("VR {}", Unmeasurable::LostImpostors),
                false => format!("VR {}", too_few(self.impostor, "impostor pairs", at.impostors_needed)),
            });
        }
        if self.identification.measured.is_none() {
            let needed = self.identification.nonmated_needed;
            notes.push(match self.mated_probes {
                0 => "DIR not measurable: no probe has its person in the gallery".into(),
                _ if self.nonmated_probes >= needed => format!("DIR {LOST_PROBES}"),
                _ => format!("DIR {}", too_few(self.nonmated_probes, "non-mated probes", needed)),
            });
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use facegrad_random::{Purpose, Stream};

    use super::*;
    use crate::text::{provenance, survives_json};

    /// A folder with lists of 600 people with four images each, in which `trials` test sets have all images of
    /// 300 people in the gallery with their first image, and of 300 people without.
    fn folder(trials: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> =
            (0..2400).map(|i| format!("Person_{:04}_{:04}.jpg", i / 4, i % 4 + 1)).collect();
        let labels: Vec<String> = (0..2400).map(|i| (i / 4 + 1).to_string()).collect();
        let write = |file: &str, text: String| fs::write(folder.path().join(file), text).unwrap();
        write("image_list.txt", names.join("\r\n") + "\r\n");
        write("labels.txt", labels.join("\n"));
        let set = |wanted: &dyn Fn(usize, usize) -> bool| {
            let block = |trial| {
                let set: Vec<usize> = (0..2400).filter(|&i| wanted(trial, i)).collect();
                let lines: String = set.iter().map(|i| format!("{}, {}\n", i + 1, names[*i])).collect();
                format!("{}\n{lines}", set.len())
            };
            format!("{trials}\n{}", (0..trials).map(block).collect::<String>())
        };
        let in_gallery = |trial: usize, i: usize| i.is_multiple_of(4) && (i / 4 + trial).is_multiple_of(2);
        write("test_set.txt", set(&|_, _| true));
        write("gallery_set.txt", set(&in_gallery));
        write("probe_set.txt", set(&|trial, i| !in_gallery(trial, i)));
        folder
    }

    fn embeddings(seed: u64) -> UnitEmbeddings {
        let dim = 16;
        let mut noise = Stream::new(seed, Purpose::Bootstrap, 0, 0);
        let numbers = (0..2400_u64).flat_map(|i| {
            let mut person = Stream::new(seed, Purpose::Bootstrap, 1, i / 4);
            (0..dim).map(|_| person.normal() + 0.6 * noise.normal()).collect::<Vec<_>>()
        });
        UnitEmbeddings::new(numbers.collect(), dim).unwrap()
    }

    #[test]
    fn trials_are_as_brute_force_has_them() {
        let folder = folder(2);
        let lists = BlufrLists::read(folder.path()).unwrap();
        assert_eq!(
            (lists.images().len(), lists.images()[4].as_str()),
            (2400, "Person_0001/Person_0001_0001")
        );
        assert_eq!((lists.identities()[3], lists.identities()[4]), (1, 2));
        assert_eq!(lists.trials()[1].gallery[..2], [4, 12]);
        let embeddings = embeddings(1);
        let result = BlufrResult::measure(&lists, &embeddings, provenance("BLUFR")).unwrap();
        let dot = |i: usize, j: usize| -> f64 {
            let [a, b] = [i, j].map(|i| embeddings.rows(i, i + 1));
            a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
        };
        for (trial, sets) in result.trials.iter().zip(lists.trials()) {
            assert_eq!((trial.genuine, trial.impostor), (3600, 2400 * 2399 / 2 - 3600));
            assert_eq!((trial.gallery_images, trial.mated_probes, trial.nonmated_probes), (300, 900, 1200));
            // The rule of the toolkit: with the k-th highest impostor score as threshold, k by the target.
            let (mut genuine, mut impostor) = (Vec::new(), Vec::new());
            for i in 0..2400 {
                for j in i + 1..2400 {
                    if i / 4 == j / 4 { &mut genuine } else { &mut impostor }.push(dot(i, j));
                }
            }
            impostor.sort_by(|a, b| b.total_cmp(a));
            let threshold = impostor[(impostor.len() as f64 * FAR) as usize - 1];
            let rate =
                genuine.iter().filter(|score| **score >= threshold).count() as f64 / genuine.len() as f64;
            assert!((trial.verification_rate().unwrap() - rate).abs() < 1e-3, "{rate}");

            let search = |probe: &usize| {
                let scores = sets.gallery.iter().map(|image| (dot(*image, *probe), image / 4 == probe / 4));
                scores.fold((-2.0, false), |best, score| if score.0 > best.0 { score } else { best })
            };
            let found: Vec<(f64, bool)> = sets.probes.iter().map(search).collect();
            let is_mated = |probe: &usize| sets.gallery.iter().any(|image| image / 4 == probe / 4);
            let mut strangers: Vec<f64> = (found.iter().zip(&sets.probes))
                .filter(|(_, probe)| !is_mated(probe))
                .map(|(found, _)| found.0)
                .collect();
            strangers.sort_by(|a, b| b.total_cmp(a));
            let too_many = strangers[(strangers.len() as f64 * FPIR) as usize];
            let hits = found.iter().filter(|(score, own)| *own && *score > too_many).count();
            assert!((trial.identification_rate().unwrap() - hits as f64 / 900.0).abs() < 2e-3, "{hits}");
        }
        let table = result.sheet().to_text();
        assert!(table.starts_with("BLUFR\nVR at FAR 0.1 %         "), "{table}");
        assert!(table.contains("\ntrial  "), "{table}");
        survives_json(&result);
        let few = UnitEmbeddings::new(vec![1.0; 8], 4).unwrap();
        assert_eq!(
            BlufrResult::measure(&lists, &few, provenance("BLUFR")).unwrap_err().to_string(),
            "2400 identities for 2 embeddings; it takes one for each"
        );
    }

    #[test]
    fn lost_images_are_left_out_or_errors() {
        let folder = folder(2);
        let lists = BlufrLists::read(folder.path()).unwrap();
        // Person 0 is in the gallery of trial 1 with image 0, person 1 in that of trial 2 with image 4.
        let is_lost: Vec<bool> = (0..2400).map(|image| [0, 6].contains(&image)).collect();
        let there: Vec<usize> = (0..2400).filter(|&image| !is_lost[image]).collect();
        let rows = embeddings(1).select(&there);
        let measure = |missing| {
            let of = LostImages { missing, images: 2, first: "a.jpg: it is not there".into() };
            BlufrResult::measure_usable(&lists, &is_lost, &rows, provenance("BLUFR"), Some(of)).unwrap()
        };
        let (skipped, wrong) = (measure(Missing::Skip), measure(Missing::Wrong));
        let first = |result: &BlufrResult| {
            let trial = &result.trials[0];
            (trial.genuine, trial.impostor, trial.mated_probes, trial.nonmated_probes)
        };
        // Three pairs of either lost image are genuine; in trial 1 three probes of person 0 have no mate left.
        assert_eq!(first(&skipped), (3594, 2398 * 2397 / 2 - 3594, 897, 1199));
        assert_eq!(first(&wrong), (3600, 2400 * 2399 / 2 - 3600, 900, 1200));
        assert_eq!(skipped.trials[0].gallery_images, 299);
        let rate = |result: &BlufrResult| result.trials[0].identification_rate().unwrap();
        assert!(rate(&wrong) < rate(&skipped), "{} {}", rate(&wrong), rate(&skipped));
        // Some 4,790 of 2.9 million pairs are more than a thousandth.
        assert!(skipped.verification.is_some() && wrong.verification.is_none());
        let lost = skipped.lost.as_ref().unwrap();
        assert_eq!(lost.verification, [skipped.verification, None]);
        assert_eq!(lost.identification, [skipped.identification, wrong.identification]);
        let said = wrong.sheet().to_text();
        let note = "trial 1: VR not measurable: more impostor pairs than that are of lost images and count as accepted\n";
        assert!(said.contains(note) && said.contains("\nVR without lost images "), "{said}");
        let lost = "pairs and searches of 2 images that cannot be used, counted as errors at every threshold";
        assert!(said.contains(lost), "{said}");
        survives_json(&wrong);
    }

    #[test]
    fn mean_minus_deviation() {
        let of = |rates: &[Option<f64>]| MeanMinusDeviation::of(rates.iter().copied());
        let all = of(&[Some(0.5), Some(0.7), Some(0.9)]).unwrap();
        assert!((all.mean - 0.7).abs() < 1e-15 && (all.standard_deviation - 0.2).abs() < 1e-15);
        assert!((all.mean_minus_deviation - 0.5).abs() < 1e-15);
        assert_eq!((of(&[Some(0.5)]), of(&[Some(0.5), None]), of(&[])), (None, None, None));
    }

    #[test]
    fn errors_name_file_and_line() {
        let folder = folder(1);
        let original = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap();
        let cases: [(&str, &str, &str, &str); 9] = [
            ("image_list.txt", "Person_0000_0001.jpg", "../x_0001.jpg", ":1: expected an image of LFW"),
            (
                "labels.txt",
                "1\n1\n1\n1\n2",
                "1\n1\n1\n1\nx",
                ":5: expected the number of a person, found \"x\"",
            ),
            (
                "labels.txt",
                "1\n1\n1\n1\n2",
                "1\n1\n1\n2",
                ":2399: expected one label for each of the 2400 images",
            ),
            (
                "gallery_set.txt",
                "1\n300\n",
                "2\n300\n",
                ":303: expected the number of images of trial 2, from 1 to 2400, found the end of the file",
            ),
            (
                "gallery_set.txt",
                "1\n300\n",
                "1\n99999999999\n",
                ":2: expected the number of images of trial 1",
            ),
            (
                "gallery_set.txt",
                "1\n300\n",
                "1\n299\n",
                ":302: expected the end of the file after 1 trials, found \"2393, ",
            ),
            (
                "gallery_set.txt",
                "9, Person_0002",
                "10, Person_0002",
                ":4: expected the index of an image, from 1, a comma",
            ),
            (
                "gallery_set.txt",
                "9, Person_0002_0001",
                "1, Person_0000_0001",
                ":4: expected each image once in trial 1",
            ),
            (
                "gallery_set.txt",
                "9, Person_0002_0001",
                "10, Person_0002_0002",
                "test_set.txt:1: expected gallery and probes of trial 1 to make up its test set",
            ),
        ];
        for (file, from, to, message) in cases {
            let text = original(file);
            assert!(text.contains(from), "{from}");
            fs::write(folder.path().join(file), text.replacen(from, to, 1)).unwrap();
            let error = BlufrLists::read(folder.path()).unwrap_err().to_string();
            let name = if message.starts_with(':') { file } else { "" };
            assert!(error.contains(&format!("{name}{message}")), "{error}");
            fs::write(folder.path().join(file), text).unwrap();
        }
        let lists = BlufrLists::read(folder.path()).unwrap();
        let hash = lists.sha256();
        fs::write(folder.path().join("labels.txt"), original("labels.txt").replace('\n', "\r\n")).unwrap();
        assert_eq!(BlufrLists::read(folder.path()).unwrap().sha256(), hash);
        fs::remove_file(folder.path().join("labels.txt")).unwrap();
        assert!(BlufrLists::read(folder.path()).unwrap_err().to_string().contains("labels.txt"));
    }

    #[test]
    fn trials_that_are_too_small_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        write("image_list.txt", "A_0001.jpg\nA_0002.jpg\nB_0001.jpg\n");
        write("labels.txt", "1\n1\n2\n");
        write("test_set.txt", "1\n3\n1, A_0001.jpg\n2, A_0002.jpg\n3, B_0001.jpg\n");
        write("gallery_set.txt", "1\n1\n1, A_0001.jpg\n");
        write("probe_set.txt", "1\n2\n2, A_0002.jpg\n3, B_0001.jpg\n");
        let lists = BlufrLists::read(folder.path()).unwrap();
        let embeddings = UnitEmbeddings::new(vec![1.0, 0.0, 0.9, 0.1, 0.0, 1.0], 2).unwrap();
        let result = BlufrResult::measure(&lists, &embeddings, provenance("BLUFR")).unwrap();
        assert_eq!((result.verification, result.identification), (None, None));
        let table = result.sheet().to_text();
        assert!(table.contains("trial 1: VR not measurable: 2 impostor pairs, it takes 10,000\n"), "{table}");
        assert!(
            table.contains("trial 1: DIR not measurable: 1 non-mated probes, it takes 1,000\n"),
            "{table}"
        );
    }

    #[test]
    fn the_published_lists_are_read() {
        let Some(folder) = std::env::var_os("FACEGRAD_BLUFR").map(PathBuf::from) else {
            eprintln!("skipped: FACEGRAD_BLUFR does not name the folder list/lfw of the BLUFR toolkit");
            return;
        };
        let lists = BlufrLists::read(&folder).unwrap();
        assert_eq!((lists.images().len(), lists.trials().len()), (13_233, 10));
        // Test images, mated probes, non-mated probes and genuine pairs, from blufr_lfw_config_info.txt.
        let published = [
            (10_281, 4832, 4449, 231_834),
            (9805, 3943, 4862, 218_833),
            (9388, 4105, 4283, 59_104),
            (9447, 4244, 4203, 88_376),
            (9470, 4417, 4053, 185_721),
            (9858, 4826, 4032, 215_510),
            (9952, 4396, 4556, 223_523),
            (9511, 4249, 4262, 65_141),
            (9452, 3907, 4545, 78_488),
            (9919, 4587, 4332, 202_624),
        ];
        for (sets, (images, mated, nonmated, genuine)) in lists.trials().iter().zip(published) {
            let of = |image: &usize| lists.identities()[*image];
            let gallery: std::collections::HashSet<usize> = sets.gallery.iter().map(of).collect();
            let found = sets.probes.iter().filter(|image| gallery.contains(&of(image))).count();
            let mut images_of: HashMap<usize, usize> = HashMap::new();
            sets.test.iter().for_each(|image| *images_of.entry(of(image)).or_default() += 1);
            let pairs: usize = images_of.values().map(|n| n * (n - 1) / 2).sum();
            assert_eq!((sets.test.len(), sets.gallery.len(), gallery.len()), (images, 1000, 1000));
            assert_eq!((found, sets.probes.len() - found, pairs), (mated, nonmated, genuine));
        }
    }
}
