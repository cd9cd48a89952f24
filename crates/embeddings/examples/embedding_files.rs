//! How fast files of embeddings are written and read.
//!
//! `cargo run --release -p facegrad-embeddings --example embedding_files [ROWS] [DIM] [FOLDER]`: by default
//! 100,000 embeddings of 512 numbers in the folder for temporary files. MB are those of the rows as f32, whatever
//! the file has. Reading follows writing, so the file comes out of memory, not off the disk.

use std::{error::Error, path::PathBuf, time::Instant};

use facegrad_embeddings::{EmbeddingFile, EmbeddingWriter};
use facegrad_random::{Purpose, Stream};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<usize>());
    let (rows, dim) = (number(100_000)?, number(512)?);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let batch = 256;
    let megabytes = (rows * dim * 4) as f64 / 1e6;
    println!("{rows} x {dim}, {megabytes:.0} MB of rows");
    println!(
        "{:12} {:>10} {:>10} {:>10} {:>14}",
        "format", "file MB", "write MB/s", "read MB/s", "1000 rows, ms"
    );
    for extension in ["npz", "safetensors", "csv", "parquet"] {
        let path = folder.path().join("embeddings").with_extension(extension);
        let mut stream = Stream::new(1, Purpose::Benchmark, 0, 0);
        let mut numbers = vec![0.0_f32; batch * dim];
        numbers.fill_with(|| stream.normal());

        let clock = Instant::now();
        let mut writer = EmbeddingWriter::create(&path, dim, None)?;
        for start in (0..rows).step_by(batch) {
            let names: Vec<String> =
                (start..rows.min(start + batch)).map(|i| format!("{:05}/{i:07}.jpg", i / 20)).collect();
            writer.append(&names, None, &numbers[..names.len() * dim])?;
        }
        writer.finish()?;
        let written = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        let file = EmbeddingFile::open(&path)?;
        let mut out = vec![0.0; batch * dim];
        for start in (0..rows).step_by(batch) {
            let end = rows.min(start + batch);
            file.read_rows(start..end, &mut out[..(end - start) * dim])?;
        }
        let read = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        for _ in 0..1000 {
            file.read_row(stream.below(rows), &mut out[..dim])?;
        }
        let single = clock.elapsed().as_secs_f64();
        println!(
            "{extension:12} {:>10.0} {:>10.0} {:>10.0} {:>14.1}",
            path.metadata()?.len() as f64 / 1e6,
            megabytes / written,
            megabytes / read,
            single * 1e3
        );
        std::fs::remove_file(&path)?;
    }
    Ok(())
}
