//! Standard output and standard error, either of which may be full or gone.
//!
//! Writing never ends the program: work goes on and is saved, and the exit code stays the one that the command has
//! earned. What a script relies on is lost loudly: if standard output could not be written for another reason than
//! that its reader has gone away (`| head`), the program says so at its end and has failed.

use std::{
    fmt::Arguments,
    io::{self, ErrorKind, Write},
    process::ExitCode,
    sync::OnceLock,
};

use crate::failure::Failure;

/// Why standard output takes no more.
static TROUBLE: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output, as long as it takes something.
pub fn write(text: &[u8]) {
    if TROUBLE.get().is_none()
        && let Err(error) = io::stdout().write_all(text)
    {
        // Another thread may have had the same trouble first.
        let _ = TROUBLE.set(error);
    }
}

/// Writes a line to standard output.
pub fn line(text: Arguments<'_>) {
    write(format!("{text}\n").as_bytes());
}

/// Writes a line to standard error; there is nobody to tell that it could not be written.
pub fn remark(text: Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Tells what need not be wrong with a set and may be.
pub fn notes(notes: &[String]) {
    notes.iter().for_each(|note| remark(format_args!("note: {note}")));
}

/// The exit code of a command that would end with `code`.
pub fn end(code: ExitCode) -> ExitCode {
    if TROUBLE.get().is_none()
        && let Err(error) = io::stdout().flush()
    {
        let _ = TROUBLE.set(error);
    }
    match TROUBLE.get() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            let failure = Failure::work(format!("standard output cannot be written: {error}"));
            remark(format_args!("error: {failure}"));
            failure.code()
        }
        _ => code,
    }
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::line(format_args!($($text)*))
    };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! remark {
    ($($text:tt)*) => {
        $crate::output::remark(format_args!($($text)*))
    };
}
