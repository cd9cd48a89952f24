//! One file from the web: resumed, checked, and there completely or not at all.
//!
//! What has arrived is kept in `<destination>.part`, and the server's mark of this version of the file (a strong ETag,
//! or else the date of the last change) in `<destination>.etag`. The next attempt asks for the rest (RFC 9110, Range
//! and If-Range); a server that cannot resume, or has another version by now, sends all of it and the part starts
//! over. The size is checked against what the server announces and while writing, so that no more than the expected
//! bytes reach the disk; the SHA-256 covers what was there before as well. Only then does the file get its name.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use facegrad_files::{Stop, sha256_of};
use ureq::http;

use crate::error::FetchError;

mod part;
mod transfer;

use part::Part;
use transfer::Transfer;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

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
pub struct FetchOptions {
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

impl Default for FetchOptions {
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
pub enum FetchResult {
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
    options: &FetchOptions,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> Result<FetchResult, FetchError> {
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
    part.read_again(stop, progress)?;
    // Another process may have finished it between the look and the lock.
    if destination.exists() {
        return already_there(download);
    }
    let resumed_at = match fill(&mut part, options, stop, progress) {
        Ok(()) => part.resumed_at,
        Err(error) => {
            if part.length == 0 || matches!(error, FetchError::WrongHash { .. }) {
                part.remove();
            }
            return Err(error);
        }
    };
    part.commit()?;
    Ok(FetchResult::Downloaded { resumed_at })
}

/// Completes a part until it is the file that is meant.
fn fill(
    part: &mut Part<'_>,
    options: &FetchOptions,
    stop: &Stop,
    progress: &mut dyn FnMut(u64),
) -> Result<(), FetchError> {
    let Download { url, sha256, .. } = *part.download;
    let expected = sha256.to_lowercase();
    let mut may_start_over = true;
    loop {
        Transfer { options, stop, part }.complete(progress)?;
        let found = part.sha256();
        if found == expected {
            return Ok(());
        }
        if !(part.is_mixed && may_start_over) {
            return Err(FetchError::WrongHash { url: url.into(), found, expected });
        }
        may_start_over = false;
        part.start_over()?;
    }
}

/// What has the name of the file: the file itself, or an error.
fn already_there(download: &Download<'_>) -> Result<FetchResult, FetchError> {
    let path = download.destination;
    let expected = download.sha256.to_lowercase();
    let found = sha256_of(path).map_err(|source| FetchError::Unwritable { path: path.into(), source })?;
    if found == expected {
        return Ok(FetchResult::AlreadyThere);
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
}
