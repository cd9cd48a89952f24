//! Embeddings of a long job, so that it can be killed and continued.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use facegrad_files::{
    LockError, WorkDifference, WorkHeader, folder_of, hexadecimal, read_bounded, sync_folder,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    EmbeddingError, Origin,
    error::{Problem, one_line},
    file::check_labels,
    formats,
    limits::{MAX_ORIGIN_BYTES, check_shape},
    writer::Target,
};

const HEADER: &str = "header.json";
const ROWS: &str = "rows.f32";

/// How much work a failing power supply may cost.
const SYNC_EVERY: Duration = Duration::from_secs(3);

/// What a job is: only the same job may be continued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingJournalHeader {
    /// How many numbers an embedding has.
    pub dim: usize,
    /// How many embeddings there will be.
    pub total: usize,
    /// SHA-256 of the names and identities in their order, in hexadecimal.
    pub list_sha256: String,
    /// Where the embeddings come from.
    pub origin: Option<Origin>,
    /// Images embedded at a time, which the last digits of embeddings may depend on.
    #[serde(default)]
    pub batch: Option<usize>,
    /// SHA-256 over what the sets of images are, in hexadecimal.
    #[serde(default)]
    pub sets_sha256: Option<String>,
}

impl EmbeddingJournalHeader {
    /// The job of embedding what `names` says, embeddings of `dim` numbers.
    ///
    /// # Errors
    /// If names or identities cannot be written: found out before the work is done.
    pub fn new(
        target: impl AsRef<Path>,
        dim: usize,
        origin: Option<&Origin>,
        names: &[String],
        identities: Option<&[String]>,
    ) -> Result<Self, EmbeddingError> {
        let check = || {
            check_shape(names.len(), dim)?;
            check_labels(names, identities)
        };
        check().map_err(|problem: Problem| problem.writing(target.as_ref(), names))?;
        let list_sha256 = list_sha256(names, identities);
        Ok(Self {
            dim,
            total: names.len(),
            list_sha256,
            origin: origin.cloned(),
            batch: None,
            sets_sha256: None,
        })
    }
}

impl WorkHeader for EmbeddingJournalHeader {
    fn parts(&self) -> Vec<(&'static str, String)> {
        let text = |text: Option<&String>| text.map_or("none".into(), |text| format!("{text:?}"));
        let origin = self.origin.as_ref();
        vec![
            ("the model (SHA-256)", text(origin.and_then(|origin| origin.model_sha256.as_ref()))),
            ("the list of images (SHA-256)", self.list_sha256.clone()),
            ("the number of images", self.total.to_string()),
            ("the length of embeddings", self.dim.to_string()),
            ("the batch size", self.batch.map_or("none".into(), |batch| batch.to_string())),
            ("flip fusion", origin.map_or("none".into(), |origin| origin.flip.to_string())),
            ("scoring", origin.map_or("none".into(), |origin| origin.scoring.to_string())),
            ("preprocessing", text(origin.and_then(|origin| origin.preprocessing.as_ref()))),
            ("the pixels (SHA-256)", text(origin.and_then(|origin| origin.pixels_sha256.as_ref()))),
            ("the set of images (SHA-256)", text(self.sets_sha256.as_ref())),
            ("the backend", text(origin.map(|origin| &origin.backend))),
            ("the version of facegrad", text(origin.map(|origin| &origin.facegrad))),
            ("the whole origin", format!("{origin:?}")),
        ]
    }
}

/// SHA-256 of names and identities in their order, in hexadecimal.
fn list_sha256(names: &[String], identities: Option<&[String]>) -> String {
    let mut hash = Sha256::new();
    for labels in [Some(names), identities].into_iter().flatten() {
        hash.update((labels.len() as u64).to_le_bytes());
        for label in labels {
            hash.update((label.len() as u64).to_le_bytes());
            hash.update(label);
        }
    }
    hexadecimal(&hash.finalize())
}

/// The rows of an unfinished file of embeddings, in a folder `<file>.part` beside it.
///
/// Rows are appended as they are computed. After a kill at any instant [`open_or_create`](Self::open_or_create)
/// tells how many are there, and the job goes on behind them; [`finish`](Self::finish) writes the file itself.
#[derive(Debug)]
pub struct EmbeddingJournal {
    target: PathBuf,
    folder: PathBuf,
    header: EmbeddingJournalHeader,
    rows: facegrad_files::Journal,
    done: usize,
    synced: Instant,
}

impl EmbeddingJournal {
    /// The folder of the unfinished file `target`.
    pub fn folder(target: impl AsRef<Path>) -> PathBuf {
        let mut folder = target.as_ref().as_os_str().to_owned();
        folder.push(".part");
        folder.into()
    }

    /// Continues the job `header` that is to write `target`, or starts it. Also returns how many rows are done.
    ///
    /// A row that was cut off in the middle counts as not done, and so do zeros at the end: what a file system
    /// may leave of rows that had not reached the disk when the power failed.
    ///
    /// # Errors
    /// If the job in the folder is another one or being continued by another process, the folder is damaged, or
    /// nothing can be written there.
    pub fn open_or_create(
        target: impl AsRef<Path>,
        header: EmbeddingJournalHeader,
    ) -> Result<(Self, usize), EmbeddingError> {
        let target = target.as_ref();
        formats::of(target)?;
        let folder = Self::folder(target);
        if !folder.exists() {
            create(&folder, &header).map_err(|problem| problem.writing(&folder, &[]))?;
        }
        let damaged = |problem: String| EmbeddingError::DamagedJournal { folder: folder.clone(), problem };
        let found = read_header(&folder).map_err(|problem| damaged(format!("is damaged: {problem}")))?;
        if let Some(WorkDifference { what, there, now }) = WorkHeader::difference(&found, &header) {
            let difference = format!("another value of {what}: {there} instead of {now}");
            return Err(EmbeddingError::OtherJob { folder, difference });
        }
        let io = |source| EmbeddingError::Io { doing: "continue", path: folder.clone(), source };
        let mut rows = match facegrad_files::Journal::open_locked(&folder.join(ROWS)) {
            Err(LockError::Held(_)) => return Err(EmbeddingError::Busy { folder }),
            Err(LockError::Io(source)) => return Err(io(source)),
            Ok(rows) => rows,
        };
        let row = header.dim as u64 * 4;
        let length = rows.end();
        if length.div_ceil(row) > header.total as u64 {
            let total = header.total;
            return Err(damaged(format!("is damaged: it holds more than the {total} rows of the job")));
        }
        let mut done = length / row;
        let mut bytes = vec![0; row as usize];
        while done > 0 {
            rows.read_from((done - 1) * row).and_then(|mut rows| rows.read_exact(&mut bytes)).map_err(io)?;
            if bytes.iter().any(|byte| *byte != 0) {
                break;
            }
            done -= 1;
        }
        rows.cut(done * row).map_err(io)?;
        let (target, done) = (target.into(), done as usize);
        Ok((Self { target, folder, header, rows, done, synced: Instant::now() }, done))
    }

    /// How many rows are done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Adds the next embeddings, `[batch, dim]` row by row; they reach the disk within seconds.
    ///
    /// # Errors
    /// If these are not whole rows, more than the job has, or not finite; or if the disk is full.
    pub fn append(&mut self, rows: &[f32]) -> Result<(), EmbeddingError> {
        let EmbeddingJournalHeader { dim, total, .. } = self.header;
        let batch = rows.len() / dim;
        if !rows.len().is_multiple_of(dim) || batch > total - self.done {
            let (numbers, left) = (rows.len(), total - self.done);
            let text =
                format!("{numbers} numbers are not embeddings of {dim} each, of which {left} are left to do");
            return Err(Problem::Content(text).writing(&self.target, &[]));
        }
        if let Some(at) = rows.iter().position(|number| !number.is_finite()) {
            let (path, name) = (self.target.clone(), format!("row {}", self.done + at / dim));
            return Err(EmbeddingError::NotFinite { path, name });
        }
        let io = |source| EmbeddingError::Io { doing: "write", path: self.folder.clone(), source };
        let mut bytes = Vec::with_capacity(rows.len() * 4);
        rows.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        self.rows.append(&bytes).map_err(io)?;
        self.done += batch;
        if self.synced.elapsed() > SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    /// Has the disk confirm all rows appended so far.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync(&mut self) -> Result<(), EmbeddingError> {
        self.synced = Instant::now();
        self.rows.sync().map_err(|source| EmbeddingError::Io {
            doing: "write",
            path: self.folder.clone(),
            source,
        })
    }

    /// Writes the file of embeddings and removes the folder.
    ///
    /// # Errors
    /// If rows are missing, names or identities are not those of the job, or the disk is full; the folder remains.
    pub fn finish(mut self, names: &[String], identities: Option<&[String]>) -> Result<(), EmbeddingError> {
        let EmbeddingJournalHeader { dim, total, list_sha256: wanted, origin, .. } = &self.header;
        let problem = |text: String| Problem::Content(text).writing(&self.target, &[]);
        if self.done < *total {
            return Err(problem(format!("{} of {total} embeddings are done", self.done)));
        }
        if names.len() != *total || list_sha256(names, identities) != *wanted {
            return Err(problem("the names and identities are not those the job was started with".into()));
        }
        let io = |source| EmbeddingError::Io { doing: "finish", path: self.folder.clone(), source };
        let mut rows = BufReader::with_capacity(1 << 20, self.rows.read_from(0).map_err(io)?);
        Target::create(&self.target)?.finish(*dim, names, identities, origin.as_ref(), &mut rows)?;
        // The header last: without the rows the folder is a job that was just begun, without the header a riddle.
        let remove = || {
            fs::remove_file(self.folder.join(ROWS))?;
            fs::remove_file(self.folder.join(HEADER))?;
            fs::remove_dir(&self.folder)
        };
        remove().map_err(io)
    }
}

/// Makes the folder of a job that has not begun, complete or not at all.
fn create(folder: &Path, header: &EmbeddingJournalHeader) -> Result<(), Problem> {
    let json = serde_json::to_vec_pretty(header).map_err(|error| Problem::content(error.to_string()))?;
    if let Some(origin) = &header.origin {
        origin.to_json()?;
    }
    let temporary = tempfile::Builder::new().prefix(".writing-").tempdir_in(folder_of(folder))?;
    #[cfg(unix)]
    fs::set_permissions(temporary.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for (name, bytes) in [(HEADER, json.as_slice()), (ROWS, &[])] {
        let mut file = File::create(temporary.path().join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    sync_folder(temporary.path())?;
    match fs::rename(temporary.path(), folder) {
        // It has another name now, under which it stays.
        Ok(()) => drop(temporary.keep()),
        // Another process was quicker; which of the two goes on is for the lock to say.
        Err(_) if folder.join(HEADER).exists() => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    Ok(sync_folder(folder_of(folder))?)
}

fn read_header(folder: &Path) -> Result<EmbeddingJournalHeader, String> {
    // As much as an origin may take when it is written with indents, and more.
    let json = read_bounded(&folder.join(HEADER), 4 * MAX_ORIGIN_BYTES as u64)
        .map_err(|error| format!("{HEADER} cannot be read, {error}"))?;
    serde_json::from_slice(&json)
        .map_err(|error| one_line(&format!("{HEADER} is not that of a journal, {error}")))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use crate::{EmbeddingFile, origin};

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("{i}.jpg")).collect()
    }

    fn header(dim: usize, count: usize) -> EmbeddingJournalHeader {
        EmbeddingJournalHeader::new("x.npz", dim, Some(&origin::example()), &names(count), None).unwrap()
    }

    fn row(i: usize) -> [f32; 3] {
        [i as f32 + 1.0, -0.25, i as f32 / 3.0]
    }

    #[test]
    fn a_journal_torn_at_every_byte_continues_to_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let whole: Vec<u8> = (0..4).flat_map(row).flat_map(f32::to_le_bytes).collect();
        for length in 0..=whole.len() {
            let target = folder.path().join(format!("{length}.safetensors"));
            drop(EmbeddingJournal::open_or_create(&target, header(3, 4)).unwrap());
            fs::write(EmbeddingJournal::folder(&target).join(ROWS), &whole[..length]).unwrap();
            let (mut journal, done) = EmbeddingJournal::open_or_create(&target, header(3, 4)).unwrap();
            assert_eq!((done, journal.done()), (length / 12, length / 12));
            for i in done..4 {
                journal.append(&row(i)).unwrap();
            }
            assert!(!target.exists());
            journal.finish(&names(4), None).unwrap();
            assert!(!EmbeddingJournal::folder(&target).exists());
            let file = EmbeddingFile::open(&target).unwrap();
            assert_eq!(file.all().unwrap(), (0..4).flat_map(row).collect::<Vec<_>>());
            assert_eq!((file.names(), file.origin()), (names(4).as_slice(), Some(&origin::example())));
        }
        // Nothing but the finished files is left.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), whole.len() + 1);
    }

    #[test]
    fn rows_that_never_reached_the_disk_are_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("e.npz");
        let (mut journal, _) = EmbeddingJournal::open_or_create(&target, header(3, 5)).unwrap();
        journal.append(&[row(0), row(1)].concat()).unwrap();
        drop(journal);
        let rows = OpenOptions::new().write(true).open(EmbeddingJournal::folder(&target).join(ROWS)).unwrap();
        rows.set_len(4 * 12 + 5).unwrap();
        assert_eq!(EmbeddingJournal::open_or_create(&target, header(3, 5)).unwrap().1, 2);
        rows.set_len(5 * 12 + 1).unwrap();
        let error = EmbeddingJournal::open_or_create(&target, header(3, 5)).unwrap_err().to_string();
        assert!(error.contains("more than the 5 rows") && error.contains("to start over"), "{error}");
    }

    #[test]
    fn of_jobs_that_start_together_one_goes_on_and_the_others_hear_of_it() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("e.npz");
            let start = std::sync::Barrier::new(8);
            let begin = || {
                start.wait();
                EmbeddingJournal::open_or_create(&target, header(3, 4))
            };
            let begun: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(begun.iter().filter(|one| one.is_ok()).count(), 1);
            for error in begun.into_iter().filter_map(Result::err) {
                assert!(matches!(error, EmbeddingError::Busy { .. }), "{error}");
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        // The moment between the look and the folder of the other one.
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("e.npz.part");
        create(&made, &header(3, 4)).map_err(|_| ()).unwrap();
        create(&made, &header(3, 4)).map_err(|_| ()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_job_is_not_continued() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("e.npz");
        let (mut journal, _) = EmbeddingJournal::open_or_create(&target, header(3, 4)).unwrap();
        let busy = EmbeddingJournal::open_or_create(&target, header(3, 4)).unwrap_err().to_string();
        assert!(busy.contains("another process"), "{busy}");
        journal.append(&row(0)).unwrap();
        drop(journal);
        let refused = |header| EmbeddingJournal::open_or_create(&target, header).unwrap_err().to_string();
        let with = |change: fn(&mut Origin)| {
            let mut origin = origin::example();
            change(&mut origin);
            EmbeddingJournalHeader { origin: Some(origin), ..header(3, 4) }
        };
        let model = refused(with(|origin| origin.model_sha256 = Some("cd".repeat(32))));
        assert!(
            model.contains(
                "e.npz.part is an unfinished job with another value of the model (SHA-256): \"abab"
            ) && model.contains("instead of \"cdcd")
                && model.contains("delete the folder to start over"),
            "{model}"
        );
        assert!(
            refused(with(|origin| origin.flip = facegrad_verification::Flip::Concat))
                .contains("add instead of concat")
        );
        assert!(refused(with(|origin| origin.normalised = true)).contains("the whole origin"));
        assert!(
            refused(EmbeddingJournalHeader { batch: Some(64), ..header(3, 4) })
                .contains("the batch size: none instead of 64")
        );
        assert!(refused(EmbeddingJournalHeader { origin: None, ..header(3, 4) }).contains("instead of none"));
        assert!(refused(header(2, 4)).contains("length of embeddings: 3 instead of 2"));
        assert!(refused(header(3, 5)).contains("the list of images"));
        for damage in ["", "{", "{}"] {
            fs::write(EmbeddingJournal::folder(&target).join(HEADER), damage).unwrap();
            let error = refused(header(3, 4));
            assert!(error.contains("header.json") && error.contains("to start over"), "{error}");
        }
    }

    #[test]
    fn only_a_complete_job_of_the_same_list_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("e.npz");
        let open = || EmbeddingJournal::open_or_create(&target, header(3, 2)).unwrap().0;
        let mut journal = open();
        assert!(journal.append(&[1.0; 4]).is_err() && journal.append(&[1.0; 9]).is_err());
        let error = journal.append(&[1.0, 1.0, 1.0, f32::NAN, 1.0, 1.0]).unwrap_err().to_string();
        assert!(error.contains("row 1"), "{error}");
        journal.append(&row(0)).unwrap();
        let error = journal.finish(&names(2), None).unwrap_err().to_string();
        assert!(error.contains("1 of 2 embeddings are done"), "{error}");
        let mut journal = open();
        journal.append(&row(1)).unwrap();
        assert!(journal.finish(&names(2), Some(&names(2))).is_err());
        let journal = open();
        assert_eq!(journal.done(), 2);
        journal.finish(&names(2), None).unwrap();
        assert!(EmbeddingJournalHeader::new(&target, 3, None, &["a".into(), "a".into()], None).is_err());
        assert!(EmbeddingJournalHeader::new(&target, 0, None, &names(2), None).is_err());
    }
}
