//! Formats that are written as files of so many images each, every one complete or not there.

use std::{io, path::Path, path::PathBuf};

use super::{Image, Mark, Writer, plan::Plan};

/// A file of images that is being written, under another name until it is finished.
pub(super) trait Shard: Sized + Send {
    /// Begins the file at `path`, for images of a set with these identities.
    fn create(path: &Path, identities: &[String]) -> io::Result<Self>;

    /// Adds an image.
    fn append(&mut self, image: &Image) -> io::Result<()>;

    /// Has the disk confirm the file, and gives it its name.
    fn finish(self) -> io::Result<()>;
}

/// The files of a set.
pub(super) struct ShardFiles {
    pub paths: Vec<PathBuf>,
    /// Images of each but the last.
    pub images: usize,
}

/// Writes one shard after the other.
pub(super) struct Shards<'a, S> {
    files: ShardFiles,
    plan: &'a Plan<'a>,
    /// Shards that are finished.
    finished: usize,
    current: Option<S>,
    written: usize,
}

impl<'a, S: Shard> Shards<'a, S> {
    /// Goes on after `mark`, which lies between two shards.
    pub fn go_on(files: ShardFiles, plan: &'a Plan<'a>, mark: &Mark) -> Self {
        let finished = mark.images / files.images;
        let written = finished * files.images;
        Self { files, plan, finished, current: None, written }
    }

    fn finish_shard(&mut self) -> io::Result<()> {
        if let Some(shard) = self.current.take() {
            shard.finish()?;
            self.finished += 1;
        }
        Ok(())
    }
}

impl<S: Shard> Writer for Shards<'_, S> {
    fn append(&mut self, image: &Image) -> io::Result<()> {
        let shard = match &mut self.current {
            Some(shard) => shard,
            none => {
                let path = &self.files.paths[self.finished];
                none.insert(S::create(path, self.plan.identities())?)
            }
        };
        shard.append(image)?;
        self.written += 1;
        if self.written.is_multiple_of(self.files.images) {
            self.finish_shard()?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Mark> {
        let images = (self.finished * self.files.images).min(self.plan.len());
        Ok(Mark { images, lengths: Vec::new() })
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.finish_shard()
    }
}
