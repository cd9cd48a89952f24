//! The attempts to complete a part.

use std::{
    io::{ErrorKind, Read},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use facegrad_files::Stop;
use ureq::{Agent, ResponseExt, http};

use super::{
    CHUNK, FetchOptions,
    part::{Part, mark_of},
};
use crate::error::FetchError;

/// Bytes that count as getting further: an attempt that brings fewer is one in vain.
const HEADWAY: u64 = 1 << 20;
/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Why an attempt ended.
enum BrokenTransfer {
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

impl From<FetchError> for BrokenTransfer {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

impl BrokenTransfer {
    fn passing(reason: impl ToString) -> Self {
        Self::Passing { reason: one_line(reason.to_string()), answered: None }
    }
}

fn one_line(text: String) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.chars().take(300).collect()
}

/// The attempts to complete a part.
pub(super) struct Transfer<'a, 'b> {
    pub(super) options: &'a FetchOptions,
    pub(super) stop: &'a Stop,
    pub(super) part: &'a mut Part<'b>,
}

impl Transfer<'_, '_> {
    /// Completes the part.
    pub(super) fn complete(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), FetchError> {
        let mut in_vain = 0;
        while self.part.length < self.part.download.bytes {
            let before = self.part.length;
            let Err(broken) = self.attempt(progress) else { break };
            if self.stop.is_asked() {
                return Err(self.part.stopped(self.part.length));
            }
            let (reason, answered) = match broken {
                BrokenTransfer::Passing { reason, answered } => (reason, answered),
                BrokenTransfer::Final(error) => return Err(error),
            };
            // All is there, and only the end of the answer is missing.
            if self.part.length == self.part.download.bytes {
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
        let url = self.part.download.url.to_owned();
        match (answered, self.part.length) {
            (Some(status), _) => FetchError::Status { url, status },
            (None, 0) => FetchError::Unreachable { url, reason, attempts },
            (None, done) => FetchError::Dropped {
                url,
                done,
                bytes: self.part.download.bytes,
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
            if self.stop.is_asked() {
                return Err(self.part.stopped(self.part.length));
            }
            let nap = left.min(LOOK);
            thread::sleep(nap);
            left -= nap;
        }
        Ok(())
    }

    /// Asks for what is missing once. An attempt that ends well has completed the part.
    fn attempt(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), BrokenTransfer> {
        let agent = agent(self.options);
        let (stop, over) = (self.stop, AtomicBool::new(false));
        // A read that waits for the server does not see that it should stop: someone has to cut the connection.
        thread::scope(|scope| {
            let watched = agent.clone();
            let over = &over;
            let watcher = scope.spawn(move || {
                while !over.load(Ordering::Relaxed) && !stop.is_asked() {
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

    fn exchange(&mut self, agent: &Agent, progress: &mut dyn FnMut(u64)) -> Result<(), BrokenTransfer> {
        let url = self.part.download.url;
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
                if let Some(found) = announced(response.headers())
                    && found != self.part.download.bytes
                {
                    return Err(self.wrong_size(found.to_string()).into());
                }
            }
            206 => {
                if self.part.mark.is_some() && mark.is_some() && mark != self.part.mark {
                    self.part.start_over()?;
                    return Err(BrokenTransfer::passing("another version of the file is there now"));
                }
                self.expect_rest(response.headers())?;
            }
            // There is nothing behind what we have: it is a part of something else.
            416 if self.part.length > 0 => {
                self.part.start_over()?;
                return Err(BrokenTransfer::passing("the server has nothing behind the part that is there"));
            }
            408 | 429 | 500.. => {
                return Err(BrokenTransfer::Passing {
                    reason: format!("status {status}"),
                    answered: Some(status),
                });
            }
            _ => return Err(FetchError::Status { url: url.into(), status }.into()),
        }
        self.part.set_mark(mark)?;
        self.part.is_mixed |= self.part.length > 0;
        self.receive(&mut response.body_mut().as_reader(), progress)
    }

    fn wrong_size(&self, found: String) -> FetchError {
        FetchError::WrongSize {
            url: self.part.download.url.into(),
            found,
            expected: self.part.download.bytes,
        }
    }

    /// Whether the server sends the rest of the file, from where the part ends.
    fn expect_rest(&mut self, headers: &http::HeaderMap) -> Result<(), BrokenTransfer> {
        // bytes 100-199/200, or * for a size that is not known.
        let range = headers.get("content-range").and_then(|value| value.to_str().ok());
        let range = range.and_then(|range| range.trim().strip_prefix("bytes "));
        let parsed = range.and_then(|range| {
            let (span, total) = range.split_once('/')?;
            let (first, _) = span.split_once('-')?;
            Some((first.trim().parse::<u64>().ok()?, total.trim().parse::<u64>().ok()))
        });
        match parsed {
            Some((_, Some(total))) if total != self.part.download.bytes => {
                Err(self.wrong_size(total.to_string()).into())
            }
            Some((first, _)) if first == self.part.length => {
                let rest = self.part.download.bytes - self.part.length;
                // A server may send less of the rest than was asked for, but hardly more.
                match announced(headers) {
                    Some(length) if length > rest => {
                        Err(self.wrong_size(self.part.length.saturating_add(length).to_string()).into())
                    }
                    _ => Ok(()),
                }
            }
            _ => {
                // It sends another piece than the one asked for; the whole file is the way out.
                self.part.start_over()?;
                Err(BrokenTransfer::passing("the server sent another piece of the file than was asked for"))
            }
        }
    }

    fn receive(&mut self, body: &mut dyn Read, progress: &mut dyn FnMut(u64)) -> Result<(), BrokenTransfer> {
        let mut buffer = vec![0; CHUNK];
        loop {
            if self.stop.is_asked() {
                return Err(self.part.stopped(self.part.length).into());
            }
            let count = match body.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(BrokenTransfer::passing(error)),
            };
            let missing = self.part.download.bytes - self.part.length;
            if count == 0 {
                return match missing {
                    0 => Ok(()),
                    _ => Err(BrokenTransfer::passing("the connection ended")),
                };
            }
            if count as u64 > missing {
                let found = format!("more than {}", self.part.download.bytes);
                self.part.start_over()?;
                return Err(self.wrong_size(found).into());
            }
            self.part.write(&buffer[..count])?;
            progress(self.part.length);
        }
    }

    /// Why there was no answer.
    fn refused(&self, error: ureq::Error) -> BrokenTransfer {
        let url = self.part.download.url.to_owned();
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
            ureq::Error::Io(error) => BrokenTransfer::passing(error),
            ureq::Error::HostNotFound => BrokenTransfer::passing("there is no such host"),
            error => BrokenTransfer::passing(error),
        }
    }
}

/// How many bytes the server announces, if it does.
fn announced(headers: &http::HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.trim().parse().ok()
}

fn agent(options: &FetchOptions) -> Agent {
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
