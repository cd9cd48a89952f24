//! How long a benchmark of the size of IJB-C takes, and how much memory: embeddings of random numbers in a
//! file, read row by row.
//!
//!     cargo run --release -p facegrad-verification --example ijb [-- SHARE]
//!
//! SHARE, 1 unless given, is the share of the images and pairs to run with. At 1 it writes files of 1.2 GB to
//! the folder for temporary files, which are deleted at the end.

use std::{
    error::Error,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
    time::Instant,
};

use facegrad_random::{Purpose, Stream};
use facegrad_verification::{
    Flip,
    ijb::{
        FaceList, IjbFolder, IjbResult, IjbSearch, IjbSet, IjbSource, IjbVerification, MediaList,
        SubjectList, TemplateNorm, Templates,
    },
};

const DIM: usize = 512;
const GALLERIES: [usize; 2] = [1772, 1759];
const PROBES: usize = 19_593;
const IMAGES: usize = 469_375;
const GENUINE: usize = 19_557;
const PAIRS: usize = 15_658_489;

fn main() -> Result<(), Box<dyn Error>> {
    let share = std::env::args().nth(1).map_or(Ok(1.0), |share| share.parse())?;
    let scaled = |count: usize| (count as f64 * share) as usize;
    let folder = tempfile::tempdir()?;
    let files = IjbFolder::new(folder.path(), IjbSet::C);
    let embeddings = folder.path().join("embeddings.f32");
    std::fs::create_dir(folder.path().join("meta"))?;

    let mut clock = Clock(Instant::now());
    write_lists(&files, scaled(IMAGES))?;
    write_pairs(&files.pairs, scaled(GENUINE), scaled(PAIRS))?;
    write_embeddings(&embeddings, scaled(IMAGES))?;
    clock.lap("making the benchmark");

    let media = MediaList::read(&files.media)?;
    let faces = FaceList::read(&files.faces, &media)?;
    let list = |file: &Path| SubjectList::read(file, media.templates());
    let galleries = [list(&files.galleries[0])?, list(&files.galleries[1])?];
    let probes = list(&files.probes)?;
    clock.lap("lists");

    let mut rows = BufReader::with_capacity(1 << 20, File::open(&embeddings)?);
    let mut bytes = vec![0; DIM * 4];
    let row = |_: usize, into: &mut [f32]| -> std::io::Result<()> {
        rows.read_exact(&mut bytes)?;
        for (into, bytes) in into.iter_mut().zip(bytes.as_chunks().0) {
            *into = f32::from_le_bytes(*bytes);
        }
        Ok(())
    };
    let templates = Templates::pool(&media, TemplateNorm::Keep, Some(&faces), DIM, row)?;
    clock.lap("templates");
    let verification = IjbVerification::measure(&templates, &files.pairs)?;
    clock.lap("1:1");
    let search = IjbSearch::measure(&templates, &galleries, &probes)?;
    clock.lap("1:N");

    let source = IjbSource {
        protocol: "IJB-C, random numbers".into(),
        images_sha256: "none".into(),
        model_sha256: None,
        backend: "none".into(),
        flip: Flip::None,
        switches: Default::default(),
        image_remarks: Vec::new(),
    };
    println!("\n{}", IjbResult::new(source, &templates, Some(verification), Some(search)).sheet().to_text());
    Ok(())
}

/// Prints the seconds since the last lap, and the largest memory so far where the system tells.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self, what: &str) {
        let seconds = self.0.elapsed().as_secs_f64();
        let peak = File::open("/proc/self/status").ok().and_then(|status| {
            let line =
                BufReader::new(status).lines().map_while(Result::ok).find(|l| l.starts_with("VmHWM"))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        });
        let peak = peak.map_or(String::new(), |kb| format!(", peak memory {:.0} MiB", kb / 1024.0));
        println!("{what}: {seconds:.1} s{peak}");
        self.0 = Instant::now();
    }
}

/// Templates of the galleries come first, one for each person; a person has about as many probes as another.
fn person(template: usize) -> usize {
    let people = GALLERIES[0] + GALLERIES[1];
    if template < people { template } else { (template - people) % people }
}

/// The template of an image: images of one stand together.
fn template(image: usize, images: usize) -> usize {
    image * (GALLERIES[0] + GALLERIES[1] + PROBES) / images
}

fn write_lists(files: &IjbFolder, images: usize) -> std::io::Result<()> {
    let create = |file: &Path| File::create(file).map(BufWriter::new);
    let (mut media, mut faces) = (create(&files.media)?, create(&files.faces)?);
    for image in 0..images {
        writeln!(media, "{}.jpg {} {}", image + 1, template(image, images) + 1, image / 4)?;
        let score = 0.5 + (image % 500) as f64 / 1000.0;
        writeln!(
            faces,
            "{}.jpg 46.060 62.026 87.785 60.323 68.851 77.656 52.162 99.875 86.450 98.648 {score}",
            image + 1
        )?;
    }
    let people = GALLERIES[0] + GALLERIES[1];
    let lists = [
        (&files.galleries[0], 0..GALLERIES[0]),
        (&files.galleries[1], GALLERIES[0]..people),
        (&files.probes, people..people + PROBES),
    ];
    for (file, templates) in lists {
        let mut list = create(file)?;
        writeln!(list, "TEMPLATE_ID,SUBJECT_ID,FILENAME")?;
        for template in templates {
            writeln!(list, "{},{},img/1.jpg", template + 1, person(template) + 1)?;
        }
        list.flush()?;
    }
    media.flush()?;
    faces.flush()
}

fn write_pairs(file: &Path, genuine: usize, pairs: usize) -> std::io::Result<()> {
    let people = GALLERIES[0] + GALLERIES[1];
    let mut stream = Stream::new(1, Purpose::Benchmark, 0, 0);
    let mut file = BufWriter::new(File::create(file)?);
    for pair in 0..pairs {
        let probe = people + if pair < genuine { pair % PROBES } else { stream.below(PROBES) };
        let other = person(probe) + if pair < genuine { 0 } else { 1 + stream.below(people - 1) };
        writeln!(file, "{} {} {}", other % people + 1, probe + 1, u8::from(pair < genuine))?;
    }
    file.flush()
}

/// A point of each person, and more noise than that.
fn write_embeddings(file: &Path, images: usize) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(file)?);
    let mut point = (usize::MAX, Vec::new());
    for image in 0..images {
        let person = person(template(image, images));
        if point.0 != person {
            let mut stream = Stream::new(2, Purpose::Benchmark, 0, person as u64);
            point = (person, (0..DIM).map(|_| stream.range(-1.0, 1.0)).collect());
        }
        let mut stream = Stream::new(3, Purpose::Benchmark, 0, image as u64);
        for x in &point.1 {
            file.write_all(&(x + 10.0 * stream.range(-1.0, 1.0)).to_le_bytes())?;
        }
    }
    file.flush()
}
