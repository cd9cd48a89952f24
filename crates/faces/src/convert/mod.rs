//! From one format of data sets to another, with the bytes of the images as they are.
//!
//! Images are written identity by identity. All work is done in a folder beside the target, `<target>.part`, which
//! says how far it has come; killed at any time, the same conversion goes on from there and writes the same bytes.
//! What is complete gets its name at the end.

mod folder;
mod names;
mod parquet;
mod plan;
mod recordio;
mod shards;
mod state;
mod webdataset;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use facegrad_settings::choice;
use rayon::prelude::*;

use self::{plan::Plan, state::State};
use facegrad_pictures::{ImageFormat, encode};

use crate::{FaceError, FaceSource, StoredImage};

/// Images that are read at a time, while as many are written: so many are in memory at most, twice.
const BATCH: usize = 16;
/// Images between two points from which a conversion can go on, at least.
const CHECKPOINT: usize = 1024;

choice! {
    /// A format that sets are written in.
    pub enum ConversionFormat {
        /// A folder with one folder of images an identity.
        Folder = "folder",
        /// A `.rec` file with its `.idx` file, as insightface has them.
        RecordIo = "recordio",
        /// Tar files of images with their labels.
        WebDataset = "webdataset",
        /// Parquet files as Hugging Face's image sets have them.
        Parquet = "parquet",
    }
}

impl ConversionFormat {
    /// What the ending of a path says; `None` if that may be several.
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_string_lossy().to_lowercase();
        match extension.as_str() {
            "rec" => Some(Self::RecordIo),
            "tar" => Some(Self::WebDataset),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

choice! {
    /// What to do about images that cannot be read.
    pub enum OnUnreadable {
        /// Stop at the first of them.
        Stop = "stop",
        /// Leave them out, after a look at all images.
        Skip = "skip",
    }
}

/// Where a set is written, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversionTarget {
    /// Format that was asked for.
    pub kind: ConversionFormat,
    /// The file or folder; it must not be there yet.
    pub path: PathBuf,
    /// Images of a shard, of formats that have shards; a target that is a single file has one.
    pub shard_images: usize,
    /// What to do about images that cannot be read.
    pub on_unreadable: OnUnreadable,
}

/// Why a set was not converted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum ConvertError {
    /// The target is there.
    #[error("{} is there already; name a new path, or remove it", .0.display())]
    Exists(PathBuf),
    /// Work of another conversion to the same target.
    #[error(
        "{} holds the work of another conversion, from another set or with other settings; run that one to its end, or remove the folder",
        .0.display()
    )]
    OtherWork(PathBuf),
    /// Another process does the same.
    #[error("{} is being written by another process", .0.display())]
    Busy(PathBuf),
    /// The name of the target says that it is a file of another format.
    #[error("{} cannot be a {kind} target; {expected} is expected", path.display())]
    ConversionTarget { path: PathBuf, kind: ConversionFormat, expected: &'static str },
    /// An image that cannot be read.
    #[error("{0}")]
    Image(FaceError),
    /// Not one image can be read.
    #[error("none of the {0} images can be read; the first one is {1}")]
    Nothing(usize, FaceError),
    /// More than the format can hold.
    #[error("the set has {0} identities; RecordIO holds labels up to {1} exactly")]
    TooMany(usize, usize),
    /// The system does not let a file be written.
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// Images written.
    pub images: usize,
    /// Their identities.
    pub identities: usize,
    /// Images left out because they cannot be read.
    pub skipped: Vec<FaceError>,
    /// The target: a folder, or the files.
    pub files: Vec<PathBuf>,
}

/// How a conversion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConvertEnd {
    /// All is written.
    Done(Conversion),
    /// It was told to stop; `images` of them are kept in `work`.
    Stopped {
        /// Images from which it will go on.
        images: usize,
        /// The folder that keeps them.
        work: PathBuf,
    },
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvertStep {
    /// Images are looked at, so many so far.
    Reading(usize),
    /// Images are written, so many so far.
    Writing(usize),
}

/// An image on its way to a target.
struct Image<'a> {
    /// Its place in the target, from 0.
    number: usize,
    label: u32,
    /// The name of its identity.
    identity: &'a str,
    /// What the source calls it.
    key: String,
    bytes: &'a [u8],
    /// The ending that its content asks for.
    extension: &'static str,
}

/// Takes images in order, each label's together.
trait Writer: Send {
    fn append(&mut self, image: &Image) -> io::Result<()>;

    /// Has the disk confirm what it can. The point from which this can be gone on.
    fn checkpoint(&mut self) -> io::Result<Mark>;

    /// Completes the files.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A point from which a conversion can go on.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
struct Mark {
    /// Images written until there.
    images: usize,
    /// Lengths of the files until there, of formats that add to them.
    lengths: Vec<u64>,
}

/// Writes `source` to `target`. `go_on` is told what is going on; if it returns false, the conversion stops where it
/// can go on later.
///
/// # Errors
/// If the target is there, is that of another conversion or cannot be written, or an image cannot be read.
pub fn convert(
    source: &dyn FaceSource,
    target: &ConversionTarget,
    go_on: &mut dyn FnMut(ConvertStep) -> bool,
) -> Result<ConvertEnd, ConvertError> {
    let layout = Layout::of(target)?;
    let unwritable = |source| ConvertError::Unwritable { path: layout.work.clone(), source };
    let mut state = match State::open(source, target, &layout)? {
        Some(state) => state,
        None => {
            let skipped = match target.on_unreadable {
                OnUnreadable::Stop => Vec::new(),
                OnUnreadable::Skip => match survey(source, go_on)? {
                    Some(skipped) => skipped,
                    None => return Ok(ConvertEnd::Stopped { images: 0, work: layout.work }),
                },
            };
            State::begin(source, target, &layout, skipped)?
        }
    };
    let plan = Plan::new(source, state.skipped());
    if target.kind == ConversionFormat::RecordIo && plan.identities().len() > recordio::MAX_EXACT {
        return Err(ConvertError::TooMany(plan.identities().len(), recordio::MAX_EXACT));
    }
    let skipped = state.skipped().to_vec();
    if !state.is_written() {
        let mut writer = layout.writer(&plan, target, state.mark()).map_err(unwritable)?;
        if !write(source, &plan, writer.as_mut(), &mut state, &unwritable, go_on)? {
            return Ok(ConvertEnd::Stopped { images: state.mark().images, work: layout.work });
        }
        writer.finish().map_err(unwritable)?;
        state.written().map_err(unwritable)?;
    }
    // Some systems rename no folder in which a file is open.
    drop(state);
    layout.publish().map_err(|source| ConvertError::Unwritable { path: target.path.clone(), source })?;
    Ok(ConvertEnd::Done(Conversion {
        images: plan.len(),
        identities: plan.identities().len(),
        skipped: skipped.into_iter().map(|(_, error)| error).collect(),
        files: layout.files,
    }))
}

/// Writes the images after the mark of `state`; false if it was told to stop.
fn write(
    source: &dyn FaceSource,
    plan: &Plan,
    writer: &mut dyn Writer,
    state: &mut State,
    unwritable: &(dyn Fn(io::Error) -> ConvertError + Sync),
    go_on: &mut dyn FnMut(ConvertStep) -> bool,
) -> Result<bool, ConvertError> {
    let mut done = state.mark().images;
    let mut checked = done;
    let mut batch = read(source, plan, done);
    while !batch.is_empty() {
        if !go_on(ConvertStep::Writing(done)) {
            state.advance(writer).map_err(unwritable)?;
            return Ok(false);
        }
        let count = batch.len();
        let (written, next) = rayon::join(
            || append(writer, batch, plan, done, unwritable),
            || read(source, plan, done + count),
        );
        if let Err(error) = written {
            // What was written before it can be kept.
            state.advance(writer).map_err(unwritable)?;
            return Err(error);
        }
        (done, batch) = (done + count, next);
        if done - checked >= CHECKPOINT {
            checked = done;
            state.advance(writer).map_err(unwritable)?;
        }
    }
    go_on(ConvertStep::Writing(done));
    Ok(true)
}

/// Reads the images from the `first` on, by all threads.
fn read(source: &dyn FaceSource, plan: &Plan, first: usize) -> Vec<Result<Content, FaceError>> {
    let last = plan.len().min(first + BATCH);
    (first..last).into_par_iter().map(|number| content(source, plan.image(number))).collect()
}

fn append(
    writer: &mut dyn Writer,
    batch: Vec<Result<Content, FaceError>>,
    plan: &Plan,
    first: usize,
    unwritable: &dyn Fn(io::Error) -> ConvertError,
) -> Result<(), ConvertError> {
    for (number, content) in (first..).zip(batch) {
        let Content { key, bytes, extension } = content.map_err(ConvertError::Image)?;
        let label = plan.label(number);
        let identity = &plan.identities()[label as usize];
        let image = Image { number, label, identity, key, bytes: &bytes, extension };
        writer.append(&image).map_err(unwritable)?;
    }
    Ok(())
}

/// The bytes of an image file, and what the source calls it.
struct Content {
    key: String,
    bytes: Vec<u8>,
    extension: &'static str,
}

/// An image as the content of a file. Only its beginning is looked at, to tell that it is an image.
fn content(source: &dyn FaceSource, index: usize) -> Result<Content, FaceError> {
    let error = |reason: String| FaceError { name: source.name(index), reason };
    let bytes = match source.stored(index)? {
        StoredImage::Encoded(bytes) => bytes,
        StoredImage::Pixels(picture) => encode(&picture, ImageFormat::Png).map_err(error)?,
    };
    let extension = names::extension(&bytes)
        .ok_or_else(|| error("its content is not a JPEG, PNG, WebP, BMP or PNM image".into()))?;
    Ok(Content { key: source.key(index), bytes, extension })
}

/// The images that cannot be read, by looking at all of them; `None` if it was told to stop.
fn survey(
    source: &dyn FaceSource,
    go_on: &mut dyn FnMut(ConvertStep) -> bool,
) -> Result<Option<Vec<(usize, FaceError)>>, ConvertError> {
    let mut unreadable = Vec::new();
    for first in (0..source.len()).step_by(BATCH) {
        if !go_on(ConvertStep::Reading(first)) {
            return Ok(None);
        }
        let images = first..source.len().min(first + BATCH);
        let bad: Vec<(usize, FaceError)> = images
            .into_par_iter()
            .filter_map(|index| content(source, index).err().map(|error| (index, error)))
            .collect();
        unreadable.extend(bad);
    }
    match unreadable.first() {
        Some((_, first)) if unreadable.len() == source.len() => {
            Err(ConvertError::Nothing(source.len(), first.clone()))
        }
        _ => Ok(Some(unreadable)),
    }
}

/// Where everything of a conversion lies.
struct Layout {
    target: PathBuf,
    /// The folder for work.
    work: PathBuf,
    /// What the target is in the end: a folder, or files, the one that is named last.
    files: Vec<PathBuf>,
    is_folder: bool,
}

impl Layout {
    fn of(target: &ConversionTarget) -> Result<Self, ConvertError> {
        let path = &target.path;
        let refuse = |expected| {
            let (path, kind) = (path.clone(), target.kind);
            Err(ConvertError::ConversionTarget { path, kind, expected })
        };
        let named = ConversionFormat::of_path(path);
        let is_folder = named.is_none();
        if !is_folder && named != Some(target.kind) {
            return refuse(match target.kind {
                ConversionFormat::Folder => "the name of a folder",
                ConversionFormat::RecordIo => "a .rec file, or a folder for train.rec,",
                ConversionFormat::WebDataset => "a .tar file, or a folder for shards,",
                ConversionFormat::Parquet => "a .parquet file, or a folder for shards,",
            });
        }
        let files = match target.kind {
            ConversionFormat::RecordIo if !is_folder => recordio::files(path).into(),
            _ => vec![path.clone()],
        };
        if path.file_name().is_none() {
            return refuse("a path that ends with a name");
        }
        let mut work = path.as_os_str().to_owned();
        work.push(".part");
        Ok(Self { target: path.clone(), work: work.into(), files, is_folder })
    }

    /// What writes the images after `mark`.
    fn writer<'a>(
        &self,
        plan: &'a Plan<'a>,
        target: &ConversionTarget,
        mark: &Mark,
    ) -> io::Result<Box<dyn Writer + 'a>> {
        let name = || self.target.file_name().map(PathBuf::from).unwrap_or_default();
        Ok(match target.kind {
            ConversionFormat::Folder => Box::new(folder::FolderWriter::go_on(&self.work, plan, mark)?),
            ConversionFormat::RecordIo => {
                let name = if self.is_folder { "train.rec".into() } else { name() };
                Box::new(recordio::RecordWriter::go_on(&self.work.join(name), plan, mark)?)
            }
            ConversionFormat::WebDataset => Box::new(shards::Shards::<webdataset::TarShard>::go_on(
                self.shards(target, plan, name(), |shard, _| format!("shard-{shard:06}.tar")),
                plan,
                mark,
            )),
            ConversionFormat::Parquet => Box::new(shards::Shards::<parquet::ParquetShard>::go_on(
                self.shards(target, plan, name(), |shard, count| {
                    format!("train-{shard:05}-of-{count:05}.parquet")
                }),
                plan,
                mark,
            )),
        })
    }

    /// The files of a sharded target: one called `single` if the target is a file, or else as `name` says for a
    /// shard and the number of shards.
    fn shards(
        &self,
        target: &ConversionTarget,
        plan: &Plan,
        single: PathBuf,
        name: fn(usize, usize) -> String,
    ) -> shards::ShardFiles {
        if !self.is_folder {
            return shards::ShardFiles { paths: vec![self.work.join(single)], images: plan.len().max(1) };
        }
        let images = target.shard_images.max(1);
        let count = plan.len().div_ceil(images);
        let paths = (0..count).map(|shard| self.work.join(name(shard, count))).collect();
        shards::ShardFiles { paths, images }
    }

    /// Gives everything its name.
    fn publish(&self) -> io::Result<()> {
        if self.is_folder {
            if self.work.is_dir() {
                facegrad_files::sync_folder(&self.work)?;
                // Some systems rename a folder onto an empty one, others do not.
                let _ = fs::remove_dir(&self.target);
                fs::rename(&self.work, &self.target)?;
            }
            match fs::remove_file(self.target.join(state::FILE)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        } else {
            for file in &self.files {
                let name = file.file_name().unwrap_or_default();
                match fs::rename(self.work.join(name), file) {
                    // It has its name since before the program was killed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_file() => {}
                    result => result?,
                }
            }
            facegrad_files::remove_folder(&self.work)?;
        }
        facegrad_files::sync_folder(facegrad_files::folder_of(&self.target))
    }
}

#[cfg(test)]
mod tests;
