use std::sync::atomic::AtomicU32;

use facegrad_pictures::{ARCFACE_LANDMARKS, ImageFormat, write_png};
use facegrad_synthetic::{SyntheticConfig, SyntheticFaces};

use super::*;
use crate::{TABLE, record::JOURNAL};

/// Ten photographs of synthetic faces: turned, scaled and shifted by known numbers, with the table of their landmarks.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let faces = SyntheticFaces::new(&SyntheticConfig::default());
        let mut table = String::from("path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n");
        for i in 0..10 {
            let name = format!("person {}/{i}.png", i % 3);
            let landmarks = landmarks(i);
            let photograph = Similarity2d::estimate(ARCFACE_LANDMARKS, landmarks).unwrap();
            let path = place.path("in").join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_png(&warp(&faces.render(i, 0, 112), &photograph, [150, 170]), &path).unwrap();
            let numbers = landmarks.as_flattened().iter().map(|x| format!(",{x}")).collect::<String>();
            table += &format!("{name}{numbers}\n");
        }
        fs::write(place.path("landmarks.csv"), table).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn places(&self, output: &str) -> Places {
        Places::open(&self.path("in"), &self.path(output), ImageFormat::Png).unwrap()
    }

    fn run_as(
        &self,
        output: &str,
        size: [usize; 2],
        without_face: WithoutFace,
        workers: usize,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<AlignmentJobEnd, AlignError> {
        let places = self.places(output);
        let finder = Finder::File(LandmarkFile::read(&self.path("landmarks.csv")).unwrap());
        AlignJob { places: &places, finder, size, without_face }.run(workers, progress)
    }

    fn run(&self, output: &str) -> Result<AlignmentJobEnd, AlignError> {
        self.run_as(output, [112, 112], WithoutFace::Skip, 2, &mut |_| true)
    }

    fn message(&self, result: Result<AlignmentJobEnd, AlignError>) -> String {
        let folder = fs::canonicalize(self.folder.path()).unwrap();
        result.unwrap_err().to_string().replace(&folder.display().to_string(), "PLACE")
    }

    /// Every file below `folder` but the journal, whose lines come as they are done.
    fn files(&self, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.ends_with(JOURNAL) => {}
                    false => files.push((path.clone(), fs::read(path).unwrap())),
                }
            }
        }
        let root = self.path(folder);
        files.iter_mut().for_each(|(path, _)| *path = path.strip_prefix(&root).unwrap().to_owned());
        files.sort_unstable();
        files
    }
}

fn landmarks(i: usize) -> [[f32; 2]; 5] {
    let (angle, scale) = (0.15 * i as f32 - 0.7, 0.6 + 0.08 * i as f32);
    ARCFACE_LANDMARKS.map(|[x, y]| {
        let (x, y) = ((x - 56.0) * scale, (y - 56.0) * scale);
        [85.0 + x * angle.cos() - y * angle.sin(), 75.0 + x * angle.sin() + y * angle.cos()]
    })
}

#[test]
fn faces_come_to_lie_on_the_template() {
    let place = Place::new();
    let end = place.run("out").unwrap();
    assert!(end.is_finished && end.before == 0 && end.done == 10 && end.left_out.is_empty());
    assert_eq!((end.statistics.aligned, end.unused_landmarks), (10, 0));
    let faces = SyntheticFaces::new(&SyntheticConfig::default());
    for i in 0..10 {
        let aligned = read_picture(&place.path(&format!("out/person {}/{i}.png", i % 3))).unwrap();
        let original = faces.render(i, 0, 112);
        // The middle, which is on every photograph; twice resampled.
        let (mut sum, mut count) = (0.0, 0);
        for (y, x) in (40..90).flat_map(|y| (40..72).map(move |x| (y, x))) {
            for at in (y * 112 + x) * 3..(y * 112 + x) * 3 + 3 {
                sum += f64::from(aligned.pixels()[at].abs_diff(original.pixels()[at]));
                count += 1;
            }
        }
        let mean = sum / f64::from(count);
        assert!(mean < 6.0, "{i}: {mean}");
    }
    // The angle of the middle ones is about 0; a twentieth of ten is the first.
    let rotation = end.statistics.rotation.unwrap();
    assert!(rotation.low < -30.0 && rotation.median.abs() < 9.0 && rotation.high > 30.0, "{rotation:?}");

    let narrow = place.run_as("narrow", [112, 96], WithoutFace::Skip, 1, &mut |_| true).unwrap();
    assert!(narrow.is_finished);
    let (wide, narrow) = (
        read_picture(&place.path("out/person 1/4.png")).unwrap(),
        read_picture(&place.path("narrow/person 1/4.png")).unwrap(),
    );
    assert_eq!((narrow.height(), narrow.width()), (112, 96));
    // Eight columns less on either side.
    for y in 0..112 {
        let (wide, narrow) = (&wide.pixels()[(y * 112 + 8) * 3..], &narrow.pixels()[y * 96 * 3..]);
        let worst = wide[..96 * 3].iter().zip(narrow).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 1, "{y}: {worst}");
    }
}

#[test]
fn stopped_or_killed_it_goes_on_to_the_same_files() {
    let place = Place::new();
    fs::write(place.path("in/person 0/broken.jpg"), "no image").unwrap();
    fs::write(place.path("in/person 0/faceless.pgm"), "P5 40 30 255\n".to_owned() + &"x".repeat(1200))
        .unwrap();
    place.run("whole").unwrap();
    let whole = place.files("whole");
    // The summary names the folder of the photographs, which is the same.
    assert_eq!(whole.len(), 12);

    let mut told = Vec::new();
    let end = place
        .run_as("out", [112, 112], WithoutFace::Skip, 1, &mut |done| {
            told.push(done);
            done < 4
        })
        .unwrap();
    // One more may have been begun when the end was asked for.
    assert!(!end.is_finished && (4..=6).contains(&end.done) && told[..5] == [0, 1, 2, 3, 4], "{told:?}");
    assert!(!place.path("out").join(TABLE).exists());
    // What a kill leaves: half a line, and a file that was being written.
    let journal = place.path("out").join(JOURNAL);
    let lines = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, &lines[..lines.len() - 20]).unwrap();
    fs::write(place.path("out/person 0/.writing-x"), "half").unwrap();
    let again = place.run("out").unwrap();
    assert!(again.is_finished && again.before + again.done == 12, "{again:?}");
    // Neither the line that was cut off nor an image that cannot be read counts as done.
    let unreadable = lines.contains("broken") as usize;
    assert!(again.before >= end.done - 1 - unreadable, "{again:?}");
    fs::remove_file(place.path("out/person 0/.writing-x")).unwrap();
    assert!(place.files("out") == whole);
    assert_eq!(again.left_out.len(), 2);

    // Then nothing is left but what could not be read.
    let last = place.run("out").unwrap();
    assert_eq!((last.before, last.done), (11, 1));
    assert!(place.files("out") == whole && last.statistics == again.statistics);
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let place = Place::new();
    for workers in [1, 3, 50] {
        let name = format!("out{workers}");
        place.run_as(&name, [112, 112], WithoutFace::Skip, workers, &mut |_| true).unwrap();
        assert!(place.files(&name) == place.files("out1"), "{workers}");
    }
}

#[test]
fn changed_and_new_photographs_are_done_again() {
    let place = Place::new();
    place.run("out").unwrap();
    // Another picture in one place, a lost face in another, a photograph that lost its face, and a new one.
    fs::copy(place.path("in/person 0/0.png"), place.path("in/person 2/2.png")).unwrap();
    fs::remove_file(place.path("out/person 1/1.png")).unwrap();
    fs::write(place.path("in/person 0/3.png"), "no image").unwrap();
    fs::write(place.path("in/person 0/new.pgm"), "P5 1 1 255\nx").unwrap();
    let end = place.run("out").unwrap();
    assert_eq!((end.before, end.done, end.statistics.images), (7, 4, 11));
    assert!(place.path("out/person 1/1.png").exists() && !place.path("out/person 0/3.png").exists());
    let names: Vec<&str> = end.left_out.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["person 0/3.png", "person 0/new.pgm"]);
    assert_eq!(end.left_out[1].1, "it has no face");
    // A photograph that is gone is no longer told of.
    fs::remove_file(place.path("in/person 0/new.pgm")).unwrap();
    let end = place.run("out").unwrap();
    assert_eq!((end.statistics.images, end.left_out.len()), (10, 1));
}

#[test]
fn photographs_without_a_face_by_each_policy() {
    let place = Place::new();
    let table = fs::read_to_string(place.path("landmarks.csv")).unwrap();
    let without: Vec<&str> = table.lines().filter(|line| !line.contains("1/4.png")).collect();
    let nowhere = "gone.jpg,1,2,3,4,5,6,7,8,9,10\nperson 1/flat.pgm,7,7,7,7,7,7,7,7,7,7\n";
    fs::write(place.path("landmarks.csv"), format!("{}\n{nowhere}", without.join("\n"))).unwrap();
    fs::write(place.path("in/person 1/flat.pgm"), "P5 1 1 255\nx").unwrap();
    fs::write(place.path("in/wide.pgm"), "P5 9000 1 255\n".to_owned() + &"x".repeat(9000)).unwrap();

    let end = place.run("skipped").unwrap();
    let left_out = end.left_out.iter().map(|(name, reason)| format!("{name}: {reason}"));
    assert_eq!(
        left_out.collect::<Vec<_>>(),
        [
            "person 1/4.png: it has no face",
            "person 1/flat.pgm: the five landmarks are all in one place, which gives no scale or angle",
            "wide.pgm: it has no face",
        ]
    );
    assert_eq!((end.statistics.without_face, end.unused_landmarks), (3, 1));

    let end = place.run_as("centred", [112, 96], WithoutFace::Centre, 2, &mut |_| true).unwrap();
    assert_eq!(end.statistics.centred + end.statistics.without_face, 3);
    let centre = read_picture(&place.path("centred/person 1/4.png")).unwrap();
    let photograph = read_picture(&place.path("in/person 1/4.png")).unwrap();
    // 82.5 of 150 rows, in the middle.
    let by = |y: usize, x: usize| {
        let place = |at: usize, side: f64, whole: f64| {
            ((at as f64 + 0.5 - side / 2.0) * 82.5 / 112.0 + whole / 2.0) as usize
        };
        let at = place(y, 112.0, 150.0) * 170 + place(x, 96.0, 170.0);
        photograph.pixels()[at * 3]
    };
    let mut sum = 0.0;
    for (y, x) in (0..112).flat_map(|y| (0..96).map(move |x| (y, x))) {
        sum += f64::from(centre.pixels()[(y * 96 + x) * 3].abs_diff(by(y, x)));
    }
    assert!(sum / (112.0 * 96.0) < 4.0, "{sum}");

    let message = place.message(place.run_as("failed", [112, 112], WithoutFace::Fail, 1, &mut |_| true));
    assert_eq!(
        message,
        "the image person 1/4.png: it has no face; other answers to that are to skip such images or to take their centre"
    );
}

#[test]
fn other_settings_and_other_folders_are_refused() {
    let place = Place::new();
    place.run("out").unwrap();
    let before = place.files("out");
    let other = place.run_as("out", [112, 96], WithoutFace::Skip, 2, &mut |_| true);
    assert_eq!(
        place.message(other),
        "PLACE/out holds faces that were aligned in another way (the size: 112x112 there, 112x96 now); use the settings of then, or another folder"
    );
    let other = place.run_as("out", [112, 112], WithoutFace::Centre, 2, &mut |_| true);
    assert!(place.message(other).contains("(what becomes of images without a face: skip there, centre now)"));
    let table = fs::read_to_string(place.path("landmarks.csv")).unwrap();
    fs::write(place.path("landmarks.csv"), table.replace("\n", "\r\n")).unwrap();
    let message = place.message(place.run("out"));
    assert!(message.contains("(the landmarks: a file with the SHA-256 "), "{message}");
    assert!(place.files("out") == before);

    fs::create_dir(place.path("taken")).unwrap();
    fs::write(place.path("taken/mine.txt"), "mine").unwrap();
    assert_eq!(
        place.message(place.run("taken")),
        "PLACE/taken holds files that alignment did not write; name a new or an empty folder for the faces"
    );
    fs::write(place.path("taken").join(JOURNAL), "{\n").unwrap();
    assert_eq!(
        place.message(place.run("taken")),
        "the first line of PLACE/taken/.alignment.jsonl is damaged, so how the faces there were aligned is not known; name another folder"
    );
    fs::write(place.path("file"), "").unwrap();
    assert!(place.message(place.run("file")).starts_with("cannot write PLACE/file"));
}

#[test]
fn two_processes_do_not_align_into_one_folder() {
    let place = Place::new();
    let calls = AtomicU32::new(0);
    let end = place.run_as("out", [112, 112], WithoutFace::Skip, 1, &mut |_| {
        if calls.fetch_add(1, Ordering::Relaxed) == 0 {
            let message = place.message(place.run("out"));
            assert_eq!(message, "another process is aligning into PLACE/out");
        }
        true
    });
    assert!(end.unwrap().is_finished);
}

#[test]
fn the_table_can_be_read_as_landmarks() {
    let place = Place::new();
    fs::create_dir_all(place.path("in/a\nb")).unwrap();
    fs::rename(place.path("in/person 0/0.png"), place.path("in/a\nb/0.png")).unwrap();
    let table = fs::read_to_string(place.path("landmarks.csv")).unwrap();
    fs::write(place.path("landmarks.csv"), table.replace("person 0/0.png", "\"a\nb/0.png\"")).unwrap();
    fs::write(place.path("in/faceless.pgm"), "P5 1 1 255\nx").unwrap();
    place.run("out").unwrap();
    let read = LandmarkFile::read(&place.path("out").join(TABLE)).unwrap();
    assert_eq!(read.len(), 10);
    for (name, i) in [("a\\x0Ab/0.png", 0), ("person 1/4.png", 4)] {
        for (found, known) in read.get(name).unwrap().as_flattened().iter().zip(landmarks(i).as_flattened()) {
            assert!((found - known).abs() < 1e-3, "{name}");
        }
    }
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path("out/alignment.json")).unwrap()).unwrap();
    assert_eq!(
        (&summary["statistics"]["aligned"], &summary["settings"]["size"]),
        (&json!(10), &json!([112, 112]))
    );
}

#[test]
fn odd_and_hostile_photographs_end_nothing() {
    let place = Place::new();
    let put = |name: &str, bytes: &[u8]| fs::write(place.path("in").join(name), bytes).unwrap();
    put("huge.pgm", b"P5 60000 60000 255\nx");
    put("zero.pgm", b"P5 0 0 255\n");
    put("cut.png", &fs::read(place.path("in/person 0/0.png")).unwrap()[..500]);
    put("text.jpg", b"<html>");
    put("empty.jpg", b"");
    #[cfg(unix)]
    std::os::unix::fs::symlink(place.path("in"), place.path("in/person 0/loop")).unwrap();
    let end = place.run("out").unwrap();
    assert_eq!((end.statistics.aligned, end.statistics.unreadable), (10, 4));
    let reasons: Vec<String> =
        end.left_out.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    assert_eq!(reasons[0], "cut.png: the PNG data ends early");
    assert!(reasons[1].starts_with("huge.pgm: its header claims 60000 x 60000 pixels; "), "{reasons:?}");
}
