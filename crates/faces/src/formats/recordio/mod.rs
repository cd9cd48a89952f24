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

use facegrad_files::{hexadecimal, read_bounded};
use facegrad_settings::settings;
use rayon::{ThreadPoolBuilder, prelude::*};
use sha2::{Digest, Sha256};

use self::{
    index::each_line,
    record::{RecordError, RecordFile},
};
use super::{
    Format, LabelGaps, OpenSet, Place, SourceError, SourceKind, Summary, files_in, has_extension,
    labelled::{Images, LabelledImages, add_text},
    labels::Labels,
    offset::Offset,
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

    fn open(&self) -> Result<OpenSet, SourceError> {
        Ok(RecordIo::read(self)?.open())
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
}

impl RecordIo {
    fn read(config: &RecordIoConfig) -> Result<LabelledImages<Self>, SourceError> {
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
        let without = remove_empty(&mut found);
        summary.leave_out(without, "record without an image", "records without an image");
        summary.leave_out(found.strange, "key beyond the header record", "keys beyond the header record");
        let mut labels = Labels::of_numbers(found.numbers, config.label_gaps, &path)?;
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
        format!("{}, record {}", self.path.display(), self.keys.get(index))
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
    let (mut lines, mut zero) = (0usize, None);
    each_line(index, file.length(), |line, key, offset| {
        if key == 0 && zero.replace(offset).is_some() {
            return Err(twice(index, line, key));
        }
        lines += 1;
        Ok(())
    })?;
    if lines == 0 {
        return Err(whole(index, "it is empty; without it the .rec file is scanned"));
    }
    let header = match zero {
        Some(offset) => file.header(offset).map_err(|error| in_record(path, 0, error))?.0.keys(),
        None => None,
    };
    match header {
        Some([end, last]) => with_header(file, path, index, lines, [end, last]),
        None => without_header(file, path, index, lines),
    }
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
    // Each key is a line of the index, so that the header cannot ask for more memory than the index is long.
    if end < 1 || last < end || count(0, last) > lines {
        let reason = format!(
            "the header record says that keys 1 to {end} are images and those up to {last} are identities; the \
             index has {lines} keys"
        );
        return Err(whole(path, reason));
    }
    let mut images = vec![Offset::NONE; count(1, end)];
    let mut ranges = vec![Offset::NONE; count(end, last)];
    let mut strange = 0;
    each_line(index, file.length(), |line, key, offset| {
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
            true => *place = Offset::new(offset),
            false => return Err(twice(index, line, key)),
        }
        Ok(())
    })?;
    let missing = images.iter().chain(&ranges).position(|offset| *offset == Offset::NONE);
    if let Some(missing) = missing {
        return Err(whole(index, format!("key {} is missing", missing + 1)));
    }
    // The header and the ranges are 32-bit floating-point numbers: beyond 2^24 they may be off by one and more.
    let exact = last < MAX_EXACT;
    let ranged = exact.then(|| from_ranges(file, &images, &ranges)).flatten();
    let keys = Keys::From(1);
    let numbers = match ranged {
        Some(numbers) => numbers,
        None => from_images(file, path, &images, &keys)?,
    };
    Ok(RecordIndex { images, keys, numbers, strange })
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
        match file.header(offset).and_then(|(header, _)| number_of(&header, offset)) {
            Ok(found) => *number = found,
            Err(error) => return Some(in_record(path, key, error)),
        }
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
    header.number().ok_or_else(|| RecordError {
        at: offset,
        reason: format!("the label is {}; a whole number from 0 on is expected", header.labels[0]),
    })
}

/// A set of im2rec's: every key is an image, in the order of the index.
fn without_header(
    file: &RecordFile,
    path: &Path,
    index: &Path,
    lines: usize,
) -> Result<RecordIndex, SourceError> {
    let (mut images, mut keys) = (Vec::with_capacity(lines), Vec::with_capacity(lines));
    each_line(index, file.length(), |_, key, offset| {
        images.push(Offset::new(offset));
        keys.push(key);
        Ok(())
    })?;
    if !is_run(&keys)
        && let Some(key) = first_twice(&keys)
    {
        return Err(twice(index, second_line(index, file.length(), key)?, key));
    }
    let keys = Keys::Each(keys).compact();
    let numbers = from_images(file, path, &images, &keys)?;
    Ok(RecordIndex { images, keys, numbers, strange: 0 })
}

/// The least key that is there more than once.
fn first_twice(keys: &[u32]) -> Option<u32> {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// The second line that has `key`.
fn second_line(index: &Path, length: u64, key: u32) -> Result<u64, SourceError> {
    let (mut seen, mut second) = (0, 0);
    each_line(index, length, |line, found, _| {
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
    let (mut offset, mut has_header, mut are_keys) = (0, false, true);
    while offset < file.length() {
        let key = u32::try_from(images.len()).map_err(|_| whole(path, "it has more than 2^32 records"))?;
        let (header, next) = file.header(offset).map_err(|error| in_record(path, key, error))?;
        has_header |= header.id == 0 && header.keys().is_some();
        are_keys &= u32::try_from(header.id).is_ok();
        let number = number_of(&header, offset).map_err(|error| in_record(path, key, error))?;
        images.push(Offset::new(offset));
        keys.push(header.id as u32);
        numbers.push(number);
        offset = next;
    }
    // Only the records of insightface's identities have no images, and they need not be counted.
    let mut found = RecordIndex { images, keys: Keys::Each(keys), numbers, strange: 0 };
    if has_header {
        remove_empty(&mut found);
    }
    let Keys::Each(keys) = &found.keys else { return Ok(found) };
    if !are_keys || (!is_run(keys) && first_twice(keys).is_some()) {
        found.keys = Keys::From(0);
    } else if has_header && !keys.is_sorted() {
        sort_by_keys(&mut found);
    }
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

/// Removes records without images, and returns how many.
fn remove_empty(found: &mut RecordIndex) -> usize {
    let empty = found.numbers.iter().filter(|number| **number == NO_IMAGE).count();
    if empty == 0 {
        return 0;
    }
    let is_image: Vec<bool> = found.numbers.iter().map(|number| *number != NO_IMAGE).collect();
    let kept = || is_image.iter().enumerate().filter(|(_, is_image)| **is_image).map(|(index, _)| index);
    found.keys = Keys::Each(kept().map(|index| found.keys.get(index)).collect());
    found.images = kept().map(|index| found.images[index]).collect();
    found.numbers.retain(|number| *number != NO_IMAGE);
    empty
}

/// The list of names at `path`, if there is one.
fn read_names(path: &Path) -> Result<Option<Vec<String>>, SourceError> {
    let bytes = match read_bounded(path, MAX_NAMES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|source| SourceError::Unreadable { path: path.into(), source })?,
    };
    let names = serde_json::from_slice(&bytes);
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
