//! The time of a t-SNE map, of a covariance and of its eigenvalues.
//!
//!     cargo run --release -p facegrad-embeddings --example tsne [points] [iterations] [length of an embedding]

use std::time::Instant;

use facegrad_embeddings::{EmbeddingMoments, Pca, Tsne};
use facegrad_random::{Purpose, Stream};

/// Embeddings of people: a direction for every 20 of them, and noise.
fn embeddings(n: usize, dim: usize) -> Vec<f32> {
    let mut stream = Stream::new(1, Purpose::Benchmark, 0, 0);
    let mut rows = Vec::with_capacity(n * dim);
    let mut centre = vec![0.0; dim];
    for i in 0..n {
        if i % 20 == 0 {
            centre.iter_mut().for_each(|x| *x = stream.normal());
        }
        rows.extend(centre.iter().map(|x| x + 0.7 * stream.normal()));
    }
    rows
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut next = |default: usize| numbers.next().unwrap_or(Ok(default));
    let (n, iterations, dim) = (next(1000)?, next(500)?, next(512)?);
    let rows = embeddings(n, dim);
    println!("{n} embeddings of {dim} numbers, {} threads", rayon::current_num_threads());

    let start = Instant::now();
    let mut moments = EmbeddingMoments::new(dim)?;
    let portions = 50_000_usize.div_ceil(n);
    for _ in 0..portions {
        moments.add(&rows)?;
    }
    println!("covariance of {}: {:.2} s", portions * n, start.elapsed().as_secs_f64());

    let start = Instant::now();
    let pca = Pca::of(moments)?;
    println!("{} principal components: {:.2} s", pca.rank(), start.elapsed().as_secs_f64());

    let start = Instant::now();
    let map = Tsne { iterations, ..Tsne::default() }.map(&rows, dim)?;
    println!("{map}: {:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}
