//! WebDataset: samples in tar files. The members of a sample follow one another and share their name up to the
//! first dot: `0001.jpg`, `0001.cls`, `0001.json`.
//!
//! <https://github.com/webdataset/webdataset>, `webdataset/tariterators.py`.

mod label;
mod members;

use std::{
    fs,
    path::{Path, PathBuf},
};

use facegrad_files::{PooledFile, hexadecimal, name_of};
use facegrad_settings::settings;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use self::{
    label::{DistinctLabels, SampleLabel},
    members::{Kind, Member, Members, TarError},
};
use facegrad_pictures::decode::MAX_FILE_SIZE;

use super::{
    Format, LabelGaps, LabelNeed, OpenSet, Place, SourceError, SourceKind, Summary, files_in,
    folder::EXTENSIONS,
    has_extension,
    labelled::{Images, LabelledImages, add_text},
    labels::Labels,
    offset::Offset,
    positioned::read_at,
    summary::counted,
};
use crate::StoredImage;

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
        /// The ending of the members that are the images, such as `input.jpg`; the usual ones if absent.
        image_key: Option<String> = None;
        /// The field of the `.json` members that is the label, also of an object in them, as `meta.person`; without it the `.cls` members, or else the field
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
                !has_folders && !files_in(path, is_shard).ok()?.is_empty()
            }
            false => is_archive(path),
        };
        is_set.then(|| Self { path: path.into(), ..Default::default() }.into())
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        Some((&self.path, "the tar file, or a folder of them"))
    }

    fn open_for(&self, need: LabelNeed) -> Result<OpenSet, SourceError> {
        Ok(WebDataset::read(self, need)?.open())
    }
}

/// Tar files of samples, and where the images are.
///
/// With its label an image takes 9 bytes of memory: names are read from the archive when they are asked for.
#[derive(Debug)]
struct WebDataset {
    shards: Vec<Shard>,
    /// The first header of each image, shard by shard.
    images: Vec<Offset>,
}

#[derive(Debug)]
struct Shard {
    file: PooledFile,
    /// The first image of it, of all.
    first: usize,
}

/// What was found in one shard.
struct ShardContent {
    shard: Shard,
    images: Vec<Offset>,
    /// For each image, a label of `values`; of no meaning for those without.
    labels: Vec<u32>,
    values: DistinctLabels,
    /// The first image without a label, and what would be right, where labels are optional.
    unlabelled: Option<SourceError>,
    /// Samples without an image or with an empty one, and members that are links or devices.
    left_out: [usize; 3],
    /// Whether the archive ends as archives do.
    is_ended: bool,
    /// SHA-256 over the names, sizes and labels of the images.
    hash: Sha256,
}

impl WebDataset {
    fn read(config: &WebDatasetConfig, need: LabelNeed) -> Result<LabelledImages<Self>, SourceError> {
        let paths = find_shards(&config.path)?;
        let found: Vec<_> = paths.par_iter().map(|path| scan(path, config, need)).collect();
        let (mut shards, mut images, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        let (mut values, mut unlabelled) = (DistinctLabels::default(), None);
        let mut left_out = [0; 3];
        let mut hash = Sha256::new();
        let (mut without_images, mut unended) = (Vec::new(), Vec::new());
        for found in found {
            // The error of the first shard that has one.
            let mut found = found?;
            let of_shard = values.merge(found.values);
            let number = |label: &u32| of_shard.get(*label as usize).copied().unwrap_or_default();
            labels.extend(found.labels.iter().map(number));
            unlabelled = unlabelled.or(found.unlabelled);
            found.shard.first = images.len();
            let path = found.shard.file.path();
            without_images.extend(found.images.is_empty().then(|| path.to_owned()));
            unended.extend((!found.is_ended && found.shard.file.length() > 0).then(|| path.to_owned()));
            images.append(&mut found.images);
            left_out.iter_mut().zip(found.left_out).for_each(|(sum, count)| *sum += count);
            hash.update(found.shard.file.length().to_le_bytes());
            hash.update(found.hash.finalize());
            shards.push(found.shard);
        }
        let labels = match unlabelled {
            Some(error) if !values.is_empty() => return Err(error),
            Some(_) => Labels::unknown(labels.len()),
            None => values.labels(labels, need.gaps(config.label_gaps), &config.path)?,
        };
        let mut summary = Summary::default();
        let [without, empty, others] = left_out;
        summary.leave_out(without, "sample without an image", "samples without an image");
        summary.leave_out(empty, "empty image", "empty images");
        summary.leave_out(others, "link or device", "links or devices");
        let told = |found: &[PathBuf], one: &str, many: &str| -> Option<String> {
            let first = found.first()?;
            let such = if found.len() > 1 { ", such as" } else { ":" };
            Some(format!("{}{such} {}", counted(found.len(), one, many), first.display()))
        };
        let one = "archive ends without the empty blocks that mark its end, and may be cut short";
        let many = "archives end without the empty blocks that mark their ends, and may be cut short";
        summary.notes.extend(told(&unended, one, many));
        summary.notes.extend(told(&without_images, "archive holds no image", "archives hold no images"));
        labels.identities.iter().for_each(|name| add_text(&mut hash, name));
        let fingerprint = hexadecimal(&hash.finalize());
        Ok(LabelledImages { images: Self { shards, images }, labels, summary, fingerprint })
    }

    fn shard(&self, index: usize) -> &Shard {
        &self.shards[self.shards.partition_point(|shard| shard.first <= index).saturating_sub(1)]
    }

    fn member(&self, index: usize) -> Result<Member, TarError> {
        let (file, at) = (&self.shard(index).file, self.images[index].get());
        let handle =
            file.handle().map_err(|error| TarError { at, reason: format!("it cannot be read: {error}") })?;
        Members::at(&handle, file.length(), at)
    }

    /// What image `index` is called if its member can no longer be read.
    fn place(&self, index: usize) -> String {
        format!("byte {}", self.images[index].get())
    }
}

impl Images for WebDataset {
    fn name(&self, index: usize) -> String {
        let member = self.member(index).map_or_else(|_| self.place(index), |member| member.name);
        format!("{}, {member}", name_of(self.shard(index).file.path()))
    }

    fn key(&self, index: usize) -> String {
        let key = match self.member(index) {
            Ok(member) => split(&member.name).map_or(member.name.clone(), |(key, _)| key.into()),
            Err(_) => self.place(index),
        };
        match self.shards.len() {
            1 => key,
            // Shards often count from 0 each.
            _ => format!("{}/{key}", super::title_of(self.shard(index).file.path())),
        }
    }

    fn stored(&self, index: usize) -> Result<StoredImage, String> {
        let member = self
            .member(index)
            .map_err(|TarError { at, reason }| format!("byte {at} of the archive: {reason}"))?;
        if member.size > MAX_FILE_SIZE {
            return Err(format!("the file is larger than {} MiB", MAX_FILE_SIZE >> 20));
        }
        let file = &self.shard(index).file;
        let read = file.handle().and_then(|handle| read_at(&handle, member.content, member.size));
        read.map(StoredImage::Encoded).map_err(|error| format!("it cannot be read: {error}"))
    }
}

fn is_archive(path: &Path) -> bool {
    path.is_file() && (has_extension(path, &["tar"]) || is_compressed(path))
}

fn is_shard(path: &Path) -> bool {
    !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) && is_archive(path)
}

fn is_compressed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    COMPRESSED.iter().any(|ending| name.ends_with(ending))
}

/// The tar files that a path names, compressed ones too.
fn find_shards(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let found = files_in(path, is_shard).map_err(|error| SourceError::unreadable(path, EXPECTED, error))?;
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
    /// A member that would be an image if its key went on beyond the first dot.
    dotted: Option<String>,
}

/// Goes through a shard.
fn scan(path: &Path, config: &WebDatasetConfig, need: LabelNeed) -> Result<ShardContent, SourceError> {
    let whole = |reason: &str| SourceError::malformed(path, Place::Whole, reason);
    let unreadable = |error| SourceError::unreadable(path, EXPECTED, error);
    let file = PooledFile::open(path).map_err(unreadable)?;
    let (handle, length) = (file.handle().map_err(unreadable)?, file.length());
    let start = read_at(&handle, 0, length.min(8)).map_err(unreadable)?;
    if is_compressed(path) || COMPRESSED_MAGIC.iter().any(|magic| start.starts_with(magic)) {
        return Err(whole("it is compressed, so that images cannot be read in any order; decompress it"));
    }
    if length >= Offset::LIMIT {
        return Err(whole("it is larger than 4 TiB, more than can be addressed"));
    }
    let malformed = |TarError { at, reason }| SourceError::malformed(path, Place::Byte(at), reason);
    let shard = Shard { file, first: 0 };
    let mut found = ShardContent {
        shard,
        images: Vec::new(),
        labels: Vec::new(),
        values: DistinctLabels::default(),
        unlabelled: None,
        left_out: [0; 3],
        is_ended: false,
        hash: Sha256::new(),
    };
    let image_key = config.image_key.as_deref().map(str::to_ascii_lowercase);
    let mut members = Members::of(&handle, length);
    let mut sample: Option<Sample> = None;
    while let Some(member) = members.next().map_err(malformed)? {
        if member.kind != Kind::File {
            found.left_out[2] += usize::from(member.kind == Kind::Other);
            continue;
        }
        let Some((key, ending)) = split(&member.name) else { continue };
        if sample.as_ref().is_none_or(|sample| sample.key != key) {
            let key = key.to_owned();
            let (label, endings) = Default::default();
            let next = Sample { key, image: None, label, endings, dotted: None };
            if let Some(done) = sample.replace(next) {
                found.add(done, need)?;
            }
        }
        let Some(sample) = &mut sample else { continue };
        let ending = ending.to_ascii_lowercase();
        let in_member =
            |reason: String| SourceError::malformed(path, Place::Member(member.name.clone()), reason);
        if sample.endings.contains(&ending) {
            return Err(in_member(format!("its sample has a second member .{ending}")));
        }
        if sample.label.is_label(&ending) {
            let content =
                members.short(member.content, member.size, label::MAX_LABEL, "label").map_err(malformed)?;
            sample.label.read(&ending, &content, config.label_key.as_deref()).map_err(in_member)?;
        } else if image_key.as_ref().map_or(EXTENSIONS.contains(&ending.as_str()), |key| *key == ending) {
            if let Some(first) = &sample.image {
                return Err(in_member(format!("its sample has another image, \"{}\"", first.name)));
            }
            sample.image = Some(member);
        } else if image_key.is_none() && has_extension(Path::new(&ending), &EXTENSIONS) {
            sample.dotted.get_or_insert(member.name);
        }
        sample.endings.push(ending);
    }
    if let Some(done) = sample {
        found.add(done, need)?;
    }
    found.is_ended = members.is_ended();
    Ok(found)
}

impl ShardContent {
    /// Adds a sample that is complete.
    fn add(&mut self, mut sample: Sample, need: LabelNeed) -> Result<(), SourceError> {
        let path = self.shard.file.path();
        let Some(image) = sample.image else {
            // Whole sets would go as one sample without an image.
            if let Some(dotted) = sample.dotted {
                let (key, ending) = split(&dotted).unwrap_or_default();
                let reason = format!(
                    "the key of a sample ends at the first dot, so that \"{key}\" is the key here and \"{ending}\" the \
                     ending, which is that of no image; name the files without dots before their ending, or set \
                     image_key if all images end so"
                );
                return Err(SourceError::malformed(path, Place::Member(dotted), reason));
            }
            self.left_out[0] += 1;
            return Ok(());
        };
        if image.size == 0 {
            self.left_out[1] += 1;
            return Ok(());
        }
        let unlabelled = sample.label.unlabelled();
        add_text(&mut self.hash, &image.name);
        self.hash.update(image.size.to_le_bytes());
        let label = match sample.label.value() {
            Some(label) => {
                add_text(&mut self.hash, &label.value);
                self.values.add(label)
            }
            None => {
                if self.unlabelled.is_none() {
                    let reason =
                        unlabelled.unwrap_or_else(|| no_label(&self.shard, &sample.key, image.start));
                    let error = SourceError::malformed(path, Place::Member(image.name), reason);
                    match need {
                        LabelNeed::Required => return Err(error),
                        LabelNeed::Optional => self.unlabelled = Some(error),
                    }
                }
                0
            }
        };
        self.labels.push(label);
        self.images.push(Offset::new(image.start));
        Ok(())
    }
}

/// Why the sample `key` with its image at `image` has no label, and what would be right, as a clause.
fn no_label(shard: &Shard, key: &str, image: u64) -> String {
    match label_elsewhere(shard, key, image) {
        Some(label) => format!(
            "its label, {label:?}, is elsewhere in the archive; the members of a sample have to follow one another, as \
             tar --sort=name stores them"
        ),
        None => "its sample has no label; a .cls or .json member of the same name is expected".into(),
    }
}

/// The name of a member that has the label of the sample `key`, other than those around the image at `image`.
fn label_elsewhere(shard: &Shard, key: &str, image: u64) -> Option<String> {
    let handle = shard.file.handle().ok()?;
    let mut members = Members::of(&handle, shard.file.length());
    while let Ok(Some(member)) = members.next() {
        let is_label = |ending: &str| SampleLabel::default().is_label(&ending.to_ascii_lowercase());
        if member.start != image && split(&member.name).is_some_and(|(own, end)| own == key && is_label(end))
        {
            return Some(member.name);
        }
    }
    None
}

#[cfg(test)]
mod tests;
