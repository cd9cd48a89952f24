//! The wish that long work ends early.

use std::{
    io::{self, Write},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Signals this soon after the first say the same as it.
const ONE_WISH: Duration = Duration::from_secs(1);

/// Asks long work to end at the next place from which it can go on. Clones ask the same work.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The exit code of a process that was asked to end and did.
    pub const EXIT_CODE: u8 = 130;

    /// Asked by Ctrl-C or SIGTERM: the first asks for an end after `rest`, such as "this step and saving", and says so
    /// on standard error; a later one ends the process at once. Those of the first second are one wish: `timeout` and
    /// shells send a signal to a process and to its group, so that it comes twice.
    ///
    /// # Errors
    /// If the system does not hand over its signals, or a process asks for it twice.
    pub fn on_signal(rest: &'static str) -> io::Result<Self> {
        let stop = Self::default();
        let asked = stop.clone();
        let mut first: Option<Instant> = None;
        let handler = move || match first {
            Some(first) if first.elapsed() < ONE_WISH => {}
            Some(_) => process::exit(Self::EXIT_CODE.into()),
            None => {
                first = Some(Instant::now());
                asked.ask();
                let _ = writeln!(io::stderr(), "stopping after {rest}; once more to end at once");
            }
        };
        ctrlc::set_handler(handler).map_err(|error| match error {
            ctrlc::Error::System(error) => error,
            error => io::Error::other(error),
        })?;
        Ok(stop)
    }

    /// Asks for an end; whether that was asked before.
    pub fn ask(&self) -> bool {
        self.0.swap(true, Ordering::Relaxed)
    }

    /// Whether an end was asked for.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_ask_the_same_work() {
        let stop = Stop::default();
        let other = stop.clone();
        assert!(!stop.is_asked() && !other.ask() && other.ask() && stop.is_asked());
        assert!(!Stop::default().is_asked());
    }
}
