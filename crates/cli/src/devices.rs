//! `facegrad devices`.

use std::process::ExitCode;

use facegrad::devices::{Backend, adapters, choose};
use facegrad_results::{Align, TextTable};
use serde_json::json;

use crate::{arguments::default_backend, failure::Failure, say};

#[derive(clap::Args)]
#[command(after_help = "Example: facegrad devices --json")]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let adapters = adapters();
    let usable = |backend: Backend| choose(backend, None);
    if args.json {
        let backends: Vec<_> = Backend::ALL
            .iter()
            .map(|backend| match usable(*backend) {
                Ok(chosen) => json!({ "backend": backend, "built_in": true, "would_use": chosen.description }),
                Err(error) => {
                    json!({ "backend": backend, "built_in": backend.is_built_in(), "problem": error.to_string() })
                }
            })
            .collect();
        let text = json!({ "backends": backends, "adapters": adapters, "default": default_backend() });
        say!("{text:#}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = TextTable::new(&[Align::Left]);
    for backend in Backend::ALL {
        let is_default = if *backend == default_backend() { "default" } else { "" };
        let what = match usable(*backend) {
            Ok(chosen) => chosen.description,
            Err(error) => error.to_string(),
        };
        table.row([backend.as_str(), is_default, &what]);
    }
    say!("{}", table.to_string().trim_end());
    if Backend::Wgpu.is_built_in() {
        say!(
            "\ngraphics adapters, best first; the first that is not software is used unless --adapter names one:"
        );
        if adapters.is_empty() {
            say!("none");
        }
        for adapter in adapters {
            say!("{adapter}  {}", adapter.driver);
        }
    }
    Ok(ExitCode::SUCCESS)
}
