//! Opens a RecordIO set of millions of images, of which only the index is real, and prints time and memory.
//!
//! cargo run --release -p facegrad-faces --example recordio_memory -- 5000000
//!
//! With a second argument `plain` the set has no header record, and the header of every image is read. Memory is what
//! `/proc/self/status` says, which only Linux has.

use std::{
    fs::{self, File},
    io::{BufWriter, Seek, SeekFrom, Write},
    time::Instant,
};

use facegrad_faces::{RecordIoConfig, SourceConfig};

/// Bytes from one record to the next: a small JPEG. Nothing is written of most of it, and it takes no room on disk.
const STRIDE: u64 = 8192;
/// Images of an identity.
const IMAGES: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let images: usize = arguments.next().map_or(Ok(5_000_000), |count| count.parse())?;
    let is_plain = arguments.next().is_some_and(|word| word == "plain");
    let identities = images.div_ceil(IMAGES);

    let folder = tempfile::tempdir()?;
    let path = folder.path().join("train.rec");
    let mut file = File::create(&path)?;
    let mut index = BufWriter::new(File::create(path.with_extension("idx"))?);
    let keys = if is_plain { images } else { images + identities + 1 };
    file.set_len(keys as u64 * STRIDE)?;
    for key in 0..keys {
        writeln!(index, "{key}\t{}", key as u64 * STRIDE)?;
    }
    index.flush()?;
    let mut put = |key: usize, labels: &[f32], image: usize| {
        file.seek(SeekFrom::Start(key as u64 * STRIDE))?;
        file.write_all(&record(key, labels, image))
    };
    if is_plain {
        (0..images).try_for_each(|key| put(key, &[(key / IMAGES) as f32], 4000))?;
    } else {
        put(0, &[(images + 1) as f32, keys as f32], 0)?;
        for identity in 0..identities {
            let (first, end) = (identity * IMAGES + 1, images.min((identity + 1) * IMAGES) + 1);
            put(images + 1 + identity, &[first as f32, end as f32], 0)?;
            [first, end - 1].into_iter().try_for_each(|key| put(key, &[identity as f32], 4000))?;
        }
    }

    let before = peak()?;
    let started = Instant::now();
    let config: SourceConfig = RecordIoConfig { path, ..Default::default() }.into();
    let opened = config.open()?;
    println!("{}, opened in {:.2} s", opened.summary, started.elapsed().as_secs_f64());
    println!("peak memory of the process {:.1} MB, {:.1} MB before", peak()?, before);
    println!("SHA-256 {}", opened.source.fingerprint());
    Ok(())
}

/// The most memory that the process had so far, in MB of a million bytes.
fn peak() -> Result<f64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}

/// A record with one label in its header, or two behind it, and an image of so many bytes.
fn record(key: usize, labels: &[f32], image: usize) -> Vec<u8> {
    let (flag, label) = if let [label] = labels { (0u32, *label) } else { (labels.len() as u32, 0.0) };
    let behind = if flag == 0 { &[] } else { labels };
    let length = 24 + behind.len() * 4 + image;
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(0xCED7_230A_u32.to_le_bytes());
    bytes.extend((length as u32).to_le_bytes());
    bytes.extend(flag.to_le_bytes());
    bytes.extend(label.to_le_bytes());
    bytes.extend((key as u64).to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    behind.iter().for_each(|label| bytes.extend(label.to_le_bytes()));
    bytes
}
