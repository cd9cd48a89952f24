//! Embeddings from elsewhere, and what they are worth: no model, no images.
//!
//!     cargo run --release --example evaluate_embeddings -- embeddings.npz
//!
//! The file has embeddings and the identity of each (`facegrad embed` and numpy write such). Without one, some are made
//! up.

use std::error::Error;

use facegrad::{
    embeddings::{EmbeddingFile, EmbeddingWriter},
    verification::{PairList, Roc, Scores, Similarity, accuracy},
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = match std::env::args_os().nth(1) {
        Some(path) => path.into(),
        None => made_up(folder.path())?,
    };
    let file = EmbeddingFile::open(&path)?;
    let people = file.identities().ok_or("the file does not say whose the embeddings are")?;
    let mut names = people.to_vec();
    names.sort_unstable();
    names.dedup();
    let labels: Vec<usize> = people.iter().map(|name| names.partition_point(|other| other < name)).collect();

    // 10 folds of 20 genuine and 20 impostor pairs; no two folds share a person.
    let pairs = PairList::<usize>::generate(&labels, 10, 20, 1)?;
    let mut rows = vec![0.0; pairs.images().len() * file.dim()];
    for (&image, row) in pairs.images().iter().zip(rows.chunks_mut(file.dim())) {
        file.read_row(image, row)?;
    }
    let scores = Scores::of(Similarity::Cosine, &rows, file.dim(), &pairs)?;
    let roc = Roc::new(&scores)?;
    let accuracy = accuracy(&scores, None)?;
    println!("{} pairs of {} people", scores.pairs().len(), names.len());
    println!("accuracy {:.2} % ± {:.2}", accuracy.mean * 100.0, accuracy.standard_error * 100.0);
    println!("AUC {:.4}, EER {:.2} %", roc.auc(), roc.eer() * 100.0);
    Ok(())
}

/// 40 people with 6 embeddings each: a direction of their own, and noise.
fn made_up(folder: &std::path::Path) -> Result<std::path::PathBuf, Box<dyn Error>> {
    let (path, dim) = (folder.join("made-up.npz"), 8);
    let noise = |n: usize| ((n as f32 * 12.9898).sin() * 43_758.547).fract();
    let row = |i: usize| (0..dim).map(move |d| noise(i / 6 * dim + d) + 0.4 * noise(9000 + i * dim + d));
    let names: Vec<String> = (0..240).map(|i| format!("{}/{}.jpg", i / 6, i % 6)).collect();
    let people: Vec<String> = (0..240).map(|i| (i / 6).to_string()).collect();
    let mut writer = EmbeddingWriter::create(&path, dim, None)?;
    writer.append(&names, Some(&people), &(0..240).flat_map(row).collect::<Vec<f32>>())?;
    writer.finish()?;
    Ok(path)
}
