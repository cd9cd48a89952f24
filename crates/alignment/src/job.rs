//! Aligning a folder of photographs, so that it can be stopped and continued.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::{Duration, Instant},
};

use facegrad_faces::folder::with_slashes;
use facegrad_files::{LookAlike, WorkHeader};
use facegrad_pictures::{
    Picture, Similarity2d, arcface_landmarks,
    decode::{read_at_least, read_picture},
    encode, warp,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    AlignmentOutcome, AlignmentRecord, Face, LandmarkFile, Mtcnn, Places, Statistics, choose_face,
    point_order::is_on_its_head,
    record::{JOURNAL, open_journal, write_table},
};

/// The file in the folder of the faces that says how they were made.
const SUMMARY: &str = "alignment.json";
/// Raised whenever the same photographs and settings would give other faces.
const RECIPE: u32 = 2;
/// The share of the shorter side that [`WithoutFace::Centre`] takes: on LFW's photographs of 250 x 250 pixels, where
/// eyes are 42 pixels apart, about what alignment takes.
const CENTRE_SHARE: f64 = 0.55;

/// The five landmarks in their order.
const PARTS: [&str; 5] =
    ["left eye", "right eye", "nose", "left corner of the mouth", "right corner of the mouth"];
/// Photographs whose sizes are held against a table of landmarks before the work begins.
const LOOKED_AT: usize = 32;

/// What to do about a photograph without a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutFace {
    /// There is no output.
    Skip,
    /// The rectangle in the middle that has the proportions of the output and the height of 55 % of the shorter side.
    Centre,
    /// The job ends with an error.
    Fail,
}

/// Where landmarks come from, in the words of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(crate) enum FinderSettings {
    /// [`Mtcnn`].
    Mtcnn {
        /// The smallest face that is looked for, in pixels.
        min_face: usize,
        /// SHA-256 of the weights of the three networks.
        weights_sha256: [String; 3],
    },
    /// A [`LandmarkFile`].
    File {
        /// Its SHA-256.
        sha256: String,
    },
}

/// What decides the faces: work goes on only with the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AlignSettings {
    /// Version of the recipe.
    recipe: u32,
    /// The folder of the photographs.
    #[serde(with = "facegrad_files::as_name")]
    input: PathBuf,
    /// Height and width of the faces in pixels.
    size: [usize; 2],
    /// The format they are written in.
    format: String,
    /// What to do about photographs without a face.
    without_face: WithoutFace,
    /// Where landmarks come from.
    landmarks: FinderSettings,
}

impl WorkHeader for AlignSettings {
    fn parts(&self) -> Vec<(&'static str, String)> {
        let landmarks = match &self.landmarks {
            FinderSettings::Mtcnn { min_face, .. } => format!("MTCNN for faces from {min_face} pixels"),
            FinderSettings::File { sha256 } => format!("a file with the SHA-256 {sha256}"),
        };
        vec![
            ("the version of the recipe", self.recipe.to_string()),
            ("the folder of the photographs", self.input.display().to_string()),
            ("the size", format!("{}x{}", self.size[0], self.size[1])),
            ("the format", self.format.clone()),
            ("what becomes of images without a face", format!("{:?}", self.without_face).to_lowercase()),
            ("the landmarks", landmarks),
            ("all of them", format!("{self:?}")),
        ]
    }
}

/// Where landmarks come from.
#[derive(Debug)]
pub enum Finder {
    /// From the pixels.
    Detector(Box<Mtcnn>),
    /// From a table.
    File(LandmarkFile),
}

/// What was found on a photograph, in its own pixels, also where it was decoded smaller.
struct FaceOnPhotograph {
    faces: usize,
    face: Option<Face>,
    landmarks: Option<[[f32; 2]; 5]>,
}

impl Finder {
    fn find(&self, name: &str, picture: &Picture) -> FaceOnPhotograph {
        match self {
            Self::Detector(detector) => {
                let faces = detector.detect(picture);
                let face = choose_face(&faces, [picture.height(), picture.width()]);
                let face = face.map(|face| face.on_original(picture));
                FaceOnPhotograph { faces: faces.len(), face, landmarks: face.map(|face| face.landmarks) }
            }
            Self::File(file) => {
                let landmarks = file.get(name);
                FaceOnPhotograph { faces: usize::from(landmarks.is_some()), face: None, landmarks }
            }
        }
    }

    /// Why the `landmarks` of the photograph `name` are those of no face on `picture`.
    fn misfit(&self, name: &str, landmarks: [[f32; 2]; 5], picture: &Picture) -> Option<String> {
        // The detector has its own order, and looks within the picture.
        let Self::File(file) = self else { return None };
        match file.odd(name) {
            Some(order) => Some(format!("its landmarks would fit as {order}")),
            None => outside(landmarks, picture.original_size()),
        }
    }

    fn settings(&self) -> FinderSettings {
        match self {
            Self::Detector(detector) => FinderSettings::Mtcnn {
                min_face: detector.min_face(),
                weights_sha256: detector.weights_sha256().clone(),
            },
            Self::File(file) => FinderSettings::File { sha256: file.sha256().into() },
        }
    }
}

/// Why a job cannot be done.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The sentences say what the fields are.
pub enum AlignError {
    /// The folder of the faces holds something else.
    #[error(
        "{} holds files that alignment did not write; name a new or an empty folder for the faces",
        folder.display()
    )]
    Occupied { folder: PathBuf },
    /// The folder holds faces made in another way.
    #[error(
        "{} holds faces that were aligned in another way ({difference}); use the settings of then, or another folder",
        folder.display()
    )]
    OtherSettings { folder: PathBuf, difference: String },
    /// The table is of other photographs.
    #[error(
        "the table of landmarks names none of the {photographs} photographs: its first line is of {named:?}, and the first \
         photograph is {photograph:?}{}",
        alike.as_ref().map(|alike| format!("; {alike}")).unwrap_or_default()
    )]
    NamesNothing { photographs: usize, named: String, photograph: String, alike: Option<LookAlike> },
    /// The table is of other pictures of the same names.
    #[error(
        "the table of landmarks has points outside of {outside} of the {looked_at} photographs that were looked at first, \
         such as {image:?} of {width}x{height} pixels (width x height), whose {part} would be at {x}, {y}; it may be of \
         photographs of another size"
    )]
    Outside {
        outside: usize,
        looked_at: usize,
        image: String,
        width: usize,
        height: usize,
        part: &'static str,
        x: f32,
        y: f32,
    },
    /// Another process is at it.
    #[error("another process is aligning into {}", folder.display())]
    InUse { folder: PathBuf },
    /// The journal does not say what the folder holds.
    #[error(
        "the first line of {} is damaged, so how the faces there were aligned is not known; name another folder",
        path.display()
    )]
    DamagedJournal { path: PathBuf },
    /// Something cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    /// A photograph has no face, and that was to be an error.
    #[error(
        "the image {image}: {reason}; other answers to that are to skip such images or to take their centre"
    )]
    NoFace { image: String, reason: String },
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq)]
pub struct AlignmentJobEnd {
    /// Whether every photograph is done.
    pub is_finished: bool,
    /// Photographs that were done before.
    pub before: usize,
    /// Photographs done by this call.
    pub done: usize,
    /// The time this call took.
    pub elapsed: Duration,
    /// The time that looking for faces took, summed over threads.
    pub finding: Duration,
    /// What the photographs done so far turned out to be.
    pub statistics: Statistics,
    /// Photographs without output and why, in the order of their names.
    pub left_out: Vec<(String, String)>,
    /// Images in the table of landmarks that are not there.
    pub unused_landmarks: usize,
    /// Photographs whose face stands on its head by its landmarks.
    pub on_head: Vec<String>,
}

/// Aligning a folder of photographs.
#[derive(Debug)]
pub struct AlignJob<'a> {
    /// Where photographs and faces are.
    pub places: &'a Places,
    /// Where landmarks come from.
    pub finder: Finder,
    /// Height and width of the faces in pixels.
    pub size: [usize; 2],
    /// What to do about photographs without a face.
    pub without_face: WithoutFace,
}

impl AlignJob<'_> {
    /// What decides the faces.
    fn settings(&self) -> AlignSettings {
        AlignSettings {
            recipe: RECIPE,
            input: self.places.input_folder().into(),
            size: self.size,
            format: self.places.format().to_string(),
            without_face: self.without_face,
            landmarks: self.finder.settings(),
        }
    }

    /// Aligns what is not aligned yet, `workers` photographs at a time. `progress` is told how many are done, first how
    /// many were before, and says whether to go on.
    ///
    /// Every face appears under its name when it is complete, and after that a line in the journal, so that the job can
    /// be killed at any instant and goes on behind what it did. A photograph that could not be read, whose file has
    /// another size by now, or whose face is gone is done again. At the end the records are written as a table,
    /// ordered by path, and as a summary. Neither these nor the faces depend on the number of workers.
    ///
    /// # Errors
    /// If the table of landmarks is of none of the photographs, or of other sizes of most, the folder holds something else, nothing can be written
    /// there, or there is no face and should be one.
    pub fn run(
        &self,
        workers: usize,
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<AlignmentJobEnd, AlignError> {
        let began = Instant::now();
        let unused_landmarks = self.unused_landmarks()?;
        self.check_sizes()?;
        let settings = self.settings();
        let journal_path = self.places.output_folder().join(JOURNAL);
        let unwritable = |source| AlignError::Unwritable { path: journal_path.clone(), source };
        let (mut journal, mut known) = open_journal(self.places.output_folder(), &settings)?;
        let mut records: Vec<Option<AlignmentRecord>> = Vec::new();
        records.resize_with(self.places.len(), || None);
        for (index, record) in records.iter_mut().enumerate() {
            let before = known.remove(&self.places.name(index));
            *record = before.filter(|record| self.is_done(index, record));
        }
        drop(known);
        let todo: Vec<usize> = records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.is_none())
            .map(|(index, _)| index)
            .collect();
        let before = self.places.len() - todo.len();

        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(!progress(before)));
        let (mut done, mut finding, mut failure) = (0, Duration::ZERO, None);
        thread::scope(|scope| {
            // As many as one line each can wait for the journal.
            let (send, receive) = sync_channel(workers.max(1));
            for _ in 0..workers.clamp(1, todo.len().max(1)) {
                let (send, next, stop, todo) = (send.clone(), &next, &stop, &todo);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed)
                        && let Some(&index) = todo.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let result = self.align(index).map(|(record, finding)| (index, record, finding));
                        if send.send(result).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(send);
            for result in receive {
                let result = result.and_then(|(index, record, time)| {
                    journal.append_line(&record).map_err(unwritable)?;
                    records[index] = Some(record);
                    Ok(time)
                });
                match result {
                    Ok(time) => {
                        done += 1;
                        finding += time;
                        if !progress(before + done) {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        failure.get_or_insert(error);
                    }
                }
            }
        });
        journal.sync().map_err(unwritable)?;
        if let Some(error) = failure {
            return Err(error);
        }
        let is_finished = done == todo.len();
        let statistics = Statistics::of(records.iter().flatten(), self.size);
        if is_finished {
            self.write_results(&settings, &records, &statistics)?;
        }
        let left_out = records.iter().flatten().filter(|record| !record.outcome.has_output());
        let left_out =
            left_out.map(|record| (record.path.clone(), record.reason.clone().unwrap_or_default()));
        let on_head = records.iter().flatten().filter(|record| {
            record.outcome == AlignmentOutcome::Aligned && record.landmarks.is_some_and(is_on_its_head)
        });
        Ok(AlignmentJobEnd {
            is_finished,
            before,
            done,
            elapsed: began.elapsed(),
            finding,
            statistics,
            left_out: left_out.collect(),
            unused_landmarks,
            on_head: on_head.map(|record| record.path.clone()).collect(),
        })
    }

    /// How many images the table of landmarks has that are not there; an error if that is all of them.
    fn unused_landmarks(&self) -> Result<usize, AlignError> {
        let Finder::File(file) = &self.finder else { return Ok(0) };
        let names = || (0..self.places.len()).map(|index| self.places.name(index));
        let unused = file.len() - names().filter(|name| file.get(name).is_some()).count();
        if unused == file.len() {
            let (photographs, photograph) = (self.places.len(), self.places.name(0));
            let (named, alike) = (file.first().to_owned(), LookAlike::among(names(), file.first()));
            return Err(AlignError::NamesNothing { photographs, named, photograph, alike });
        }
        Ok(unused)
    }

    /// An error if the table of landmarks has points outside of most photographs, by a look at some.
    fn check_sizes(&self) -> Result<(), AlignError> {
        let Finder::File(file) = &self.finder else { return Ok(()) };
        let named: Vec<usize> =
            (0..self.places.len()).filter(|&index| file.get(&self.places.name(index)).is_some()).collect();
        let (mut looked_at, mut outside_of) = (0, Vec::new());
        for &index in named.iter().step_by(named.len().div_ceil(LOOKED_AT).max(1)) {
            let image = self.places.name(index);
            let Some(landmarks) = file.get(&image).filter(|_| file.odd(&image).is_none()) else { continue };
            let Ok(picture) = read_at_least(&self.places.input(index), [1, 1]) else { continue };
            looked_at += 1;
            let size = picture.original_size();
            let beyond = PARTS.into_iter().zip(landmarks).find(|(_, point)| beyond(*point, size) > 0.0);
            if let Some(beyond) = beyond.filter(|_| outside(landmarks, size).is_some()) {
                outside_of.push((image, size, beyond));
            }
        }
        let outside = outside_of.len();
        match outside_of.into_iter().next() {
            Some((image, [height, width], (part, [x, y]))) if 2 * outside > looked_at => {
                Err(AlignError::Outside { outside, looked_at, image, width, height, part, x, y })
            }
            _ => Ok(()),
        }
    }

    /// Whether `record` still says what became of photograph `index`.
    fn is_done(&self, index: usize, record: &AlignmentRecord) -> bool {
        let is_same =
            || fs::metadata(self.places.input(index)).is_ok_and(|metadata| metadata.len() == record.bytes);
        match record.outcome {
            AlignmentOutcome::Aligned | AlignmentOutcome::Centred => {
                is_same() && self.places.output(index).is_file()
            }
            AlignmentOutcome::WithoutFace => is_same(),
            AlignmentOutcome::Unreadable => false,
        }
    }

    /// Does all there is to do with photograph `index`; also tells how long looking for its face took.
    fn align(&self, index: usize) -> Result<(AlignmentRecord, Duration), AlignError> {
        let path = self.places.input(index);
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let mut record = AlignmentRecord {
            path: self.places.name(index),
            bytes,
            outcome: AlignmentOutcome::Unreadable,
            reason: None,
            faces: 0,
            score: None,
            bounds: None,
            landmarks: None,
        };
        let output = self.places.output(index);
        let picture = match read_picture(&path) {
            Ok(picture) => picture,
            Err(error) => {
                record.reason = Some(error.to_string());
                remove(&output)?;
                return Ok((record, Duration::ZERO));
            }
        };
        let began = Instant::now();
        let found = self.finder.find(&record.path, &picture);
        let finding = began.elapsed();

        record.faces = found.faces;
        let transform = match found.landmarks {
            Some(in_original) => {
                let landmarks = in_original.map(|point| picture.place_of(point));
                Similarity2d::estimate(landmarks, arcface_landmarks(self.size))
                    .map_err(|error| error.to_string())
                    .and_then(|transform| {
                        let misfit = self.finder.misfit(&record.path, in_original, &picture);
                        misfit.map_or(Ok(transform), Err)
                    })
            }
            None => Err("it has no face".into()),
        };
        let transform = match (transform, self.without_face) {
            (Ok(transform), _) => {
                record.outcome = AlignmentOutcome::Aligned;
                record.score = found.face.map(|face| face.score);
                let edges =
                    |face: Face| [face.bounds.left, face.bounds.top, face.bounds.right, face.bounds.bottom];
                record.bounds = found.face.map(edges);
                record.landmarks = found.landmarks;
                Some(transform)
            }
            (Err(reason), WithoutFace::Fail) => {
                return Err(AlignError::NoFace { image: record.path, reason });
            }
            (Err(reason), policy) => {
                let centre = centre([picture.height(), picture.width()], self.size);
                let transform = centre.filter(|_| policy == WithoutFace::Centre);
                record.outcome = if transform.is_some() {
                    AlignmentOutcome::Centred
                } else {
                    AlignmentOutcome::WithoutFace
                };
                record.reason = Some(reason);
                transform
            }
        };
        match transform {
            Some(transform) => self.write(&warp(&picture, &transform, self.size), &output)?,
            None => remove(&output)?,
        }
        Ok((record, finding))
    }

    fn write(&self, face: &Picture, path: &Path) -> Result<(), AlignError> {
        let unwritable = |source| AlignError::Unwritable { path: path.into(), source };
        let bytes =
            encode(face, self.places.format()).map_err(|reason| unwritable(io::Error::other(reason)))?;
        fs::create_dir_all(facegrad_files::folder_of(path)).map_err(unwritable)?;
        facegrad_files::replace(path, &bytes).map_err(unwritable)
    }

    /// Writes the table and the summary.
    fn write_results(
        &self,
        settings: &AlignSettings,
        records: &[Option<AlignmentRecord>],
        statistics: &Statistics,
    ) -> Result<(), AlignError> {
        let folder = self.places.output_folder();
        let output = |index| with_slashes(&self.places.relative_output(index));
        let rows = records.iter().enumerate();
        write_table(folder, rows.filter_map(|(index, record)| Some((record.as_ref()?, output(index)))))?;
        let path = folder.join(SUMMARY);
        let summary = json!({ "settings": settings, "statistics": statistics });
        facegrad_files::replace(&path, format!("{summary:#}\n").as_bytes())
            .map_err(|source| AlignError::Unwritable { path, source })
    }
}

/// How far a point lies outside of a photograph of `height` x `width` pixels.
fn beyond([x, y]: [f32; 2], [height, width]: [usize; 2]) -> f32 {
    let beyond = |at: f32, side: usize| (-0.5 - at).max(at - (side as f32 - 0.5)).max(0.0);
    beyond(x, width).hypot(beyond(y, height))
}

/// Why `landmarks` are those of no face on a photograph of `size`, (height, width).
fn outside(landmarks: [[f32; 2]; 5], size: [usize; 2]) -> Option<String> {
    let (inside, outside): (Vec<_>, Vec<_>) =
        landmarks.iter().partition(|&&point| beyond(point, size) == 0.0);
    // An eye or the mouth may be cut off, but is no further away than the others are from each other.
    if outside.len() > 2 {
        return Some(format!("{} of its five landmarks lie outside of it", outside.len()));
    }
    let distance = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let pairs = inside.iter().flat_map(|&a| inside.iter().map(move |&b| distance(a, b)));
    let reach = pairs.fold(0.0, f32::max);
    let far = outside.iter().filter(|&&point| beyond(point, size) > reach).count();
    (far > 0).then(|| format!("{far} of its five landmarks lie far outside of it"))
}

/// Removes what a photograph became before it was changed.
fn remove(path: &Path) -> Result<(), AlignError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(AlignError::Unwritable { path: path.into(), source })
        }
        _ => Ok(()),
    }
}

/// The transform that takes the middle of a photograph of `height` x `width` pixels to `size`.
fn centre([height, width]: [usize; 2], size: [usize; 2]) -> Option<Similarity2d> {
    let scale = CENTRE_SHARE * height.min(width) as f64 / size[0] as f64;
    let to = arcface_landmarks(size);
    let place = |value: f32, side: usize, whole: usize| {
        let from_middle = f64::from(value) + 0.5 - size[side] as f64 / 2.0;
        (from_middle * scale + whole as f64 / 2.0 - 0.5) as f32
    };
    // Of a photograph that is thousands of times wider than high, rounding makes one point.
    Similarity2d::estimate(to.map(|[x, y]| [place(x, 1, width), place(y, 0, height)]), to).ok()
}

#[cfg(test)]
mod tests;
