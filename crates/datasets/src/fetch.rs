//! One file from the web: resumed, checked, and there completely or not at all.
//!
//! What has arrived is kept in `<destination>.part`, and the server's mark of this version of the file (a strong ETag,
//! or else the date of the last change) in `<destination>.etag`. The next attempt asks for the rest (RFC 9110, Range
//! and If-Range); a server that cannot resume, or has another version by now, sends all of it and the part starts
//! over. The size is checked against what the server announces and while writing, so that no more than the expected
//! bytes reach the disk; the SHA-256 covers what was there before as well. Only then does the file get its name.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use facegrad_files::{hexadecimal, sha256_of, sync_folder};
use sha2::{Digest, Sha256};
use ureq::{Agent, ResponseExt, http};

use crate::error::FetchError;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;
/// Bytes that count as getting further: an attempt that brings fewer is one in vain.
const HEADWAY: u64 = 1 << 20;
/// The longest mark of a version that is kept; servers use some dozens of bytes.
const LONGEST_MARK: usize = 512;
/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// A file to fetch.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// Where it is: http or https.
    pub url: &'a str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: &'a str,
    /// Where it goes; the folder is there.
    pub destination: &'a Path,
}

/// How patient to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time for finding the host and connecting.
    pub connect: Duration,
    /// Time without a single byte after which a connection counts as broken.
    pub idle: Duration,
    /// Attempts without headway before giving up; at least one is made.
    pub attempts: u32,
    /// Time before the second attempt; it doubles with each further one, up to half a minute.
    pub backoff: Duration,
    /// How many times a server may send us to another address.
    pub redirects: u32,
}

impl Default for Options {
    /// 20 s to connect, 30 s of silence, 5 attempts after 1, 2, 4 and 8 s, 5 redirects.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(30),
            attempts: 5,
            backoff: Duration::from_secs(1),
            redirects: 5,
        }
    }
}

/// How a file came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It was there already, with the right SHA-256.
    AlreadyThere,
    /// It was downloaded, except for as many bytes that an earlier call had left.
    Downloaded {
        /// The bytes that were there.
        resumed_at: u64,
    },
}

/// Brings a file from the web to where it belongs.
///
/// `progress` is told how many of the bytes are there, also while those of an earlier call are read again. Once `stop`
/// is set the connection is cut, and what has arrived stays for the next call.
///
/// # Errors
/// [`FetchError`]; in all cases `download.destination` is as it was. What has arrived is kept, unless it is wrong.
pub fn fetch(
    download: &Download<'_>,
    options: &Options,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(u64),
) -> Result<Fetched, FetchError> {
    check_url(download.url).map_err(|what| FetchError::Request { what })?;
    check_sha256(download.sha256).map_err(|what| FetchError::Request { what })?;
    let destination = download.destination;
    let unwritable = |source| FetchError::Unwritable { path: destination.into(), source };
    match fs::metadata(destination) {
        Ok(_) => return already_there(download),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(unwritable(error)),
    }
    let mut part = Part::open(download)?;
    let resumed_at = part.read_again(stop, progress)?;
    // Another process may have finished it between the look and the lock.
    if destination.exists() {
        return already_there(download);
    }
    let expected = download.sha256.to_lowercase();
    let mut may_start_over = true;
    loop {
        Transfer { download, options, stop, part: &mut part }.complete(progress)?;
        let found = part.sha256();
        if found == expected {
            break;
        }
        if !(part.is_mixed && may_start_over) {
            part.remove();
            return Err(FetchError::WrongHash { url: download.url.into(), found, expected });
        }
        may_start_over = false;
        part.start_over()?;
    }
    part.commit()?;
    Ok(Fetched::Downloaded { resumed_at })
}

/// What has the name of the file: the file itself, or an error.
fn already_there(download: &Download<'_>) -> Result<Fetched, FetchError> {
    let path = download.destination;
    let expected = download.sha256.to_lowercase();
    let found = sha256_of(path).map_err(|source| FetchError::Unwritable { path: path.into(), source })?;
    if found == expected {
        return Ok(Fetched::AlreadyThere);
    }
    Err(FetchError::Occupied { path: path.into(), found, expected })
}

/// Whether an address can be fetched from; what is wrong with it otherwise.
pub(crate) fn check_url(url: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("url = {url:?} {why}; write http://HOST/PATH or https://HOST/PATH"));
    let Ok(uri) = url.parse::<http::Uri>() else { return wrong("is no address") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return wrong("is neither http nor https");
    }
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return wrong("has no host");
    };
    if authority.as_str().contains('@') {
        return wrong("has a name or password in it, which would be printed and stored");
    }
    Ok(())
}

/// Whether this is a SHA-256; what is wrong with it otherwise.
pub(crate) fn check_sha256(hash: &str) -> Result<(), String> {
    if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(format!("sha256 = {hash:?} is no SHA-256, which has 64 hexadecimal digits; sha256sum FILE prints it"))
}

/// A path with something behind its file name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What has arrived of a file. It is locked against other processes as long as this lives.
struct Part<'a> {
    download: &'a Download<'a>,
    path: PathBuf,
    mark_path: PathBuf,
    file: File,
    hash: Sha256,
    length: u64,
    /// What the server calls the version of the file that this is a part of.
    mark: Option<String>,
    /// Whether it comes from an earlier call or from several answers, and so may mix two versions of the file. Then
    /// the hash is wrong through no fault of the server's, and one start from nothing settles it.
    is_mixed: bool,
}

impl<'a> Part<'a> {
    fn open(download: &'a Download<'a>) -> Result<Self, FetchError> {
        let path = with_suffix(download.destination, ".part");
        let mark_path = with_suffix(download.destination, ".etag");
        let unwritable = |source| FetchError::Unwritable { path: path.clone(), source };
        let mut options = File::options();
        let file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FetchError::Busy { part: path }),
            // Some network file systems cannot lock; the hash still guards the result.
            Err(TryLockError::Error(_)) => {}
        }
        let mark = fs::read(&mark_path).ok().filter(|bytes| bytes.len() <= LONGEST_MARK);
        let mark = mark.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|mark| is_mark(mark));
        Ok(Self { download, path, mark_path, file, hash: Sha256::new(), length: 0, mark, is_mixed: false })
    }

    fn unwritable(&self, source: io::Error) -> FetchError {
        FetchError::Unwritable { path: self.path.clone(), source }
    }

    /// Hashes what an earlier call has left; gives its length.
    fn read_again(&mut self, stop: &AtomicBool, progress: &mut dyn FnMut(u64)) -> Result<u64, FetchError> {
        let there = self.file.metadata().map_err(|error| self.unwritable(error))?.len();
        if there > self.download.bytes {
            self.start_over()?;
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(self.stopped(there));
            }
            match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.count(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unwritable(error)),
            }
            progress(self.length);
        }
        self.is_mixed = self.length > 0;
        Ok(self.length)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|error| self.unwritable(error))?;
        self.count(bytes);
        Ok(())
    }

    fn start_over(&mut self) -> Result<(), FetchError> {
        self.set_mark(None)?;
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|error| self.unwritable(error))?;
        self.hash = Sha256::new();
        self.length = 0;
        self.is_mixed = false;
        Ok(())
    }

    fn set_mark(&mut self, mark: Option<String>) -> Result<(), FetchError> {
        if mark != self.mark {
            let written = match &mark {
                Some(mark) => facegrad_files::replace(&self.mark_path, mark.as_bytes()),
                None => fs::remove_file(&self.mark_path).or_else(|error| match error.kind() {
                    ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                }),
            };
            written.map_err(|source| FetchError::Unwritable { path: self.mark_path.clone(), source })?;
            self.mark = mark;
        }
        Ok(())
    }

    fn sha256(&self) -> String {
        hexadecimal(&self.hash.clone().finalize())
    }

    fn stopped(&self, done: u64) -> FetchError {
        FetchError::Stopped { done, bytes: self.download.bytes, part: self.path.clone() }
    }

    /// Gives the complete file its name.
    fn commit(self) -> Result<(), FetchError> {
        let destination = self.download.destination;
        let done = self.file.sync_all().and_then(|()| fs::rename(&self.path, destination));
        let done = done.and_then(|()| sync_folder(facegrad_files::folder_of(destination)));
        done.map_err(|source| FetchError::Unwritable { path: destination.into(), source })?;
        // Of no use any more; that it stays behind would do no harm.
        let _ = fs::remove_file(&self.mark_path);
        Ok(())
    }

    /// Takes away what turned out wrong. That it stays behind would do no harm, since it is checked again.
    fn remove(self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.mark_path);
    }
}

/// Something a header may hold.
fn is_mark(mark: &str) -> bool {
    !mark.is_empty() && mark.len() <= LONGEST_MARK && mark.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// What a server calls this version of a file. A weak ETag is not for parts of a file (RFC 9110, 13.1.5).
fn mark_of(headers: &http::HeaderMap) -> Option<String> {
    let header = |name| headers.get(name)?.to_str().ok().filter(|mark| is_mark(mark));
    let etag = header("etag").filter(|etag| !etag.starts_with("W/"));
    etag.or_else(|| header("last-modified")).map(str::to_owned)
}

/// Why an attempt ended.
enum Broken {
    /// Another attempt may help.
    Passing {
        /// What went wrong.
        reason: String,
        /// The server was there, and answered.
        answered: Option<u16>,
    },
    /// It will not.
    Final(FetchError),
}

impl From<FetchError> for Broken {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

impl Broken {
    fn passing(reason: impl ToString) -> Self {
        Self::Passing { reason: one_line(reason.to_string()), answered: None }
    }
}

fn one_line(text: String) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.chars().take(300).collect()
}

/// The attempts to complete a part.
struct Transfer<'a, 'b> {
    download: &'a Download<'a>,
    options: &'a Options,
    stop: &'a AtomicBool,
    part: &'b mut Part<'a>,
}

impl Transfer<'_, '_> {
    /// Completes the part.
    fn complete(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
        let mut in_vain = 0;
        while self.part.length < self.download.bytes {
            let before = self.part.length;
            let Err(broken) = self.attempt(progress) else { break };
            if self.stop.load(Ordering::Relaxed) {
                return Err(self.part.stopped(self.part.length));
            }
            let (reason, answered) = match broken {
                Broken::Passing { reason, answered } => (reason, answered),
                Broken::Final(error) => return Err(error),
            };
            // All is there, and only the end of the answer is missing.
            if self.part.length == self.download.bytes {
                break;
            }
            in_vain = if self.part.length >= before + HEADWAY { 1 } else { in_vain + 1 };
            if in_vain >= self.options.attempts {
                return Err(self.give_up(reason, answered, in_vain));
            }
            self.wait(in_vain)?;
        }
        Ok(())
    }

    fn give_up(&self, reason: String, answered: Option<u16>, attempts: u32) -> FetchError {
        let url = self.download.url.to_owned();
        match (answered, self.part.length) {
            (Some(status), _) => FetchError::Status { url, status },
            (None, 0) => FetchError::Unreachable { url, reason, attempts },
            (None, done) => FetchError::Dropped {
                url,
                done,
                bytes: self.download.bytes,
                reason,
                attempts,
                part: self.part.path.clone(),
            },
        }
    }

    /// Waits before another attempt.
    fn wait(&self, attempts: u32) -> Result<(), FetchError> {
        let doubled = self.options.backoff.saturating_mul(1 << (attempts - 1).min(10));
        let mut left = doubled.min(Duration::from_secs(30).max(self.options.backoff));
        while !left.is_zero() {
            if self.stop.load(Ordering::Relaxed) {
                return Err(self.part.stopped(self.part.length));
            }
            let nap = left.min(LOOK);
            thread::sleep(nap);
            left -= nap;
        }
        Ok(())
    }

    /// Asks for what is missing once. An attempt that ends well has completed the part.
    fn attempt(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), Broken> {
        let agent = agent(self.options);
        let (stop, over) = (self.stop, AtomicBool::new(false));
        // A read that waits for the server does not see that it should stop: someone has to cut the connection.
        thread::scope(|scope| {
            let watched = agent.clone();
            let over = &over;
            let watcher = scope.spawn(move || {
                while !over.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                    thread::park_timeout(LOOK);
                }
                watched.shutdown();
            });
            let result = self.exchange(&agent, progress);
            over.store(true, Ordering::Relaxed);
            watcher.thread().unpark();
            result
        })
    }

    fn exchange(&mut self, agent: &Agent, progress: &mut dyn FnMut(u64)) -> Result<(), Broken> {
        let url = self.download.url;
        let mut request = agent.get(url);
        if self.part.length > 0 {
            request = request.header("range", format!("bytes={}-", self.part.length));
            if let Some(mark) = &self.part.mark {
                request = request.header("if-range", mark);
            }
        }
        let mut response = request.call().map_err(|error| self.refused(error))?;
        if !matches!(response.get_uri().scheme_str(), Some("http" | "https")) {
            let what = format!("{url} leads to {}, which is neither http nor https", response.get_uri());
            return Err(FetchError::Request { what: one_line(what) }.into());
        }
        let status = response.status().as_u16();
        let mark = mark_of(response.headers());
        match status {
            200 => {
                if self.part.length > 0 {
                    self.part.start_over()?;
                }
                self.expect_size(response.headers().get("content-length"), self.download.bytes)?;
            }
            206 => {
                if self.part.mark.is_some() && mark.is_some() && mark != self.part.mark {
                    self.part.start_over()?;
                    return Err(Broken::passing("another version of the file is there now"));
                }
                self.expect_rest(response.headers())?;
            }
            // There is nothing behind what we have: it is a part of something else.
            416 if self.part.length > 0 => {
                self.part.start_over()?;
                return Err(Broken::passing("the server has nothing behind the part that is there"));
            }
            408 | 429 | 500.. => {
                return Err(Broken::Passing { reason: format!("status {status}"), answered: Some(status) });
            }
            _ => return Err(FetchError::Status { url: url.into(), status }.into()),
        }
        self.part.set_mark(mark)?;
        self.part.is_mixed |= self.part.length > 0;
        self.receive(&mut response.body_mut().as_reader(), progress)
    }

    /// Whether the server announces as many bytes as there should be, if it announces any.
    fn expect_size(&self, announced: Option<&http::HeaderValue>, expected: u64) -> Result<(), FetchError> {
        let Some(found) = announced.and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok()) else {
            return Ok(());
        };
        if found == expected {
            return Ok(());
        }
        Err(self.wrong_size((self.download.bytes - expected).saturating_add(found).to_string()))
    }

    fn wrong_size(&self, found: String) -> FetchError {
        FetchError::WrongSize { url: self.download.url.into(), found, expected: self.download.bytes }
    }

    /// Whether the server sends the rest of the file, from where the part ends.
    fn expect_rest(&mut self, headers: &http::HeaderMap) -> Result<(), Broken> {
        // bytes 100-199/200, or * for a size that is not known.
        let range = headers.get("content-range").and_then(|value| value.to_str().ok());
        let range = range.and_then(|range| range.trim().strip_prefix("bytes "));
        let parsed = range.and_then(|range| {
            let (span, total) = range.split_once('/')?;
            let (first, _) = span.split_once('-')?;
            Some((first.trim().parse::<u64>().ok()?, total.trim().parse::<u64>().ok()))
        });
        match parsed {
            Some((_, Some(total))) if total != self.download.bytes => {
                Err(self.wrong_size(total.to_string()).into())
            }
            Some((first, _)) if first == self.part.length => {
                let rest = self.download.bytes - self.part.length;
                // A server may send less of the rest than was asked for, but hardly more.
                match headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
                {
                    Some(length) if length > rest => self.expect_size(headers.get("content-length"), rest)?,
                    _ => {}
                }
                Ok(())
            }
            _ => {
                // It sends another piece than the one asked for; the whole file is the way out.
                self.part.start_over()?;
                Err(Broken::passing("the server sent another piece of the file than was asked for"))
            }
        }
    }

    fn receive(&mut self, body: &mut dyn Read, progress: &mut dyn FnMut(u64)) -> Result<(), Broken> {
        let mut buffer = vec![0; CHUNK];
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(self.part.stopped(self.part.length).into());
            }
            let count = match body.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Broken::passing(error)),
            };
            let missing = self.download.bytes - self.part.length;
            if count == 0 {
                return match missing {
                    0 => Ok(()),
                    _ => Err(Broken::passing("the connection ended")),
                };
            }
            if count as u64 > missing {
                let found = format!("more than {}", self.download.bytes);
                self.part.start_over()?;
                return Err(self.wrong_size(found).into());
            }
            self.part.write(&buffer[..count])?;
            progress(self.part.length);
        }
    }

    /// Why there was no answer.
    fn refused(&self, error: ureq::Error) -> Broken {
        let url = self.download.url.to_owned();
        match error {
            ureq::Error::TooManyRedirects => {
                FetchError::Redirects { url, limit: self.options.redirects }.into()
            }
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RedirectFailed => {
                let what = format!("{url} leads to an address that cannot be used ({error})");
                FetchError::Request { what: one_line(what) }.into()
            }
            // What is wrong with a certificate does not pass by itself.
            ureq::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
                FetchError::Untrusted { url, reason: one_line(error.to_string()) }.into()
            }
            ureq::Error::Io(error) => Broken::passing(error),
            ureq::Error::HostNotFound => Broken::passing("there is no such host"),
            error => Broken::passing(error),
        }
    }
}

fn agent(options: &Options) -> Agent {
    let program = concat!("facegrad/", env!("CARGO_PKG_VERSION"));
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(options.redirects)
        .max_redirects_will_error(true)
        .timeout_resolve(Some(options.connect))
        .timeout_connect(Some(options.connect))
        .timeout_per_read(Some(options.idle))
        .timeout_per_write(Some(options.idle))
        .user_agent(program)
        // The bytes as they are: size and hash are those of the file.
        .accept_encoding("identity")
        .max_idle_connections(0);
    config.build().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_hashes_are_checked_before_anything_is_asked() {
        assert_eq!(check_url("https://a.example/b?c=d"), Ok(()));
        for (url, why) in [
            ("ftp://a.example/b", "neither http nor https"),
            ("file:///etc/passwd", "no address"),
            ("a.example/b", "no address"),
            ("/b", "neither http nor https"),
            ("http://", "no address"),
            ("https://me:secret@a.example/b", "name or password"),
            ("not an address", "no address"),
        ] {
            let message = check_url(url).unwrap_err();
            assert!(message.contains(why), "{message}");
        }
        let hash = "0".repeat(64);
        assert_eq!(check_sha256(&hash), Ok(()));
        for wrong in [&hash[1..], "", &hash.replace('0', "g")] {
            assert!(check_sha256(wrong).unwrap_err().contains("64 hexadecimal digits"));
        }
    }

    #[test]
    fn a_version_is_marked_by_a_strong_etag_or_a_date() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            });
            pairs.collect::<http::HeaderMap>()
        };
        let date = ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(mark_of(&headers(&[("etag", "\"a\""), date])).unwrap(), "\"a\"");
        assert_eq!(mark_of(&headers(&[("etag", "W/\"a\""), date])).unwrap(), date.1);
        assert_eq!(mark_of(&headers(&[("etag", "W/\"a\"")])), None);
    }
}
