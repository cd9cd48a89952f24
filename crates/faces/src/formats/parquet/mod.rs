//! Parquet with the content of image files and a label, the layout of Hugging Face's image sets.
//!
//! When a set is opened, the labels are read and it is noted where the images of a row group are. An image is read as
//! the page that it is in. Pages that were read last are kept, so that reading in order decodes each page once.
//!
//! The layout: a group `image` with `bytes` (the file) and `path` (its name), a column `label` of whole numbers, and
//! their names as a `ClassLabel` in the metadata under `huggingface` (datasets, `features/image.py`,
//! `arrow_writer.py`). A column of bytes and labels of text are read as well.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use facegrad_files::{folder_of, hexadecimal, name_of, path_of, read_bounded};
use facegrad_parquet::{ColumnPages, DecodedPage, KeptBlock, PageCost, ParquetFault, ParquetFile};
use facegrad_pictures::decode::MAX_FILE_SIZE;
use facegrad_settings::settings;
use sha2::{Digest, Sha256};

use self::columns::{Columns, LabelColumn, Problem};
use super::{
    Format, LabelGaps, LabelNeed, OpenSet, Place, SourceError, SourceKind, Summary, files_in, has_extension,
    labelled::{Images, LabelledImages},
    labels::Labels,
    title_of,
};
use crate::StoredImage;

mod columns;

/// What is expected where a set is.
const EXPECTED: &str = "a .parquet file or a folder of them";

/// Bytes of pages that are kept; the last page is, however large.
const KEPT: usize = 64 << 20;

/// Images without content from which it is told that a set has only paths.
const LOOKED_AT: usize = 16;

/// Longest path of an image, in bytes.
const MAX_PATH: usize = 4096;

settings! {
    /// Images in the rows of Parquet files, as Hugging Face has them.
    pub struct ParquetConfig {
        /// A .parquet file, or a folder of them, which are read in the order of their names.
        path: PathBuf = PathBuf::new();
        /// Take only the files of a folder whose names begin with this, such as train for train-00000-of-00012.parquet.
        split: Option<String> = None;
        /// The column of images: bytes, or a group with bytes; if absent, image, img, jpg or the like.
        image_key: Option<String> = None;
        /// The column of labels, whole numbers or text; if absent, label, identity, class or the like.
        label_key: Option<String> = None;
        /// What to do if the labels are numbers and some number below the greatest has no image.
        label_gaps: LabelGaps = LabelGaps::Refuse;
    }
}

impl Format for ParquetConfig {
    fn of_path(&self, path: &Path) -> Option<SourceKind> {
        let is_set = match path.is_dir() {
            true => files_in(path, is_parquet).is_ok_and(|files| !files.is_empty()),
            false => is_parquet(path),
        };
        is_set.then(|| Self { path: path.into(), ..Self::default() }.into())
    }

    fn title(&self) -> String {
        match &self.split {
            Some(split) => format!("{} {split}", title_of(&self.path)),
            None => title_of(&self.path),
        }
    }

    fn path(&self) -> Option<(&Path, &'static str)> {
        Some((&self.path, EXPECTED))
    }

    fn open_for(&self, need: LabelNeed) -> Result<OpenSet, SourceError> {
        Ok(ParquetImages::read(self, need)?.open())
    }
}

fn is_parquet(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && has_extension(path, &["parquet"]) && path.is_file()
}

/// The split that a file name of Hugging Face begins with: `train` of `train-00000-of-00012.parquet`.
fn split_of(path: &Path) -> Option<&str> {
    let name = path.file_stem()?.to_str()?;
    let (rest, total) = name.rsplit_once("-of-")?;
    let (split, number) = rest.rsplit_once('-')?;
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (are_digits(total) && are_digits(number)).then_some(split)
}

/// The files of a set.
fn files_of(config: &ParquetConfig) -> Result<Vec<PathBuf>, SourceError> {
    let path = &config.path;
    let unknown = |reason| Err(SourceError::Unknown { path: path.clone(), reason });
    if !path.is_dir() {
        return Ok(vec![path.clone()]);
    }
    let unreadable = |error| SourceError::unreadable(path, EXPECTED, error);
    let mut files = files_in(path, is_parquet).map_err(unreadable)?;
    if let Some(split) = &config.split {
        let begins = |file: &PathBuf| {
            file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(split.as_bytes()))
        };
        files.retain(begins);
        if files.is_empty() {
            return unknown(format!("the folder has no .parquet file whose name begins with {split:?}"));
        }
    }
    if files.is_empty() {
        return unknown("the folder has no .parquet file".into());
    }
    let mut splits: Vec<&str> = files.iter().filter_map(|file| split_of(file)).collect();
    splits.sort_unstable();
    splits.dedup();
    if let [one, other, ..] = splits[..]
        && config.split.is_none()
    {
        return unknown(format!(
            "the folder has the splits {one:?} and {other:?}; set split to take one of them"
        ));
    }
    Ok(files)
}

/// Images in Parquet files.
struct ParquetImages {
    files: Vec<ImageFile>,
    groups: Vec<RowGroup>,
    /// A file, or a folder of them.
    set: PathBuf,
    kept: Mutex<PageCache<DecodedPage>>,
    /// Held while a large page is decoded.
    large: Mutex<()>,
    /// What was read of a page for the last image.
    last: Mutex<(Option<PageKey>, KeptBlock)>,
}

struct ImageFile {
    path: PathBuf,
    /// The first image.
    first: usize,
}

/// The images of a row group.
struct RowGroup {
    file: u32,
    /// The first image.
    first: u32,
    /// Their content, if the file has it.
    images: Option<ColumnPages>,
    /// Where they lie beside the file, if it says so.
    paths: Option<ColumnPages>,
}

impl ParquetImages {
    fn read(config: &ParquetConfig, need: LabelNeed) -> Result<LabelledImages<Self>, SourceError> {
        let mut images = Self {
            set: config.path.clone(),
            files: Vec::new(),
            groups: Vec::new(),
            kept: Mutex::default(),
            large: Mutex::default(),
            last: Mutex::default(),
        };
        let (mut found, mut names) = (LabelColumn::Nothing, None);
        let mut hash = Sha256::new();
        for path in files_of(config)? {
            let first = found.len();
            images.add(&path, config, need, &mut found, &mut names, &mut hash).map_err(|problem| {
                match problem {
                    Problem::File(ParquetFault::Io(error)) => SourceError::unreadable(&path, EXPECTED, error),
                    Problem::File(ParquetFault::Content(reason)) => {
                        SourceError::malformed(&path, Place::Whole, reason)
                    }
                    Problem::Row(row, reason) => {
                        SourceError::malformed(&path, Place::Row(row.saturating_sub(first) as u64), reason)
                    }
                }
            })?;
        }
        images.check_first(&config.path, found.len())?;
        let labels = labels(found, names, config, need)?;
        for (label, identity) in labels.identities.iter().enumerate() {
            hash.update((label as u64).to_le_bytes());
            hash.update(identity);
        }
        labels.labels.iter().for_each(|label| hash.update(label.to_le_bytes()));
        let fingerprint = hexadecimal(&hash.finalize());
        Ok(LabelledImages { images, labels, summary: Summary::default(), fingerprint })
    }

    /// Adds a file.
    fn add(
        &mut self,
        path: &Path,
        config: &ParquetConfig,
        need: LabelNeed,
        found: &mut LabelColumn,
        names: &mut Option<Option<Vec<String>>>,
        hash: &mut Sha256,
    ) -> Result<(), Problem> {
        let file = ParquetFile::open(path)?;
        let columns = Columns::find(&file, config.image_key.as_deref(), config.label_key.as_deref(), need)?;
        let here = columns.class_names(&file);
        match names {
            None => *names = Some(here),
            Some(before) if *before == here => {}
            Some(_) => {
                return Err(Problem::content(
                    "its labels have other names than those of the files before it",
                ));
            }
        }
        let first = found.len();
        hash.update(file.length().to_le_bytes());
        for group in (0..file.metadata().num_row_groups()).filter(|group| file.rows(*group) > 0) {
            let too_many = |_| Problem::content("the set has more than 4294967295 images");
            let image = u32::try_from(found.len()).map_err(too_many)?;
            u32::try_from(found.len() + file.rows(group)).map_err(too_many)?;
            let pages = |column: Option<usize>| column.map(|column| file.pages(group, column)).transpose();
            // Where every row has its image, nobody asks for paths.
            let lack = |image: usize| {
                let about = file.metadata().row_group(group).column(image);
                about.statistics().and_then(|known| known.null_count_opt()) != Some(0)
            };
            let path = columns.path.filter(|_| columns.image.is_none_or(lack));
            let (images, paths) = (pages(columns.image)?, pages(path)?);
            hash.update(images.as_ref().or(paths.as_ref()).map_or(0, ColumnPages::start).to_le_bytes());
            hash.update((file.rows(group) as u64).to_le_bytes());
            self.groups.push(RowGroup { file: self.files.len() as u32, first: image, images, paths });
            match columns.label {
                Some(label) => found.read_group(&file, group, label)?,
                None => found.pass(file.rows(group))?,
            }
        }
        self.files.push(ImageFile { path: path.into(), first });
        Ok(())
    }

    /// An error if the first of `count` images are only paths, and they lead nowhere.
    fn check_first(&self, set: &Path, count: usize) -> Result<(), SourceError> {
        let is_path = |index| matches!(self.value(index, Column::Images), Ok(None));
        let have_paths = self.groups.first().is_some_and(|group| group.paths.is_some());
        if !have_paths || !(0..count.min(LOOKED_AT)).all(is_path) {
            return Ok(());
        }
        match self.beside(0) {
            Ok(Some(path)) if !path.is_file() => {
                let reason = format!(
                    "the images are not in the file, only their paths, and there is no file {path:?}"
                );
                Err(SourceError::malformed(set, Place::Whole, reason))
            }
            _ => Ok(()),
        }
    }

    /// The row group that image `index` is in.
    fn group(&self, index: usize) -> usize {
        // The first row group begins with image 0.
        self.groups.partition_point(|group| group.first as usize <= index) - 1
    }

    fn file(&self, index: usize) -> &ImageFile {
        &self.files[self.groups[self.group(index)].file as usize]
    }

    /// What a column has for image `index`, from a page that is kept from before or read.
    fn value(&self, index: usize, column: Column) -> Result<Option<Vec<u8>>, ParquetFault> {
        let group = self.group(index);
        let RowGroup { first, images, paths, .. } = &self.groups[group];
        let pages = match column {
            Column::Images => images,
            Column::Paths => paths,
        };
        let Some(pages) = pages else { return Ok(None) };
        let (number, row) = pages.page_of(index - *first as usize)?;
        let page = (group, column, number);
        let decoded = self.decoded(pages, page)?;
        // Of one page after the other, by as many threads as like; who finds it taken does without.
        match self.last.try_lock() {
            Ok(mut last) => {
                if last.0 != Some(page) {
                    *last = (Some(page), None);
                }
                decoded.value(row, &mut last.1)
            }
            Err(_) => decoded.value(row, &mut None),
        }
    }

    /// A page that is kept from before, or read.
    fn decoded(&self, pages: &ColumnPages, page: PageKey) -> Result<Arc<DecodedPage>, ParquetFault> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(page);
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        // Of pages as large as these there is one in memory at a time, and threads wait for it.
        let is_large = pages.cost(page.2)?.inflated > KEPT as u64 / 8;
        let alone = is_large.then(|| self.large.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(kept) = alone.as_ref().and_then(|_| kept()) {
            return Ok(kept);
        }
        let decoded = Arc::new(pages.decode(page.2)?);
        let size = decoded.size();
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(page, decoded.clone(), size);
        Ok(decoded)
    }

    /// The content of image `index`, as the file or what lies beside it has it.
    fn content(&self, index: usize) -> Result<Vec<u8>, String> {
        let image = self.value(index, Column::Images).map_err(|fault| fault.to_string())?;
        if let Some(image) = image {
            return Ok(image);
        }
        let path = self.beside(index)?.ok_or("the row has no image")?;
        if !path.is_file() {
            return Err(format!("the row has no image, only its path, and there is no file {path:?}"));
        }
        read_bounded(&path, MAX_FILE_SIZE).map_err(|error| format!("{path:?} cannot be read: {error}"))
    }

    /// Where image `index` lies beside the file, if it says so.
    fn beside(&self, index: usize) -> Result<Option<PathBuf>, String> {
        let path = self.value(index, Column::Paths).map_err(|fault| fault.to_string())?;
        let Some(path) = path else { return Ok(None) };
        let path = String::from_utf8(path).ok().filter(|path| path.len() <= MAX_PATH);
        let path = path.ok_or("the row has text that is no path where an image or its path is expected")?;
        Ok(Some(folder_of(&self.file(index).path).join(path_of(&path))))
    }
}

/// Labels without gaps from what was found, and the names that the metadata has for them.
fn labels(
    found: LabelColumn,
    names: Option<Option<Vec<String>>>,
    config: &ParquetConfig,
    need: LabelNeed,
) -> Result<Labels, SourceError> {
    match found {
        LabelColumn::Unknown(images) => Ok(Labels::unknown(images)),
        LabelColumn::Nothing => Ok(Labels { labels: Vec::new(), identities: Vec::new() }),
        LabelColumn::Numbers(numbers) => {
            let mut labels = Labels::of_numbers(numbers, need.gaps(config.label_gaps), &config.path)?;
            let Some(names) = names.flatten() else { return Ok(labels) };
            for identity in &mut labels.identities {
                let name = identity.parse().ok().and_then(|number: usize| names.get(number));
                let Some(name) = name else {
                    let reason = format!("it has a label {identity}, and names for {} labels", names.len());
                    return Err(SourceError::malformed(&config.path, Place::Whole, reason));
                };
                *identity = name.clone();
            }
            Ok(labels)
        }
        LabelColumn::Names { of, labels } => {
            let mut distinct: Vec<(&str, u32)> =
                of.iter().map(|(name, number)| (name.as_str(), *number)).collect();
            distinct.sort_unstable_by_key(|(_, number)| *number);
            let named = Labels::of_names(&distinct.iter().map(|(name, _)| *name).collect::<Vec<_>>());
            let labels = labels.into_iter().map(|number| named.labels[number as usize]).collect();
            Ok(Labels { labels, identities: named.identities })
        }
    }
}

impl Images for ParquetImages {
    fn name(&self, index: usize) -> String {
        let file = self.file(index);
        format!("{} row {}", name_of(&file.path), index - file.first)
    }

    fn key(&self, index: usize) -> String {
        let file = self.file(index);
        let row = index - file.first;
        match file.path.file_name() {
            Some(name) if self.set != file.path => format!("{}/{row}", name_of(Path::new(name))),
            _ => row.to_string(),
        }
    }

    fn stored(&self, index: usize) -> Result<StoredImage, String> {
        let bytes = self.content(index)?;
        match bytes.len() as u64 > MAX_FILE_SIZE {
            true => Err(format!("the image is larger than {} MiB", MAX_FILE_SIZE >> 20)),
            false => Ok(StoredImage::Encoded(bytes)),
        }
    }

    fn advice(&self) -> Option<String> {
        let largest = |group: &RowGroup| {
            let pages = group.images.as_ref()?;
            let (page, _) = pages.page_of(0).ok()?;
            pages.cost(page).ok().filter(|cost| cost.inflated > KEPT as u64 / 8)
        };
        // Where one row group has large pages, others have.
        let costs = self.groups.iter().take(LOOKED_AT).filter_map(largest);
        let PageCost { inflated, memory } = costs.max_by_key(|cost| cost.inflated)?;
        let memory = if memory > 0 { ", and twice that of memory" } else { "" };
        Some(format!(
            "an image costs the page that it is in, which is compressed as a whole: {} MiB to read and inflate{memory}; \
             facegrad data convert {} faces.parquet writes pages of single images",
            inflated >> 20,
            self.set.display()
        ))
    }
}

/// A column that pages are read of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Column {
    Images,
    Paths,
}

/// A page: of which row group and column, and its number there.
type PageKey = (usize, Column, usize);

/// The pages that were used last, the most recent at the end, and the bytes that each takes.
struct PageCache<T> {
    pages: Vec<(PageKey, Arc<T>, usize)>,
    size: usize,
}

impl<T> Default for PageCache<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), size: 0 }
    }
}

impl<T> PageCache<T> {
    fn get(&mut self, key: PageKey) -> Option<Arc<T>> {
        let place = self.pages.iter().rposition(|(other, ..)| *other == key)?;
        let page = self.pages.remove(place);
        let found = page.1.clone();
        self.pages.push(page);
        Some(found)
    }

    fn put(&mut self, key: PageKey, page: Arc<T>, size: usize) {
        if self.get(key).is_some() {
            return;
        }
        self.pages.push((key, page, size));
        self.size += size;
        while self.size > KEPT && self.pages.len() > 1 {
            self.size -= self.pages.remove(0).2;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use parquet::{
        basic::Compression,
        column::writer::ColumnWriter,
        data_type::ByteArray,
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };

    use super::*;
    use crate::{FaceSource, SourceConfig};

    fn reference(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(name).with_extension("parquet")
    }

    fn config(path: impl Into<PathBuf>) -> ParquetConfig {
        ParquetConfig { path: path.into(), ..ParquetConfig::default() }
    }

    fn open(name: &str) -> Arc<dyn FaceSource> {
        let config = SourceConfig::of_path(&reference(name)).unwrap();
        assert_eq!(config, self::config(reference(name)).into());
        config.open().unwrap().source
    }

    /// An error with the folder of the references left out.
    fn refusal(config: ParquetConfig) -> String {
        let folder = config.path.parent().unwrap().display().to_string();
        config.open().err().unwrap().to_string().replace(&folder, "ROOT")
    }

    /// The grey value of an image, of which write_parquet.py makes `7 i` for image `i`.
    fn grey(source: &dyn FaceSource, index: usize) -> usize {
        let picture = source.load(index, [2, 2]).unwrap();
        assert!(picture.pixels().iter().all(|x| *x == picture.pixels()[0]));
        picture.pixels()[0].into()
    }

    /// Checks images in an order that is not theirs, from several threads, and then in order.
    fn check(source: &dyn FaceSource, of: impl Fn(usize) -> usize + Sync) {
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let of = &of;
                scope.spawn(move || {
                    for i in 0..source.len() {
                        let index = (i * 7 + thread) % source.len();
                        assert_eq!(grey(source, index), 7 * of(index) % 256, "{index}");
                    }
                });
            }
        });
        (0..source.len()).for_each(|index| assert_eq!(grey(source, index), 7 * of(index) % 256, "{index}"));
    }

    fn labels(source: &dyn FaceSource) -> Vec<usize> {
        (0..source.len()).map(|index| source.label(index)).collect()
    }

    #[test]
    fn the_layout_of_hugging_face_is_read_with_its_names() {
        let source = open("set_names");
        assert_eq!(source.len(), 12);
        assert_eq!(source.identities(), ["Zoë", "ann lee", "Bo\nJr"]);
        assert_eq!(labels(&*source), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
        assert_eq!(source.key(11), "11");
        assert!(source.name(11).ends_with("set_names.parquet row 11"));
        check(&*source, |i| i);
        let source = open("set_datasets");
        assert_eq!((source.identities(), source.len()), (&["a".to_owned(), "b".into()][..], 9));
        assert_eq!(labels(&*source), [0, 0, 0, 0, 0, 1, 1, 1, 1]);
        check(&*source, |i| i);
    }

    #[test]
    fn every_encoding_compression_and_version_of_pages_is_read() {
        let source = open("set_flat");
        assert_eq!(source.identities(), ["person 0", "person 1", "person 2", "person 3", "person 4"]);
        assert_eq!(labels(&*source), (0..20).map(|i| i / 4).collect::<Vec<_>>());
        check(&*source, |i| i);
        let source = open("set_plain");
        assert_eq!(source.identities(), ["1", "2"]);
        check(&*source, |i| i);
        let source = open("set_dictionary");
        check(&*source, |i| if i < 30 { i % 10 } else { 9 - i % 10 });
        check(&*open("set_gzip"), |i| i);
    }

    #[test]
    fn rows_without_an_image_are_images_that_cannot_be_read() {
        let source = open("set_nulls");
        for index in 0..10 {
            match source.stored(index) {
                Ok(_) => assert_eq!(grey(&*source, index), 7 * index),
                Err(error) => {
                    assert!([2, 3, 9].contains(&index));
                    assert!(error.reason.starts_with("the row has no image"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_folder_is_its_files_in_order() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str, from: &str| {
            fs::copy(reference(from), root.path().join(name)).unwrap();
        };
        put("train-00001-of-00002.parquet", "set_dictionary");
        put("train-00000-of-00002.parquet", "set_nulls");
        put("._train-00000-of-00002.parquet", "set_flat");
        fs::create_dir(root.path().join("x.parquet")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.path(), root.path().join("loop.parquet")).unwrap();
        let set = SourceConfig::of_path(root.path()).unwrap().open().unwrap().source;
        assert_eq!((set.len(), set.key(0)), (50, "train-00000-of-00002.parquet/0".into()));
        assert_eq!(set.key(49), "train-00001-of-00002.parquet/39");
        assert!(set.name(10).ends_with("train-00001-of-00002.parquet row 0"));
        assert_eq!((grey(&*set, 8), grey(&*set, 10 + 31)), (56, 56));
        put("test-00000-of-00001.parquet", "set_dictionary");
        let both = config(root.path());
        let message = both.open().err().unwrap().to_string();
        assert!(
            message
                .ends_with("the folder has the splits \"test\" and \"train\"; set split to take one of them"),
            "{message}"
        );
        let train = ParquetConfig { split: Some("train".into()), ..both.clone() };
        assert_eq!(train.open().unwrap().source.fingerprint(), set.fingerprint());
        assert!(train.title().ends_with(" train"));
        let none = ParquetConfig { split: Some("val".into()), ..both.clone() };
        assert!(
            none.open()
                .err()
                .unwrap()
                .to_string()
                .ends_with("no .parquet file whose name begins with \"val\"")
        );
        put("test-00000-of-00001.parquet", "set_names");
        let mixed = ParquetConfig { split: Some("t".into()), ..both.clone() };
        assert!(
            mixed
                .open()
                .err()
                .unwrap()
                .to_string()
                .contains("its labels have other names than those of the files before it")
        );
        put("test-00000-of-00001.parquet", "set_flat");
        assert!(
            mixed
                .open()
                .err()
                .unwrap()
                .to_string()
                .contains("its labels are numbers, and those of files before it are text")
        );
    }

    #[test]
    fn columns_are_called_by_keys() {
        let keys = |image: &str, label: &str| ParquetConfig {
            image_key: (!image.is_empty()).then(|| image.into()),
            label_key: (!label.is_empty()).then(|| label.into()),
            ..config(reference("set_flat"))
        };
        assert_eq!(keys("jpg", "name").open().unwrap().source.len(), 20);
        assert_eq!(
            refusal(keys("photo", "")),
            "ROOT/set_flat.parquet: it has no column \"photo\" of images (bytes, or a group with bytes); its columns are \"name, jpg\""
        );
        assert_eq!(
            refusal(keys("", "jpg")),
            "ROOT/set_flat.parquet: it has no column \"jpg\" of labels (whole numbers or text); its columns are \"name, jpg\""
        );
        // Names of people are no images.
        let swapped = keys("name", "jpg").open();
        assert!(swapped.is_err() || swapped.unwrap().source.load(0, [2, 2]).is_err());
    }

    #[test]
    fn what_is_no_set_is_one_sentence() {
        assert_eq!(
            refusal(config(reference("set_unlabelled"))),
            "ROOT/set_unlabelled.parquet, row 2: the label is missing"
        );
        assert_eq!(
            refusal(config(reference("none"))),
            "there is no ROOT/none.parquet; a .parquet file or a folder of them is expected"
        );
        let root = tempfile::tempdir().unwrap();
        assert!(
            config(root.path())
                .open()
                .err()
                .unwrap()
                .to_string()
                .ends_with(": the folder has no .parquet file")
        );
        let no_end = "it is truncated, or no Parquet file: it does not end with PAR1";
        let claims = |claim: u32| [&b"PAR1and some more"[..], &claim.to_le_bytes(), b"PAR1"].concat();
        for (name, content, reason) in [
            ("empty", b"".to_vec(), "it has 0 bytes, too few for a Parquet file"),
            ("png", b"\x89PNG\r\n\x1a\n1234567890".to_vec(), no_end),
            ("magic", b"PAR1\0\0\0\0PAR1".to_vec(), "it has 12 bytes, too few for a Parquet file"),
            ("encrypted", b"PARE and some more PARE".to_vec(), "it is encrypted: it does not end with PAR1"),
            (
                "claim",
                claims(u32::MAX),
                "its metadata claim 4294967295 bytes; at most 64 MiB are read, in a file of 25 bytes",
            ),
            (
                "long",
                claims(18),
                "its metadata claim 18 bytes; at most 64 MiB are read, in a file of 25 bytes",
            ),
        ] {
            let path = root.path().join(name).with_extension("parquet");
            fs::write(&path, content).unwrap();
            assert_eq!(refusal(config(&path)), format!("ROOT/{name}.parquet: {reason}"));
        }
        let whole = fs::read(reference("set_plain")).unwrap();
        for length in [whole.len() - 1, whole.len() / 2, 100] {
            let path = root.path().join("cut.parquet");
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(refusal(config(&path)), format!("ROOT/cut.parquet: {no_end}"));
        }
        assert_eq!(
            ParquetConfig::default().of_path(root.path().parent().unwrap().join("nothing").as_path()),
            None
        );
    }

    /// What a test writes into a column, none where it is absent.
    enum Values<'a> {
        Strings(Vec<Option<&'a [u8]>>),
        Integers(Vec<i64>),
        Reals(Vec<f64>),
    }

    /// Writes a file of one row group; `there` is the level of what is there in columns of strings.
    fn write(path: &Path, schema: &str, there: i16, columns: &[Values]) {
        write_as(path, schema, there, columns, Compression::UNCOMPRESSED);
    }

    fn write_as(path: &Path, schema: &str, there: i16, columns: &[Values], compression: Compression) {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_dictionary_page_size_limit(1 << 30)
            .set_data_page_size_limit(1 << 30)
            .build();
        let file = File::create(path).unwrap();
        let mut out = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
        let mut group = out.next_row_group().unwrap();
        for values in columns {
            let mut column = group.next_column().unwrap().unwrap();
            match (column.untyped(), values) {
                (ColumnWriter::ByteArrayColumnWriter(column), Values::Strings(strings)) => {
                    let levels: Vec<i16> = strings
                        .iter()
                        .map(|string| if string.is_some() { there } else { there - 1 })
                        .collect();
                    let strings: Vec<ByteArray> =
                        strings.iter().flatten().map(|string| string.to_vec().into()).collect();
                    column.write_batch(&strings, Some(&levels), None)
                }
                (ColumnWriter::Int64ColumnWriter(column), Values::Integers(numbers)) => {
                    column.write_batch(numbers, None, None)
                }
                (ColumnWriter::DoubleColumnWriter(column), Values::Reals(numbers)) => {
                    column.write_batch(numbers, None, None)
                }
                _ => panic!("the schema has another type"),
            }
            .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        out.close().unwrap();
    }

    /// A picture of the grey that the first set of write_parquet.py has for image `index`.
    fn png(index: usize) -> Vec<u8> {
        match open("set_names").stored(index).unwrap() {
            StoredImage::Encoded(bytes) => bytes,
            StoredImage::Pixels(_) => panic!("not a file"),
        }
    }

    #[test]
    fn a_file_without_labels_is_opened_for_its_images() {
        let root = tempfile::tempdir().unwrap();
        let images: Vec<Vec<u8>> = (0..4).map(png).collect();
        let images = || Values::Strings(images.iter().map(|image| Some(&image[..])).collect());
        let bare = "message s { OPTIONAL BYTE_ARRAY image; }";
        write(&root.path().join("a.parquet"), bare, 1, &[images()]);
        let open = |path: &Path| config(path).open_for(LabelNeed::Optional);
        let opened = open(root.path()).unwrap();
        assert!(!opened.is_labelled());
        check(&*opened.source, |index| index);
        let of_file = config(root.path().join("a.parquet"));
        assert!(refusal(of_file.clone()).contains("no column looks like one of labels"));
        let named = ParquetConfig { label_key: Some("who".into()), ..of_file };
        assert!(
            named
                .open_for(LabelNeed::Optional)
                .err()
                .unwrap()
                .to_string()
                .contains("it has no column \"who\"")
        );
        // Another file has labels, with gaps.
        let labelled = "message s { OPTIONAL BYTE_ARRAY image; REQUIRED INT64 label; }";
        let numbers = Values::Integers(vec![3, 9, 3, 9]);
        write(&root.path().join("b.parquet"), labelled, 1, &[images(), numbers]);
        assert_eq!(open(&root.path().join("b.parquet")).unwrap().source.identities(), ["3", "9"]);
        let mixed = open(root.path()).err().unwrap().to_string();
        assert!(
            mixed.ends_with("b.parquet: it has a column of labels, and the files before it have none"),
            "{mixed}"
        );
        fs::rename(root.path().join("b.parquet"), root.path().join("0.parquet")).unwrap();
        let mixed = open(root.path()).err().unwrap().to_string();
        assert!(
            mixed.ends_with("a.parquet: it has no column of labels, and the files before it have one"),
            "{mixed}"
        );
    }

    #[test]
    fn whole_reals_are_labels() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.parquet");
        let images: Vec<Vec<u8>> = (0..4).map(png).collect();
        let images = || Values::Strings(images.iter().map(|image| Some(&image[..])).collect());
        let schema = "message s { OPTIONAL BYTE_ARRAY image; REQUIRED DOUBLE label; }";
        write(&path, schema, 1, &[images(), Values::Reals(vec![0.0, 1.0, 1.0, 0.0])]);
        let set = config(&path).open().unwrap().source;
        assert_eq!((set.identities(), labels(&*set)), (&["0".to_owned(), "1".into()][..], vec![0, 1, 1, 0]));
        check(&*set, |index| index);
        for (label, expected) in [
            (0.5, "the label is 0.5; a whole number is expected"),
            (f64::NAN, "the label is NaN; a whole number is expected"),
            (1e300, "the label is 1"),
            (-1.0, "the label is -1; a number from 0 to 4294967295 is expected"),
        ] {
            write(&path, schema, 1, &[images(), Values::Reals(vec![0.0, 1.0, label, 0.0])]);
            let error = refusal(config(&path));
            assert!(error.starts_with(&format!("ROOT/x.parquet, row 2: {expected}")), "{error}");
        }
    }

    #[test]
    fn columns_of_another_type_are_named_with_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.parquet");
        let refused = |schema: &str, image: Option<&str>, label: Option<&str>| {
            let schema = format!("message s {{ {schema} }}");
            let schema = Arc::new(parse_message_type(&schema).unwrap());
            let file = File::create(&path).unwrap();
            SerializedFileWriter::new(file, schema, Arc::default()).unwrap().close().unwrap();
            let keys = ParquetConfig {
                image_key: image.map(Into::into),
                label_key: label.map(Into::into),
                ..config(&path)
            };
            refusal(keys)
        };
        let label = |kind: &str, key| refused(&format!("REQUIRED BYTE_ARRAY image; {kind}"), None, key);
        let list = "OPTIONAL GROUP label (LIST) { REPEATED GROUP list { OPTIONAL INT64 element; } }";
        for (kind, name) in [
            ("REQUIRED BOOLEAN label;", "BOOLEAN"),
            ("REQUIRED FIXED_LEN_BYTE_ARRAY (5) label (DECIMAL(10, 2));", "DECIMAL(10, 2)"),
            ("REQUIRED INT64 label (DECIMAL(10, 2));", "DECIMAL(10, 2)"),
            (list, "list of INT64"),
            ("REQUIRED GROUP label { REQUIRED INT64 id; }", "group, with id"),
        ] {
            let named = format!("the column label is of type {name}; labels are whole numbers or text");
            let error = label(kind, None);
            assert!(
                error.contains(&format!("{named}; set label_key if they are in another; its columns are")),
                "{error}"
            );
            let error = label(kind, Some("label"));
            assert!(error.contains(&format!("{named}; its columns are \"image, label")), "{error}");
        }
        let error = refused(
            "OPTIONAL GROUP images (LIST) { REPEATED GROUP list { REQUIRED BYTE_ARRAY element; } } REQUIRED INT64 label;",
            Some("images"),
            None,
        );
        assert!(
            error.contains("the column images is of type list of BYTE_ARRAY; images are bytes, or a group"),
            "{error}"
        );
        let attributes: String = (0..42).map(|number| format!("REQUIRED BOOLEAN a{number};")).collect();
        let error = label(&attributes, None);
        assert!(error.ends_with("a17, a18 and 23 more\""), "{error}");
    }

    /// pyarrow writes a page of 1024 rows, however large they are.
    #[test]
    fn pages_that_are_costly_to_read_are_told_with_what_mends_them() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.parquet");
        let images: Vec<Vec<u8>> =
            (0..4).map(|image| (0..3_u64 << 20).map(|at| (at * at % 251 + image) as u8).collect()).collect();
        let images = || Values::Strings(images.iter().map(|image| Some(&image[..])).collect());
        let schema = "message s { OPTIONAL BYTE_ARRAY image; REQUIRED INT64 label; }";
        for (compression, size) in
            [(Compression::SNAPPY, None), (Compression::ZSTD(Default::default()), None)]
        {
            write_as(&path, schema, 1, &[images(), Values::Integers(vec![0, 1, 0, 1])], compression);
            let set = config(&path).open().unwrap().source;
            assert_eq!((set.advice(), set.stored(3).is_ok()), (size, true), "{compression}");
        }
        let noise: Vec<Vec<u8>> = (0..4)
            .map(|image| {
                let mut stream =
                    facegrad_random::Stream::new(6, facegrad_random::Purpose::SyntheticPicture, 0, image);
                (0..3 << 20).map(|_| stream.bits() as u8).collect()
            })
            .collect();
        let noise = Values::Strings(noise.iter().map(|image| Some(&image[..])).collect());
        write_as(
            &path,
            schema,
            1,
            &[noise, Values::Integers(vec![0, 1, 0, 1])],
            Compression::ZSTD(Default::default()),
        );
        let advice = config(&path).open().unwrap().source.advice().unwrap();
        let expected =
            format!("facegrad data convert {} faces.parquet writes pages of single images", path.display());
        assert!(advice.contains("12 MiB to read and inflate") && advice.ends_with(&expected), "{advice}");
    }

    #[test]
    fn a_group_in_a_group_is_called_as_it_is_listed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.parquet");
        let images: Vec<Vec<u8>> = (0..4).map(png).collect();
        let schema = "message s { OPTIONAL GROUP data { OPTIONAL GROUP image { OPTIONAL BYTE_ARRAY bytes; } } REQUIRED INT64 label; }";
        let images = Values::Strings(images.iter().map(|image| Some(&image[..])).collect());
        write(&path, schema, 3, &[images, Values::Integers(vec![0, 1, 0, 1])]);
        let error = refusal(config(&path));
        assert!(error.ends_with("set image_key; its columns are \"data.image.bytes, label\""), "{error}");
        for key in ["data.image", "data.image.bytes"] {
            let set = ParquetConfig { image_key: Some(key.into()), ..config(&path) }.open().unwrap().source;
            check(&*set, |index| index);
        }
    }

    #[test]
    fn images_beside_the_file_are_read_by_their_paths() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.parquet");
        let images: Vec<Vec<u8>> = (0..4).map(png).collect();
        let names = ["A/0.png", "A/1.png", "A/2.png", "A/3.png"];
        let paths = || Values::Strings(names.iter().map(|name| Some(name.as_bytes())).collect());
        let numbers = || Values::Integers(vec![0, 1, 0, 1]);
        let group = "message s { OPTIONAL GROUP image { OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (STRING); } REQUIRED INT64 label; }";
        let column = |name: &str| {
            format!("message s {{ OPTIONAL BYTE_ARRAY {name} (STRING); REQUIRED INT64 label; }}")
        };
        let only = |path: &Path| {
            write(path, group, 2, &[Values::Strings(vec![None; 4]), paths(), numbers()]);
        };
        only(&path);
        let nowhere = "and there is no file \"ROOT/A/0.png\"";
        let expected = format!("ROOT/x.parquet: the images are not in the file, only their paths, {nowhere}");
        assert_eq!(refusal(config(&path)), expected);
        write(&path, &column("image"), 1, &[paths(), numbers()]);
        assert_eq!(refusal(config(&path)), expected);
        fs::create_dir(root.path().join("A")).unwrap();
        for (name, image) in names.iter().zip(&images) {
            fs::write(root.path().join(name), image).unwrap();
        }
        check(&*config(&path).open().unwrap().source, |index| index);
        write(&path, &column("file_name"), 1, &[paths(), numbers()]);
        check(&*config(&path).open().unwrap().source, |index| index);
        only(&path);
        check(&*config(&path).open().unwrap().source, |index| index);
        // Some are in the file, and one is nowhere.
        let some =
            images.iter().enumerate().map(|(index, image)| (index % 2 == 1).then_some(&image[..])).collect();
        write(&path, group, 2, &[Values::Strings(some), paths(), numbers()]);
        fs::remove_file(root.path().join("A/0.png")).unwrap();
        let set = config(&path).open().unwrap().source;
        (1..4).for_each(|index| assert_eq!(grey(&*set, index), 7 * index));
        let reason = set.stored(0).unwrap_err().reason.replace(&root.path().display().to_string(), "ROOT");
        assert_eq!(reason, format!("the row has no image, only its path, {nowhere}"));
        // A folder is no file, and text no path.
        let long = "x".repeat(5000);
        let rows = [None, Some(&b"A"[..]), Some(long.as_bytes()), Some(&b"\xff"[..])];
        write(
            &path,
            group,
            2,
            &[
                Values::Strings(vec![Some(&b"image"[..]), None, None, None]),
                Values::Strings(rows.to_vec()),
                numbers(),
            ],
        );
        let set = config(&path).open().unwrap().source;
        assert!(set.stored(1).unwrap_err().reason.contains("there is no file"));
        for index in [2, 3] {
            assert!(set.stored(index).unwrap_err().reason.starts_with("the row has text that is no path"));
        }
    }

    /// Whatever is damaged, cut off or claimed ends in a set or a sentence.
    #[test]
    fn damaged_files_never_panic() {
        use facegrad_random::{Purpose, Stream};
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.parquet");
        let names = ["set_names", "set_datasets", "set_flat", "set_plain", "set_dictionary", "set_nulls"];
        let mut opened = 0;
        for (number, name) in names.iter().enumerate() {
            let whole = fs::read(reference(name)).unwrap();
            let mut stream = Stream::new(6, Purpose::SyntheticPicture, 0, number as u64);
            for round in 0..150 {
                let mut damaged = whole.clone();
                for _ in 0..1 + stream.below(4) {
                    let at = stream.below(damaged.len());
                    damaged[at] = stream.bits() as u8;
                }
                if round % 10 == 0 {
                    damaged.truncate(stream.below(whole.len()));
                }
                fs::write(&path, damaged).unwrap();
                match config(&path).open() {
                    Ok(set) => {
                        opened += 1;
                        for index in 0..set.source.len() {
                            if let Err(error) = set.source.load(index, [2, 2]) {
                                assert!(error.name.contains("x.parquet row "), "{error}");
                            }
                        }
                    }
                    Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
                }
            }
        }
        assert!((100..800).contains(&opened), "{opened}");
    }

    #[test]
    fn pages_that_were_used_last_are_kept() {
        let page = |number| (0, Column::Images, number);
        let mut kept = PageCache::default();
        let put = |kept: &mut PageCache<()>, number, size| kept.put(page(number), Arc::new(()), size);
        put(&mut kept, 1, KEPT / 2);
        put(&mut kept, 2, KEPT / 4);
        put(&mut kept, 2, KEPT / 4);
        assert!(kept.get(page(1)).is_some());
        put(&mut kept, 3, KEPT / 2);
        assert!(kept.get(page(2)).is_none() && kept.get(page(1)).is_some() && kept.get(page(3)).is_some());
        put(&mut kept, 4, 2 * KEPT);
        assert_eq!((kept.pages.len(), kept.size), (1, 2 * KEPT));
        put(&mut kept, 5, 1);
        assert!(kept.get(page(4)).is_none() && kept.get(page(5)).is_some() && kept.size == 1);
    }
}
