//! The one way in which files are opened.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// What the pipes held that a person named, by their paths: in files without a name, which vanish with the process
/// however it ends.
static PIPES: Mutex<Option<HashMap<PathBuf, File>>> = Mutex::new(None);

/// What is at a path is no file with content of its own; inside an [`io::Error`] of the kind `InvalidInput`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {0}, and no regular file")]
pub struct NoRegularFile(&'static str);

/// Opens a file to read. Opening a pipe waits for somebody to write, and reading a device may never end, so only regular
/// files are opened, and pipes that [`spool`] has read.
///
/// # Errors
/// [`NoRegularFile`], or those of the file system.
pub fn open(path: &Path) -> io::Result<File> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() {
        return File::open(path);
    }
    let mut pipes = PIPES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    match pipes.as_mut().and_then(|pipes| pipes.get_mut(path)) {
        Some(spooled) => copy_of(spooled),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, NoRegularFile(kind(&metadata)))),
    }
}

/// Reads the pipe at `path`, which a person named on the command line (`<(…)`, `/dev/stdin`), to its end, so that
/// [`open`] gives what it held, any number of times. Nothing is done for whatever else is there, nor for a pipe that
/// nobody begins to write to within two seconds.
///
/// # Errors
/// Those of the file system, and of the kind `FileTooLarge` if more than `limit` bytes come.
pub fn spool(path: &Path, limit: u64) -> io::Result<()> {
    if !fs::metadata(path).is_ok_and(|metadata| is_pipe(&metadata)) {
        return Ok(());
    }
    let mut pipes = PIPES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let pipes = pipes.get_or_insert_default();
    if !pipes.contains_key(path) {
        let mut spooled = tempfile::tempfile()?;
        let mut pipe = Pipe::open(path)?.take(limit.saturating_add(1));
        match io::copy(&mut pipe, &mut spooled)? {
            0 => {}
            length if length > limit => {
                let too_long = crate::TooLong { length: None, limit };
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, too_long));
            }
            _ => drop(pipes.insert(path.to_owned(), spooled)),
        }
    }
    Ok(())
}

/// A pipe that is read to its end, but not waited for if nobody writes.
struct Pipe {
    file: File,
    opened: Instant,
    has_writer: bool,
}

impl Pipe {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        // Opening would wait for a writer otherwise.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
        );
        Ok(Self { file: options.read(true).open(path)?, opened: Instant::now(), has_writer: false })
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                // The end, or nobody has begun yet.
                Ok(0) if self.has_writer || self.opened.elapsed() > WRITER => return Ok(0),
                Ok(0) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.has_writer = true,
                result => {
                    self.has_writer = true;
                    return result;
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// How long a pipe may have no writer before it is taken for one that never has.
const WRITER: Duration = Duration::from_secs(2);

/// The same content under a handle with a position of its own: each reader begins at the first byte.
fn copy_of(file: &mut File) -> io::Result<File> {
    let mut copy = tempfile::tempfile()?;
    file.rewind()?;
    io::copy(file, &mut copy)?;
    copy.rewind()?;
    Ok(copy)
}

/// What something is that is no regular file.
fn kind(metadata: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return "a pipe";
        } else if kind.is_socket() {
            return "a socket";
        } else if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if metadata.is_dir() { "a folder" } else { "something else" }
}

fn is_pipe(metadata: &Metadata) -> bool {
    kind(metadata) == "a pipe"
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        let mut text = String::new();
        open(path).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn nothing_that_may_wait_for_ever_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for (path, what) in [(&*pipe, "pipe"), ("/dev/zero".as_ref(), "device"), (folder.path(), "folder")] {
            let error = open(path).unwrap_err();
            assert_eq!(error.to_string(), format!("it is a {what}, and no regular file"));
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(open(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("silent");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        spool(&pipe, 8).unwrap();
        assert_eq!(open(&pipe).unwrap_err().to_string(), "it is a pipe, and no regular file");
    }

    #[test]
    fn a_pipe_that_was_named_is_read_once_and_opened_often() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("named");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let write = |text: &'static str| {
            let pipe = pipe.clone();
            std::thread::spawn(move || drop(fs::write(pipe, text)))
        };
        let writer = write("far too much");
        let error = spool(&pipe, 8).unwrap_err();
        writer.join().unwrap();
        assert_eq!(error.to_string(), "it has more than the 8 bytes it could need");
        assert!(open(&pipe).is_err());

        let writer = write("a face");
        spool(&pipe, 8).unwrap();
        writer.join().unwrap();
        spool(&pipe, 8).unwrap();
        assert_eq!((text(&pipe), text(&pipe)), ("a face".into(), "a face".into()));
        spool(&folder.path().join("none"), 8).unwrap();
    }
}
