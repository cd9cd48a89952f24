//! WebDataset: samples in tar files. The members of a sample follow one another and share their name up to the
//! first dot: `0001.jpg`, `0001.cls`, `0001.json`.
//!
//! <https://github.com/webdataset/webdataset>, `webdataset/tariterators.py`.

mod label;
mod members;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use facegrad_files::hexadecimal;
use facegrad_settings::settings;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use self::{
    label::{DistinctLabels, SampleLabel},
    members::{Kind, Member, Members, TarError},
};
use facegrad_pictures::decode::MAX_FILE_SIZE;

use super::{
    Format, LabelGaps, OpenSet, Place, SourceError, SourceKind, Summary, folder::EXTENSIONS, offset::Offset,
    positioned::read_at,
};
use crate::{FaceError, FaceSource, StoredImage};

/// What is expected at a path.
const EXPECTED: &str = "a tar file, or a folder of them,";
/// Endings of compressed archives.
const COMPRESSED: [&str; 8] =
    [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tbz2", ".txz", ".tar.lz4"];
/// What compressed archives begin with: gzip, bzip2, xz, zstd, lz4.
const COMPRESSED_MAGIC: [&[u8]; 5] = [
    &[0x1F, 0x8B],
    b"BZh",
    &[0xFD, b'7', b'z', b'X', b'Z'],
    &[0x28, 0xB5, 0x2F, 0xFD],
    &[4, 0x22, 0x4D, 0x18],
];

settings! {
    /// Samples in tar files: images with their labels beside them.
    pub struct WebDatasetConfig {
        /// A tar file, or a folder of them; their order is that of their names.
        path: PathBuf = PathBuf::new();
        /// The field of the `.json` members that is the label; without it the `.cls` members, or else the field
        /// `label`, `cls` or `class`.
        label_key: Option<String> = None;
        /// Numbers of identities without an image: refuse or close.
        label_gaps: LabelGaps = LabelGaps::Refuse;
    }
}

impl Format for WebDatasetConfig {
    fn of_path(&self, path: &Path) -> Option<SourceKind> {
        let is_set = match path.is_dir() {
            // Archives among folders are somebody's downloads.
            true => {
                let has_folders = fs::read_dir(path).ok()?.flatten().any(|entry| entry.path().is_dir());
                !has_folders && !shards_in(path).ok()?.is_empty()
            }
            false => path.is_file() && (is_tar(path) || is_compressed(path)),
        };
        is_set.then(|| Self { path: path.into(), ..Default::default() }.into())
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        Some((&self.path, "the tar file, or a folder of them"))
    }

    fn open(&self) -> Result<OpenSet, SourceError> {
        let (source, summary) = WebDataset::open(self)?;
        Ok(OpenSet { source: Arc::new(source), summary })
    }
}

/// Tar files of samples: where the images are, and whose.
///
/// An image takes 9 bytes of memory: names are read from the archive when they are asked for.
#[derive(Debug)]
struct WebDataset {
    shards: Vec<Shard>,
    /// The first header of each image, shard by shard.
    images: Vec<Offset>,
    labels: Vec<u32>,
    identities: Vec<String>,
    fingerprint: String,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: File,
    length: u64,
    /// The first image of it, of all.
    first: usize,
}

/// What was found in one shard.
struct ShardContent {
    shard: Shard,
    images: Vec<Offset>,
    /// For each image, a label of `values`.
    labels: Vec<u32>,
    values: DistinctLabels,
    /// Samples without an image or with an empty one, and members that are links or devices.
    left_out: [usize; 3],
    /// SHA-256 over the names, sizes and labels of the images.
    hash: Sha256,
}

impl WebDataset {
    fn open(config: &WebDatasetConfig) -> Result<(Self, Summary), SourceError> {
        let paths = find_shards(&config.path)?;
        let found: Vec<Result<ShardContent, SourceError>> =
            paths.par_iter().map(|path| scan(path, config.label_key.as_deref())).collect();
        let (mut shards, mut images, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let mut values = DistinctLabels::default();
        let mut left_out = [0; 3];
        let mut hash = Sha256::new();
        for found in found {
            // The error of the first shard that has one.
            let mut found = found?;
            let of_shard = values.merge(found.values);
            labels.extend(found.labels.iter().map(|label| of_shard[*label as usize]));
            found.shard.first = images.len();
            images.append(&mut found.images);
            left_out.iter_mut().zip(found.left_out).for_each(|(sum, count)| *sum += count);
            hash.update(found.shard.length.to_le_bytes());
            hash.update(found.hash.finalize());
            shards.push(found.shard);
        }
        let (labels, identities) = values.labels(labels, config.label_gaps, &config.path)?;
        let mut summary =
            Summary { images: images.len(), identities: identities.len(), ..Summary::default() };
        let [without, empty, others] = left_out;
        summary.leave_out(without, "sample without an image", "samples without an image");
        summary.leave_out(empty, "empty image", "empty images");
        summary.leave_out(others, "link or device", "links or devices");
        for name in &identities {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
        }
        let fingerprint = hexadecimal(&hash.finalize());
        Ok((Self { shards, images, labels, identities, fingerprint }, summary))
    }

    fn shard(&self, index: usize) -> &Shard {
        &self.shards[self.shards.partition_point(|shard| shard.first <= index).saturating_sub(1)]
    }

    fn member(&self, index: usize) -> Result<(&Shard, Member), TarError> {
        let shard = self.shard(index);
        let member = Members::at(&shard.file, shard.length, self.images[index].get())?;
        Ok((shard, member))
    }

    /// What image `index` is called if its member can no longer be read.
    fn place(&self, index: usize) -> String {
        format!("byte {}", self.images[index].get())
    }
}

impl FaceSource for WebDataset {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn identities(&self) -> &[String] {
        &self.identities
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index] as usize
    }

    fn name(&self, index: usize) -> String {
        let member = self.member(index).map_or_else(|_| self.place(index), |(_, member)| member.name);
        // Names come from outside and may hold anything.
        format!("{}, {}", self.shard(index).path.display(), member.escape_debug())
    }

    fn key(&self, index: usize) -> String {
        let key = match self.member(index) {
            Ok((_, member)) => split(&member.name).map_or(member.name.clone(), |(key, _)| key.into()),
            Err(_) => self.place(index),
        };
        match self.shards.len() {
            1 => key,
            // Shards often count from 0 each.
            _ => format!("{}/{key}", super::title_of(&self.shard(index).path)),
        }
    }

    fn stored(&self, index: usize) -> Result<StoredImage, FaceError> {
        let error = |reason: String| FaceError { name: self.name(index), reason };
        let (shard, member) = self
            .member(index)
            .map_err(|TarError { at, reason }| error(format!("byte {at} of the archive: {reason}")))?;
        if member.size > MAX_FILE_SIZE {
            return Err(error(format!("the file is larger than {} MiB", MAX_FILE_SIZE >> 20)));
        }
        let read = read_at(&shard.file, member.content, member.size);
        Ok(StoredImage::Encoded(read.map_err(|source| error(format!("it cannot be read: {source}")))?))
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    match source.kind() {
        io::ErrorKind::NotFound => SourceError::Missing { path: path.into(), expected: EXPECTED.into() },
        _ => SourceError::Unreadable { path: path.into(), source },
    }
}

fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case("tar"))
}

fn is_compressed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    COMPRESSED.iter().any(|ending| name.ends_with(ending))
}

/// The tar files in a folder, compressed ones too, by name.
fn shards_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.is_file() && (is_tar(&path) || is_compressed(&path)) {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The tar files that a path names.
fn find_shards(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let found = shards_in(path).map_err(|error| unreadable(path, error))?;
    if found.is_empty() {
        return Err(SourceError::Unknown { path: path.into(), reason: "it holds no .tar files".into() });
    }
    Ok(found)
}

/// A name up to the first dot of its last part, and what follows that dot; `None` if it belongs to no sample.
fn split(name: &str) -> Option<(&str, &str)> {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = file + name[file..].find('.')?;
    (dot > file).then(|| (&name[..dot], &name[dot + 1..]))
}

/// A sample whose members are being read.
struct Sample {
    key: String,
    image: Option<Member>,
    label: SampleLabel,
    /// Lower-case endings of its members so far.
    endings: Vec<String>,
}

/// Goes through a shard.
fn scan(path: &Path, label_key: Option<&str>) -> Result<ShardContent, SourceError> {
    let whole = |reason: &str| SourceError::Malformed {
        path: path.into(),
        place: Place::Whole,
        reason: reason.into(),
    };
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let length = file.metadata().map_err(|error| unreadable(path, error))?.len();
    let start = read_at(&file, 0, length.min(8)).map_err(|error| unreadable(path, error))?;
    if is_compressed(path) || COMPRESSED_MAGIC.iter().any(|magic| start.starts_with(magic)) {
        return Err(whole("it is compressed, so that images cannot be read in any order; decompress it"));
    }
    if length >= Offset::LIMIT {
        return Err(whole("it is larger than 4 TiB, more than can be addressed"));
    }
    let malformed = |TarError { at, reason }| SourceError::Malformed {
        path: path.into(),
        place: Place::Byte(at),
        reason,
    };
    let shard = Shard {
        path: path.into(),
        file: file.try_clone().map_err(|e| unreadable(path, e))?,
        length,
        first: 0,
    };
    let mut found = ShardContent {
        shard,
        images: Vec::new(),
        labels: Vec::new(),
        values: DistinctLabels::default(),
        left_out: [0; 3],
        hash: Sha256::new(),
    };
    let mut members = Members::of(&file, length);
    let mut sample: Option<Sample> = None;
    while let Some(member) = members.next().map_err(malformed)? {
        if member.kind != Kind::File {
            found.left_out[2] += usize::from(member.kind == Kind::Other);
            continue;
        }
        let Some((key, ending)) = split(&member.name) else { continue };
        if sample.as_ref().is_none_or(|sample| sample.key != key) {
            let key = key.to_owned();
            let next = Sample { key, image: None, label: SampleLabel::default(), endings: Vec::new() };
            if let Some(done) = sample.replace(next) {
                found.add(done)?;
            }
        }
        let Some(sample) = &mut sample else { continue };
        let ending = ending.to_ascii_lowercase();
        let in_member = |reason: String| SourceError::Malformed {
            path: path.into(),
            place: Place::Member(member.name.clone()),
            reason,
        };
        if sample.endings.contains(&ending) {
            return Err(in_member(format!("its sample has a second member .{ending}")));
        }
        if sample.label.is_label(&ending) {
            let content =
                members.short(member.content, member.size, label::MAX_LABEL, "label").map_err(malformed)?;
            sample.label.read(&ending, &content, label_key).map_err(in_member)?;
        } else if EXTENSIONS.contains(&ending.as_str()) {
            if let Some(first) = &sample.image {
                return Err(in_member(format!("its sample has another image, {:?}", first.name)));
            }
            sample.image = Some(member);
        }
        sample.endings.push(ending);
    }
    if let Some(done) = sample {
        found.add(done)?;
    }
    Ok(found)
}

impl ShardContent {
    /// Adds a sample that is complete.
    fn add(&mut self, sample: Sample) -> Result<(), SourceError> {
        let Some(image) = sample.image else {
            self.left_out[0] += 1;
            return Ok(());
        };
        if image.size == 0 {
            self.left_out[1] += 1;
            return Ok(());
        }
        let Some(label) = sample.label.value() else {
            return Err(SourceError::Malformed {
                path: self.shard.path.clone(),
                place: Place::Member(image.name),
                reason: "its sample has no label; a .cls or .json member of the same name is expected".into(),
            });
        };
        self.hash.update((image.name.len() as u64).to_le_bytes());
        self.hash.update(&image.name);
        self.hash.update(image.size.to_le_bytes());
        self.hash.update((label.value.len() as u64).to_le_bytes());
        self.hash.update(&label.value);
        self.labels.push(self.values.add(label));
        self.images.push(Offset::new(image.start));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
