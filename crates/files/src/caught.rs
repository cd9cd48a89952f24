//! Panics of libraries at damaged files, caught without a word on the screen.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    /// Whether this thread is inside of [`caught`].
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What `work` gives; nothing if it panics. The panic of this thread is not printed; those of others are as before.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                print(panic);
            }
        }));
    });
    let before = IS_QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command, thread};

    use super::*;

    /// Set in the process that the test below starts.
    const INNER: &str = "FACEGRAD_TEST_QUIET_PANIC";

    #[test]
    fn a_caught_panic_prints_nothing_and_others_print() {
        if env::var_os(INNER).is_some() {
            assert_eq!(caught(|| -> u8 { panic!("inside") }), None);
            // Another thread is not quiet while this one is, nor is this one afterwards.
            let other = caught(|| thread::spawn(|| panic!("in another thread")).join().is_err());
            assert_eq!(other, Some(true));
            assert_eq!(caught(|| caught(|| -> u8 { panic!("deep inside") })), Some(None));
            panic!("outside");
        }
        let test = "caught::tests::a_caught_panic_prints_nothing_and_others_print";
        let output = Command::new(env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture"])
            .env(INNER, "1")
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(!printed.contains("inside"), "{printed}");
        assert!(printed.contains("in another thread") && printed.contains("outside"), "{printed}");
    }
}
