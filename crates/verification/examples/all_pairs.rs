//! How fast all pairs of a labelled set are scored and counted, and in how much memory.
//!
//! `cargo run --release -p facegrad-verification --example all_pairs -- [embeddings] [dim] [images of each]`
//! draws random unit vectors around one direction for each person and prints seconds, billions of
//! floating-point operations a second, the peak of the resident memory (Linux) and the result.

use std::{process::ExitCode, time::Instant};

use facegrad_random::{Purpose, Stream};
use facegrad_verification::{GridTarAtFar, LabelledUnitEmbeddings, ScoreCounts, UnitEmbeddings};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let mut sizes = [20_000_usize, 512, 10];
    for (size, argument) in sizes.iter_mut().zip(std::env::args().skip(1)) {
        *size = argument
            .parse()
            .ok()
            .filter(|&n| n > 0)
            .ok_or(format!("{argument}: expected a number above 0"))?;
    }
    let [n, dim, images] = sizes;
    let people: Vec<usize> = (0..n).map(|i| i / images).collect();
    let mut numbers = Vec::with_capacity(n * dim);
    for (image, &person) in people.iter().enumerate() {
        let mut shared = Stream::new(1, Purpose::Benchmark, 0, person as u64);
        let mut own = Stream::new(1, Purpose::Benchmark, 1, image as u64);
        // A genuine cosine of 0.2 on average: 1 / (1 + 2²).
        numbers.extend((0..dim).map(|_| shared.normal() + 2.0 * own.normal()));
    }
    let embeddings = UnitEmbeddings::new(numbers, dim).map_err(|error| error.to_string())?;
    let labelled = LabelledUnitEmbeddings::new(&embeddings, &people).map_err(|error| error.to_string())?;

    let start = Instant::now();
    let counts = ScoreCounts::all_pairs(labelled);
    let counted = start.elapsed().as_secs_f64();
    let roc = counts.roc().map_err(|reason| reason.to_string())?;
    let seconds = start.elapsed().as_secs_f64();

    let pairs = counts.genuine() + counts.impostor();
    let operations = 2.0 * pairs as f64 * dim as f64;
    println!(
        "{n} embeddings of {dim} numbers: {} genuine, {} impostor pairs",
        counts.genuine(),
        counts.impostor()
    );
    println!(
        "{seconds:.2} s on {} threads, of which {counted:.2} s scoring and counting: {:.1} GFLOP/s",
        rayon::current_num_threads(),
        operations / counted / 1e9
    );
    match peak_memory() {
        Some(kib) => println!("peak resident memory {:.0} MiB", kib as f64 / 1024.0),
        None => println!("peak resident memory unknown: no /proc/self/status"),
    }
    let (auc, error) = (roc.auc(), roc.auc_error());
    println!("AUC {auc:.6} (± {error:.0e}), EER {:.4} %", roc.eer() * 100.0);
    for target in [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6] {
        let at = GridTarAtFar::of(&roc, target);
        match at.at.measured {
            Some(point) => println!(
                "FAR at most {target:.0e}: {:.4e} at threshold {:.6}, TAR {:.4} % (at most {:.4} %)",
                point.far,
                point.threshold,
                point.tar * 100.0,
                at.tar_at_most.unwrap_or(point.tar) * 100.0
            ),
            None => println!(
                "FAR at most {target:.0e}: not measurable, it takes {} impostor pairs",
                at.at.impostors_needed
            ),
        }
    }
    Ok(())
}

/// The peak of the resident memory in KiB.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
