//! MXNet's RecordIO: a `.rec` file of images, and an `.idx` file that says where each begins.
//!
//! Sets of insightface have a header record at key 0: the images are keys 1 to its first label (without it), and
//! the records from there to its second label hold the range of keys of one identity each
//! (`recognition/arcface_torch/dataset.py`, `recognition/common/face2rec2.py`). What MXNet's im2rec writes has none,
//! and every record is an image.

mod index;
pub(crate) mod record;

use std::{
    io,
    path::{Path, PathBuf},
};

use facegrad_files::{hexadecimal, name_of, read_text_bounded};
use facegrad_settings::settings;
use rayon::{ThreadPoolBuilder, prelude::*};
use sha2::{Digest, Sha256};

use self::{
    index::each_line,
    record::{RecordError, RecordFile},
};
use super::{
    Format, LabelGaps, LabelNeed, OpenSet, Place, SourceError, SourceKind, Summary, files_in, has_extension,
    labelled::{Images, LabelledImages, add_text},
    labels::Labels,
    offset::Offset,
    summary::counted,
};
use crate::StoredImage;

/// What is expected at a path.
const EXPECTED: &str = "a RecordIO file (.rec), or a folder with one,";
/// Threads that read headers all over a file, which mostly wait.
const READERS: usize = 32;
/// Longest list of names beside a set, in bytes.
const MAX_NAMES: u64 = 1 << 28;
/// Stands for the label of a record without an image.
const NO_IMAGE: u32 = u32::MAX;
/// Stands for the label of a record that is damaged.
const DAMAGED: u32 = u32::MAX - 1;
/// Keys that a note names.
const SHOWN: usize = 3;
/// Beyond this the 32-bit floating-point numbers of records are not all the whole numbers.
const MAX_EXACT: u32 = 1 << 24;

settings! {
    /// Images in a RecordIO file, as insightface and MXNet have them.
    pub struct RecordIoConfig {
        /// The `.rec` file, or a folder with one; the `.idx` file beside it is used if there is one.
        path: PathBuf = PathBuf::new();
        /// Numbers of identities without an image: refuse or close.
        label_gaps: LabelGaps = LabelGaps::Refuse;
    }
}

impl Format for RecordIoConfig {
    fn of_path(&self, path: &Path) -> Option<SourceKind> {
        let is_set = if path.is_dir() {
            !files_in(path, is_record_file).ok()?.is_empty()
        } else {
            is_record_file(path)
        };
        is_set.then(|| Self { path: path.into(), ..Default::default() }.into())
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        Some((&self.path, "the .rec file, or a folder with one"))
    }

    fn open_for(&self, need: LabelNeed) -> Result<OpenSet, SourceError> {
        Ok(RecordIo::read(self, need)?.open())
    }
}

/// The names of the identities of the set at `path`: `train.identities.json` for `train.rec`, an array of strings.
pub(crate) fn names_file(path: &Path) -> PathBuf {
    path.with_extension("identities.json")
}

/// A RecordIO file, and where its images are.
///
/// With its label an image takes 9 bytes of memory, and 4 more if the keys are not consecutive numbers.
#[derive(Debug)]
struct RecordIo {
    path: PathBuf,
    file: RecordFile,
    images: Vec<Offset>,
    keys: Keys,
}

/// The keys of the images.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Keys {
    /// Consecutive numbers from this one on.
    From(u32),
    /// One for each image.
    Each(Vec<u32>),
}

impl Keys {
    fn get(&self, index: usize) -> u32 {
        match self {
            Self::From(first) => first + index as u32,
            Self::Each(keys) => keys[index],
        }
    }

    /// Consecutive numbers need not be kept.
    fn compact(self) -> Self {
        match self {
            Self::Each(keys) => match keys.first() {
                Some(&first) if is_run(&keys) => Self::From(first),
                _ => Self::Each(keys),
            },
            run => run,
        }
    }
}

fn is_run(keys: &[u32]) -> bool {
    keys.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]))
}

/// What was found before anything is known of names.
struct RecordIndex {
    images: Vec<Offset>,
    keys: Keys,
    /// The number of each identity as the file has it, or [`NO_IMAGE`].
    numbers: Vec<u32>,
    /// Records that the index names and the header record does not.
    strange: usize,
    /// Keys of images that the header record has and nothing else, and the first of them.
    missing: (usize, Vec<u32>),
    /// Records that cannot be read and were left out already.
    damaged: usize,
    /// Identities that have a range of keys.
    ranges: usize,
    /// What need not be wrong and may be.
    notes: Vec<String>,
}

impl RecordIndex {
    fn new(images: Vec<Offset>, keys: Keys, numbers: Vec<u32>) -> Self {
        let (missing, notes) = Default::default();
        Self { images, keys, numbers, strange: 0, missing, damaged: 0, ranges: 0, notes }
    }
}

impl RecordIo {
    fn read(config: &RecordIoConfig, need: LabelNeed) -> Result<LabelledImages<Self>, SourceError> {
        let path = find_record_file(&config.path)?;
        let file =
            RecordFile::open(&path).map_err(|error| SourceError::unreadable(&path, EXPECTED, error))?;
        if file.length() == 0 {
            return Err(whole(&path, "it is empty; a RecordIO file is expected"));
        }
        if file.length() >= Offset::LIMIT {
            return Err(whole(&path, "it is larger than 4 TiB, more than can be addressed"));
        }
        let index = path.with_extension("idx");
        let mut found = match index.is_file() {
            true => from_index(&file, &path, &index)?,
            false => from_scan(&file, &path)?,
        };
        let mut summary = Summary::default();
        let without = remove(&mut found, NO_IMAGE);
        summary.leave_out(without, "record without an image", "records without an image");
        let damaged = found.damaged + remove_damaged(&mut found, &file, &path)?;
        summary.leave_out(damaged, "damaged record", "damaged records");
        let (missing, keys) = std::mem::take(&mut found.missing);
        summary.leave_out(missing, "missing record", "missing records");
        if let Some(first) = keys.first() {
            let such = if missing > 1 { "such as" } else { "namely" };
            let missing = counted(missing, "record is", "records are");
            found.notes.push(format!("{}: {missing} missing, {such} that of key {first}", path.display()));
        }
        summary.leave_out(found.strange, "key beyond the header record", "keys beyond the header record");
        found.notes.extend(ranges_note(&found, &path));
        summary.notes.append(&mut found.notes);
        let mut labels = Labels::of_numbers(found.numbers, need.gaps(config.label_gaps), &path)?;
        match read_names(&names_file(&path))? {
            // The list counts from 0, one name an identity.
            Some(names) if are_all(&labels.identities, names.len()) => labels.identities = names,
            Some(_) => summary.leave_out(
                1,
                "list of names that does not fit the labels",
                "lists of names that do not fit the labels",
            ),
            None => {}
        }
        let fingerprint = fingerprint(file.length(), &found.images, &labels);
        let images = Self { path, file, images: found.images, keys: found.keys.compact() };
        Ok(LabelledImages { images, labels, summary, fingerprint })
    }
}

impl Images for RecordIo {
    fn name(&self, index: usize) -> String {
        format!("{}, record {}", name_of(&self.path), self.keys.get(index))
    }

    fn key(&self, index: usize) -> String {
        self.keys.get(index).to_string()
    }

    fn stored(&self, index: usize) -> Result<StoredImage, String> {
        let read = self.file.image(self.images[index].get()).map(StoredImage::Encoded);
        read.map_err(|RecordError { at, reason }| format!("byte {at}: {reason}"))
    }
}

fn whole(path: &Path, reason: impl Into<String>) -> SourceError {
    SourceError::malformed(path, Place::Whole, reason)
}

fn twice(index: &Path, line: u64, key: u32) -> SourceError {
    SourceError::malformed(index, Place::Line(line), format!("key {key} is in the index twice"))
}

fn in_record(path: &Path, key: u32, RecordError { at, reason }: RecordError) -> SourceError {
    SourceError::malformed(path, Place::Byte(at), format!("record {key}: {reason}"))
}

fn is_record_file(path: &Path) -> bool {
    path.is_file() && has_extension(path, &["rec"])
}

/// The RecordIO file that a path names: itself, or the only one in a folder, or `train.rec`.
fn find_record_file(path: &Path) -> Result<PathBuf, SourceError> {
    if !path.is_dir() {
        return Ok(path.into());
    }
    let mut found =
        files_in(path, is_record_file).map_err(|error| SourceError::unreadable(path, EXPECTED, error))?;
    if let Some(train) = found.iter().find(|file| file.file_name().is_some_and(|name| name == "train.rec")) {
        return Ok(train.clone());
    }
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(SourceError::Unknown { path: path.into(), reason: "it holds no .rec file".into() }),
        (Some(_), others) => Err(SourceError::Unknown {
            path: path.into(),
            reason: format!("it holds {} .rec files; name one of them", others + 1),
        }),
    }
}

/// Reads the index: where the images are, and their labels.
fn from_index(file: &RecordFile, path: &Path, index: &Path) -> Result<RecordIndex, SourceError> {
    let (mut lines, mut zero, mut beyond, mut last) = (0usize, None, 0usize, 0);
    each_line(index, |line, key, offset| {
        if key == 0 && zero.replace(offset).is_some() {
            return Err(twice(index, line, key));
        }
        lines += 1;
        match offset < file.length() {
            true => last = last.max(offset),
            false => beyond += 1,
        }
        Ok(())
    })?;
    if lines == 0 {
        return Err(whole(index, "it is empty; without it the .rec file is scanned"));
    }
    if beyond == lines {
        let reason = format!("all its keys are beyond the {} bytes of the .rec file", file.length());
        return Err(whole(index, reason));
    }
    let header = match zero {
        Some(offset) if offset < file.length() => {
            file.header(offset).map_err(|error| in_record(path, 0, error))?.0.keys()
        }
        _ => None,
    };
    let mut found = match header {
        Some([end, last]) => with_header(file, path, index, lines, [end, last])?,
        None => without_header(file, path, index)?,
    };
    if beyond > 0 {
        let keys = counted(beyond, "key", "keys");
        found.notes.push(format!(
            "{} is cut short: {keys} of its index are beyond its {} bytes",
            path.display(),
            file.length()
        ));
    } else if let Ok((_, next)) = file.header(last)
        && next < file.length()
    {
        found.notes.push(format!(
            "{} ends early: {} bytes of the .rec file follow the last record that it names; without it the .rec file is \
             scanned",
            index.display(),
            file.length() - next
        ));
    }
    Ok(found)
}

/// A set of insightface's: images are keys 1 to `end`, identities those from there to `last`, both without the end.
fn with_header(
    file: &RecordFile,
    path: &Path,
    index: &Path,
    lines: usize,
    [end, last]: [u32; 2],
) -> Result<RecordIndex, SourceError> {
    let count = |from: u32, to: u32| (to - from) as usize;
    // Most keys are lines of the index, so that the header cannot ask for more memory than the index is long.
    if end < 1 || last < end || count(0, last) / 2 >= lines {
        let reason = format!(
            "the header record says that keys 1 to {} are images and those before {last} are identities; the index \
             has {}; without it the .rec file is scanned",
            end.saturating_sub(1),
            counted(lines, "key", "keys")
        );
        return Err(whole(path, reason));
    }
    let mut images = vec![Offset::NONE; count(1, end)];
    let mut ranges = vec![Offset::NONE; count(end, last)];
    let mut strange = 0;
    each_line(index, |line, key, offset| {
        let place = match key.checked_sub(1) {
            None => return Ok(()),
            Some(image) if key < end => &mut images[image as usize],
            Some(_) if key < last => &mut ranges[(key - end) as usize],
            Some(_) => {
                strange += 1;
                return Ok(());
            }
        };
        match *place == Offset::NONE {
            true if offset < file.length() => *place = Offset::new(offset),
            true => {}
            false => return Err(twice(index, line, key)),
        }
        Ok(())
    })?;
    let is_missing = |offset: &Offset| *offset == Offset::NONE;
    let is_whole = !images.iter().chain(&ranges).any(is_missing);
    // The header and the ranges are 32-bit floating-point numbers: beyond 2^24 they may be off by one and more.
    let exact = last < MAX_EXACT;
    let ranged = (exact && is_whole).then(|| from_ranges(file, &images, &ranges)).flatten();
    let (mut keys, mut missing) = (Keys::From(1), (0, Vec::new()));
    if !is_whole {
        let there = (1..end).filter(|key| !is_missing(&images[*key as usize - 1])).collect();
        let gone = (1..end).filter(|key| is_missing(&images[*key as usize - 1]));
        missing = (gone.clone().count(), gone.take(SHOWN).collect());
        keys = Keys::Each(there);
        images.retain(|offset| !is_missing(offset));
        if images.is_empty() {
            return Err(whole(index, "it has no image that the header record names"));
        }
    }
    let is_ranged = ranged.is_some();
    let numbers = match ranged {
        Some(numbers) => numbers,
        None => from_images(file, path, &images, &keys)?,
    };
    let mut found = RecordIndex { strange, missing, ..RecordIndex::new(images, keys, numbers) };
    if exact && is_whole {
        found.ranges = ranges.len();
        if !is_ranged && !ranges.is_empty() {
            found.notes.push(format!(
                "the ranges of keys in {} do not follow one another, or are not those of the labels of its images: the \
                 labels of the images count",
                path.display()
            ));
        }
    }
    Ok(found)
}

/// That there are more or fewer ranges of keys than labels: people who were merged, or who are there twice.
fn ranges_note(found: &RecordIndex, path: &Path) -> Option<String> {
    let mut numbers = found.numbers.clone();
    numbers.sort_unstable();
    numbers.dedup();
    (found.ranges > 0 && found.ranges != numbers.len()).then(|| {
        format!(
            "{} has {} with a range of keys, and its images have {}: people of several sets may share a label",
            path.display(),
            counted(found.ranges, "identity", "identities"),
            counted(numbers.len(), "label", "labels")
        )
    })
}

/// The labels of the images by the ranges of identities: each range is read, and the labels of its first and its
/// last image. `None` if the ranges do not cover the images in order, or contradict these labels.
fn from_ranges(file: &RecordFile, images: &[Offset], ranges: &[Offset]) -> Option<Vec<u32>> {
    let label = |key: u32| {
        let (header, _) = file.header(images.get(key.checked_sub(1)? as usize)?.get()).ok()?;
        header.number().filter(|_| header.has_image)
    };
    let identity = |offset: &Offset| {
        let [first, end] = file.header(offset.get()).ok()?.0.keys()?;
        let number = label(first)?;
        (end > first && label(end - 1)? == number).then_some((first, end, number))
    };
    let found: Vec<(u32, u32, u32)> = ranges.par_iter().map(identity).collect::<Option<_>>()?;
    let mut numbers = Vec::with_capacity(images.len());
    for (first, end, number) in found {
        // The ranges follow one another from key 1 on.
        if numbers.len() + 1 != first as usize || end as usize - 1 > images.len() {
            return None;
        }
        numbers.resize(end as usize - 1, number);
    }
    (numbers.len() == images.len()).then_some(numbers)
}

/// The labels of the images by the header of each.
fn from_images(
    file: &RecordFile,
    path: &Path,
    images: &[Offset],
    keys: &Keys,
) -> Result<Vec<u32>, SourceError> {
    let mut numbers = vec![0; images.len()];
    let read = |index: usize, number: &mut u32| {
        let key = keys.get(index);
        let offset = images[index].get();
        *number = match file.header(offset) {
            Err(_) => DAMAGED,
            Ok((header, _)) => match number_of(&header, offset) {
                Ok(found) => found,
                Err(error) => return Some(in_record(path, key, error)),
            },
        };
        None
    };
    // The first of them, whatever the number of threads.
    let read_all =
        || numbers.par_iter_mut().enumerate().find_map_first(|(index, number)| read(index, number));
    // Reads wait for the disk and not for a core; where threads cannot be had, those that are there do it.
    let error = match ThreadPoolBuilder::new().num_threads(READERS).build() {
        Ok(readers) => file.scattered(|| readers.install(read_all)),
        Err(_) => file.scattered(read_all),
    };
    error.map_or(Ok(numbers), Err)
}

/// The number of an identity, or [`NO_IMAGE`].
fn number_of(header: &record::ImageHeader, offset: u64) -> Result<u32, RecordError> {
    if !header.has_image {
        return Ok(NO_IMAGE);
    }
    let wrong = |reason| Err(RecordError { at: offset, reason });
    match header.number() {
        Some(number) if number < MAX_EXACT => Ok(number),
        Some(number) => wrong(format!(
            "the label is {number}; from 2^24 on the numbers of the format are not exact, so that people would be merged: \
             number the identities from 0 on"
        )),
        None => wrong(format!("the label is {}; a whole number from 0 on is expected", header.labels[0])),
    }
}

/// A set of im2rec's: every key is an image, in the order of the index.
fn without_header(file: &RecordFile, path: &Path, index: &Path) -> Result<RecordIndex, SourceError> {
    let (mut images, mut keys, mut missing) = (Vec::new(), Vec::new(), (0, Vec::new()));
    each_line(index, |_, key, offset| {
        if offset < file.length() {
            images.push(Offset::new(offset));
            keys.push(key);
        } else {
            missing.0 += 1;
            if missing.1.len() < SHOWN {
                missing.1.push(key);
            }
        }
        Ok(())
    })?;
    if !is_run(&keys)
        && let Some(key) = first_twice(&keys)
    {
        return Err(twice(index, second_line(index, key)?, key));
    }
    let keys = Keys::Each(keys).compact();
    let numbers = from_images(file, path, &images, &keys)?;
    Ok(RecordIndex { missing, ..RecordIndex::new(images, keys, numbers) })
}

/// The least key that is there more than once.
fn first_twice(keys: &[u32]) -> Option<u32> {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// The second line that has `key`.
fn second_line(index: &Path, key: u32) -> Result<u64, SourceError> {
    let (mut seen, mut second) = (0, 0);
    each_line(index, |line, found, _| {
        if found == key {
            seen += 1;
            if seen == 2 {
                second = line;
            }
        }
        Ok(())
    })?;
    Ok(second)
}

/// Goes from record to record. Their keys are the ids in their headers, or their places where these are no keys.
fn from_scan(file: &RecordFile, path: &Path) -> Result<RecordIndex, SourceError> {
    let (mut images, mut keys, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    let (mut offset, mut claimed, mut ranges, mut are_keys) = (0, None, 0, true);
    while offset < file.length() {
        let key = u32::try_from(images.len()).map_err(|_| whole(path, "it has more than 2^32 records"))?;
        images.push(Offset::new(offset));
        let Ok((header, next)) = file.header(offset) else {
            // Its key is unknown, and it has none when it is left out.
            keys.push(u32::MAX);
            numbers.push(DAMAGED);
            offset = file.resume(offset + 4).unwrap_or(file.length());
            continue;
        };
        match header.keys() {
            Some(keys) if header.id == 0 => claimed = Some(keys),
            Some(_) => ranges += 1,
            None => {}
        }
        are_keys &= u32::try_from(header.id).is_ok();
        let number = number_of(&header, offset).map_err(|error| in_record(path, key, error))?;
        keys.push(header.id as u32);
        numbers.push(number);
        offset = next;
    }
    let mut found = RecordIndex::new(images, Keys::Each(keys), numbers);
    let damaged = remove_damaged(&mut found, file, path)?;
    // Only the records of insightface's identities have no images, and they need not be counted.
    if claimed.is_some() {
        remove(&mut found, NO_IMAGE);
    }
    let Keys::Each(keys) = &found.keys else { return Ok(found) };
    if !are_keys || (!is_run(keys) && first_twice(keys).is_some()) {
        found.keys = Keys::From(0);
    } else if let Some([end, last]) = claimed {
        if !keys.is_sorted() {
            sort_by_keys(&mut found);
        }
        if last < MAX_EXACT {
            found.ranges = ranges;
            let Keys::Each(keys) = &found.keys else { return Ok(found) };
            let gone = (1..end).filter(|key| keys.binary_search(key).is_err());
            // Those that are damaged have their own count.
            let missing = gone.clone().count().saturating_sub(damaged);
            let first: Vec<u32> = gone.take(SHOWN).collect();
            if missing > 0 {
                found.missing = (missing, first);
            }
        }
    }
    found.damaged = damaged;
    Ok(found)
}

/// Images of insightface's sets are in the order of their keys.
fn sort_by_keys(found: &mut RecordIndex) {
    let Keys::Each(keys) = &found.keys else { return };
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    order.sort_unstable_by_key(|&image| keys[image as usize]);
    let sorted = order.iter().map(|&image| keys[image as usize]).collect();
    found.images = order.iter().map(|&image| found.images[image as usize]).collect();
    found.numbers = order.iter().map(|&image| found.numbers[image as usize]).collect();
    found.keys = Keys::Each(sorted);
}

/// Removes records that cannot be read, which a note tells, and returns how many.
///
/// # Errors
/// If they are half of all.
fn remove_damaged(found: &mut RecordIndex, file: &RecordFile, path: &Path) -> Result<usize, SourceError> {
    let Some(first) = found.numbers.iter().position(|number| *number == DAMAGED) else { return Ok(0) };
    let (all, offset) = (found.numbers.len(), found.images[first].get());
    let key = match found.keys.get(first) {
        // Of a scan: its place.
        u32::MAX => first as u32,
        key => key,
    };
    let count = remove(found, DAMAGED);
    if let Err(error) = file.header(offset) {
        let error = in_record(path, key, error);
        if count * 2 >= all {
            return Err(error);
        }
        let records = counted(count, "record is damaged", "records are damaged");
        found.notes.push(format!("{records} and left out; the first: {error}"));
    }
    Ok(count)
}

/// Removes records with `number`, and returns how many.
fn remove(found: &mut RecordIndex, number: u32) -> usize {
    let count = found.numbers.iter().filter(|other| **other == number).count();
    if count == 0 {
        return 0;
    }
    let is_kept: Vec<bool> = found.numbers.iter().map(|other| *other != number).collect();
    let kept = || is_kept.iter().enumerate().filter(|(_, is_kept)| **is_kept).map(|(index, _)| index);
    found.keys = Keys::Each(kept().map(|index| found.keys.get(index)).collect());
    found.images = kept().map(|index| found.images[index]).collect();
    found.numbers.retain(|other| *other != number);
    count
}

/// The list of names at `path`, if there is one.
fn read_names(path: &Path) -> Result<Option<Vec<String>>, SourceError> {
    let text = match read_text_bounded(path, MAX_NAMES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|source| SourceError::Unreadable { path: path.into(), source })?,
    };
    let names = serde_json::from_str(&text);
    names.map(Some).map_err(|error| whole(path, format!("a JSON array of names is expected: {error}")))
}

/// Whether identities are called by the numbers below `count`, all of them.
fn are_all(identities: &[String], count: usize) -> bool {
    identities.len() == count
        && identities.iter().enumerate().all(|(label, number)| *number == label.to_string())
}

/// SHA-256 over the length of the file, where each image begins and whose it is, and the names of the identities.
fn fingerprint(length: u64, images: &[Offset], labels: &Labels) -> String {
    let mut hash = Sha256::new();
    hash.update(length.to_le_bytes());
    for (offset, label) in images.iter().zip(&labels.labels) {
        hash.update(offset.bytes());
        hash.update(label.to_le_bytes());
    }
    labels.identities.iter().for_each(|name| add_text(&mut hash, name));
    hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests;
