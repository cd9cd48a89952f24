//! Work that is written down as it is done, so that it can be killed at any instant and continued.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{LockError, LockHeld, lock, replace};

/// What work is begun with: only the same may be continued.
pub trait WorkHeader {
    /// What it is made of, each part in the words of a person. The first that differs is named.
    fn parts(&self) -> Vec<(&'static str, String)>;

    /// In what the work that is `there` is another than that asked for `now`.
    fn difference(there: &Self, now: &Self) -> Option<WorkDifference> {
        let parts = there.parts().into_iter().zip(now.parts());
        let mut others = parts.filter(|((_, there), (_, now))| there != now);
        others.next().map(|((what, there), (_, now))| WorkDifference { what, there, now })
    }
}

/// In what work that was begun differs from that asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {there} there, {now} now")]
pub struct WorkDifference {
    /// The part.
    pub what: &'static str,
    /// As the work was begun with it.
    pub there: String,
    /// As it is asked for.
    pub now: String,
}

/// Why work cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another process does it.
    #[error(transparent)]
    Held(#[from] LockHeld),
    /// The journal does not begin with a header.
    #[error("it does not begin with what the work was begun with")]
    NoHeader,
    /// It is that of other work.
    #[error(transparent)]
    OtherWork(#[from] WorkDifference),
}

/// A file that grows by records: lines, rows, or what comes from a server. Bytes behind the last whole one, left by a
/// kill or by a disk that was full, are cut off or written over.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    end: u64,
}

impl Journal {
    /// Opens the file at `path`, or makes it, with everything in it taken for whole.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let end = file.metadata()?.len();
        Ok(Self { file, path: path.into(), end })
    }

    /// As [`open`](Self::open), kept from other processes while it is open.
    ///
    /// # Errors
    /// Those of the file system, or that another process has it.
    pub fn open_locked(path: &Path) -> Result<Self, LockError> {
        let journal = Self::open(path)?;
        lock(&journal.file, path)?;
        // It may have grown until it was locked.
        Ok(Self { end: journal.file.metadata()?.len(), ..journal })
    }

    /// Continues the journal of lines at `path` whose first is the JSON of a header, or begins it with `now`.
    /// `record` is handed each further line, of at most `longest` bytes, until one is cut off or it says no, and what
    /// follows is cut off. Also returns the header that is there.
    ///
    /// # Errors
    /// [`JournalError`]; then nothing is changed.
    pub fn of_work<H: WorkHeader + Serialize + DeserializeOwned>(
        path: &Path,
        now: &H,
        longest: u64,
        record: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(Self, H), JournalError> {
        if !path.exists() {
            replace(path, &line(now)?)?;
        }
        let mut journal = Self::open_locked(path).map_err(|error| match error {
            LockError::Io(error) => JournalError::Io(error),
            LockError::Held(held) => JournalError::Held(held),
        })?;
        let mut lines = journal.lines(longest)?;
        // An object that is complete is not cut off, be there a line feed or not.
        let first = lines.next_line()?;
        let header: H = serde_json::from_slice(first).map_err(|_| JournalError::NoHeader)?;
        let is_line = first.ends_with(b"\n");
        if let Some(difference) = H::difference(&header, now) {
            return Err(JournalError::OtherWork(difference));
        }
        let mut end = first.len() as u64;
        end += lines.count_while(record)?;
        journal.cut(end)?;
        if !is_line {
            journal.append(b"\n")?;
        }
        Ok((journal, header))
    }

    /// Hands `is_kept` each whole line of at most `longest` bytes until it says no, and cuts off what follows.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep_lines(&mut self, longest: u64, is_kept: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        let end = self.lines(longest)?.count_while(is_kept)?;
        self.cut(end)
    }

    fn lines(&mut self, longest: u64) -> io::Result<Lines<'_>> {
        self.file.rewind()?;
        Ok(Lines { reader: BufReader::new(&self.file), longest, line: Vec::new() })
    }

    /// How many bytes are whole.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Cuts off what lies behind `end`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.end = end;
        Ok(())
    }

    /// Adds `bytes`, or nothing: what an append that failed has left does not count and is written over by the next.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        // One call for all, so that a kill hardly ever leaves a part.
        self.file.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Adds a record as a line of JSON.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn append_line(&mut self, record: &impl Serialize) -> io::Result<()> {
        self.append(&line(record)?)
    }

    /// Has the disk confirm what was added.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// What is whole, from `start` on.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read_from(&mut self, start: u64) -> io::Result<impl Read + '_> {
        self.file.seek(SeekFrom::Start(start))?;
        Ok((&self.file).take(self.end.saturating_sub(start)))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// `record` as a line of JSON.
fn line(record: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}

/// The lines of a journal, none of them longer than `longest` bytes.
struct Lines<'a> {
    reader: BufReader<&'a File>,
    longest: u64,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// The next line with its line feed, which it lacks if it is cut off or too long; empty at the end.
    fn next_line(&mut self) -> io::Result<&[u8]> {
        self.line.clear();
        self.reader.by_ref().take(self.longest).read_until(b'\n', &mut self.line)?;
        Ok(&self.line)
    }

    /// The bytes of the whole lines that follow, until `is_kept` says no to one.
    fn count_while(&mut self, is_kept: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<u64> {
        let mut bytes = 0;
        loop {
            let line = self.next_line()?;
            if !line.ends_with(b"\n") || !is_kept(line) {
                return Ok(bytes);
            }
            bytes += line.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Count {
        from: usize,
        by: usize,
    }

    impl WorkHeader for Count {
        fn parts(&self) -> Vec<(&'static str, String)> {
            vec![("the start", self.from.to_string()), ("the step", self.by.to_string())]
        }
    }

    const COUNT: Count = Count { from: 3, by: 2 };

    /// Continues the count at `path`, and the numbers that are there.
    fn open(path: &Path, count: &Count) -> Result<(Journal, Vec<usize>), JournalError> {
        let mut numbers = Vec::new();
        let (journal, header) = Journal::of_work(path, count, 100, &mut |line| {
            serde_json::from_slice(line).is_ok_and(|number| {
                numbers.push(number);
                true
            })
        })?;
        assert_eq!(header, *count);
        Ok((journal, numbers))
    }

    #[test]
    fn a_journal_cut_off_at_every_byte_goes_on_behind_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("count");
        let (mut journal, _) = open(&path, &COUNT).unwrap();
        (0..4).for_each(|i| journal.append_line(&(100 + i)).unwrap());
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let header = whole.len() - 4 * 4;
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let opened = open(&path, &COUNT);
            if length < header - 1 {
                assert!(matches!(opened, Err(JournalError::NoHeader)), "{length}");
                assert_eq!(std::fs::read(&path).unwrap().len(), length);
                continue;
            }
            let (mut journal, numbers) = opened.unwrap();
            let done = length.saturating_sub(header) / 4;
            assert_eq!(numbers, (100..100 + done).collect::<Vec<_>>());
            (done..4).for_each(|i| journal.append_line(&(100 + i)).unwrap());
            journal.sync().unwrap();
            assert!(std::fs::read(&path).unwrap() == whole, "{length}");
        }
    }

    #[test]
    fn lines_that_are_no_records_or_too_long_end_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("count");
        for strange in ["x\n".to_owned(), format!("{}1\n", " ".repeat(100))] {
            std::fs::write(&path, format!("{{\"from\":3,\"by\":2}}\n5\n{strange}7\n")).unwrap();
            assert_eq!(open(&path, &COUNT).unwrap().1, [5]);
            assert!(std::fs::read_to_string(&path).unwrap().ends_with("}\n5\n"));
        }
    }

    #[test]
    fn other_work_and_another_process_are_told_apart_and_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("count");
        let (mut journal, _) = open(&path, &COUNT).unwrap();
        journal.append_line(&5).unwrap();
        assert!(matches!(open(&path, &COUNT), Err(JournalError::Held(_))));
        journal.append(b"cut of").unwrap();
        drop(journal);
        let before = std::fs::read(&path).unwrap();
        let error = open(&path, &Count { by: 4, ..COUNT }).unwrap_err();
        assert_eq!(error.to_string(), "the step: 2 there, 4 now");
        assert!(std::fs::read(&path).unwrap() == before);
    }

    #[test]
    fn what_a_failed_append_left_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let mut journal = Journal::open_locked(&path).unwrap();
        journal.append(b"abcd").unwrap();
        std::fs::write(&path, b"abcdXX").unwrap();
        journal.append(b"ef").unwrap();
        let read = |journal: &mut Journal, start| {
            let mut text = String::new();
            journal.read_from(start).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(read(&mut journal, 1), "bcdef");
        journal.cut(3).unwrap();
        journal.append(b"-").unwrap();
        assert_eq!((read(&mut journal, 0), journal.end()), ("abc-".into(), 4));
        journal.keep_lines(10, &mut |_| true).unwrap();
        assert_eq!(journal.end(), 0, "not a whole line");
    }
}
