//! Writes a folder with one folder of images an identity.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use facegrad_files::sync_folder;
use rayon::prelude::*;

use super::{
    Image, Mark, Writer,
    names::{UniqueNames, folders, stem},
    plan::Plan,
};

/// Image files, `<identity>/<what the set calls it>.<ending of its content>`.
pub(super) struct FolderWriter {
    root: PathBuf,
    /// The folder of each identity.
    folders: Vec<String>,
    /// The names in the folder of `label`.
    names: UniqueNames,
    label: Option<u32>,
    written: usize,
    /// Files that the disk has not confirmed.
    unsynced: Vec<PathBuf>,
}

impl FolderWriter {
    /// Goes on after `mark`. What was written after it is written again, under the same names.
    pub fn go_on(root: &Path, plan: &Plan, mark: &Mark) -> io::Result<Self> {
        let folders = folders(plan.identities());
        let (mut names, mut label) = (UniqueNames::default(), None);
        if mark.images > 0 {
            let current = plan.label(mark.images - 1);
            (plan.images(current).start..mark.images)
                .for_each(|number| drop(names.name(&stem(&plan.key(number)))));
            label = Some(current);
        }
        let root = root.to_owned();
        Ok(Self { root, folders, names, label, written: mark.images, unsynced: Vec::new() })
    }
}

impl Writer for FolderWriter {
    fn append(&mut self, image: &Image) -> io::Result<()> {
        let folder = self.root.join(&self.folders[image.label as usize]);
        if self.label != Some(image.label) {
            self.label = Some(image.label);
            self.names.clear();
            fs::create_dir_all(&folder)?;
        }
        let name = self.names.name(&stem(&image.key));
        let path = folder.join(format!("{name}.{}", image.extension));
        fs::write(&path, image.bytes)?;
        self.unsynced.push(path);
        self.written += 1;
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Mark> {
        let files = std::mem::take(&mut self.unsynced);
        // Windows syncs only what is open for writing.
        files.par_iter().try_for_each(|path| File::options().append(true).open(path)?.sync_all())?;
        let mut folders: Vec<&Path> = files.iter().filter_map(|path| path.parent()).collect();
        folders.dedup();
        folders.into_iter().try_for_each(sync_folder)?;
        sync_folder(&self.root)?;
        Ok(Mark { images: self.written, lengths: Vec::new() })
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.checkpoint().map(drop)
    }
}
