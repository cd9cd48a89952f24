//! The devices that tests of the workspace run on. Only tests depend on it, so it may panic where the program gives an
//! error.
//!
//! ```
//! for chosen in facegrad_test_devices::devices() {
//!     assert!(chosen.backend.is_built_in(), "{}", chosen.description);
//! }
//! ```

use std::io::Write;

use facegrad_devices::{Backend, Chosen, choose};

/// Every backend of the build, and for wgpu the adapter that the environment variable `FACEGRAD_TEST_ADAPTER` names, or
/// else a software rasteriser.
///
/// A machine without that adapter is told of it on standard error and tests the others.
///
/// # Panics
/// If that adapter is missing and `FACEGRAD_REQUIRE_WGPU` is 1, so that a machine meant to test wgpu does.
pub fn devices() -> Vec<Chosen> {
    let named = std::env::var("FACEGRAD_TEST_ADAPTER").unwrap_or_else(|_| "software".into());
    let required = std::env::var("FACEGRAD_REQUIRE_WGPU").is_ok_and(|value| value == "1");
    let device = |backend| {
        let adapter = (backend == Backend::Wgpu).then_some(named.as_str());
        match choose(backend, adapter) {
            Ok(chosen) => Some(chosen),
            Err(error) if required => panic!("{backend} is required here: {error}"),
            Err(error) => {
                // Not through `eprintln!`, which tests that pass do not show.
                static SAID: std::sync::Once = std::sync::Once::new();
                SAID.call_once(|| _ = writeln!(std::io::stderr(), "{backend} is not tested: {error}"));
                None
            }
        }
    };
    let built_in = Backend::built_in();
    assert!(
        !required || built_in.contains(&Backend::Wgpu),
        "wgpu is required here, and this build is without it"
    );
    built_in.into_iter().filter_map(device).collect()
}
