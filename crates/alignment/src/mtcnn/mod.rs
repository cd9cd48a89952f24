//! MTCNN: faces and their five landmarks by three small networks, each of which looks more closely at what the one
//! before let through.
//!
//! Source: Zhang, Zhang, Li & Qiao, "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
//! Networks", 2016, and the authors' program, kpzhang93/MTCNN_face_detection_alignment. Two things are different here.
//!
//! - Where that rounds rectangles to whole pixels, here they stay as they are: what a network sees is resampled from the
//!   photograph at once, with a filter as wide as the shrinking wants. Landmarks count from the centre of the first
//!   pixel; there, some count from its edge, which is half a pixel to the right and below.
//! - The third network looks once more, at the square around the face that it found, and the landmarks are the mean of
//!   both looks: they depend less on what the second network happened to hand on.

mod boxes;
mod networks;
mod pyramid;
mod resample;
mod weights;

use std::path::Path;

use facegrad_pictures::Picture;

use self::{
    boxes::{Candidate, Overlap, corrected, is_usable, keep_best, squared, suppress},
    networks::{LANDMARKS, ONet, PNet, RNet, SCORES},
    pyramid::{CELL, STRIDE},
    resample::{Beyond, Halves},
};
use crate::{Face, Rect};

pub use self::weights::{WEIGHT_FILES, WeightError, WeightFile, read_weights};

/// How much smaller each level of the pyramid is than the one before, as the authors have it.
const FACTOR: f64 = 0.709;
/// How sure each network must be, as the authors have it.
const THRESHOLDS: [f32; 3] = [0.6, 0.7, 0.7];
/// Most rectangles that a network hands on, so that no picture takes time without end.
const MAX_CANDIDATES: usize = 4096;
/// How many pictures the second and third network see at a time, which bounds the memory of the maps.
const BATCHES: [usize; 2] = [64, 16];

/// The detector.
#[derive(Debug)]
pub struct Mtcnn {
    first: PNet,
    second: RNet,
    third: ONet,
    min_face: usize,
    weights_sha256: [String; 3],
}

/// What a network says of one rectangle.
struct Verdict {
    score: f32,
    offsets: [f32; 4],
    /// x and y of each landmark, in shares of width and height; none from the second network.
    landmarks: Option<[[f32; 2]; 5]>,
}

impl Verdict {
    /// From the numbers that a network gives for one square.
    fn of(outputs: &[f32]) -> Self {
        let points = &outputs[LANDMARKS..];
        Self {
            score: probability(outputs[0], outputs[1]),
            offsets: std::array::from_fn(|edge| outputs[SCORES + edge]),
            landmarks: (!points.is_empty()).then(|| std::array::from_fn(|i| [points[i], points[i + 5]])),
        }
    }

    /// The landmarks on the photograph, in pixels from the centre of the first, if there are any.
    fn landmarks_on(&self, square: &Rect) -> Option<[[f32; 2]; 5]> {
        let place = |[x, y]: [f32; 2]| {
            [square.left + x * square.width() - 0.5, square.top + y * square.height() - 0.5]
        };
        let landmarks = self.landmarks?.map(place);
        landmarks.as_flattened().iter().all(|x| x.is_finite()).then_some(landmarks)
    }
}

impl Mtcnn {
    /// The smallest `min_face`: what the first network looks at.
    pub const SMALLEST_FACE: usize = CELL;

    /// The detector with the weights [`WEIGHT_FILES`] in `folder`, for faces of `min_face` pixels and more.
    ///
    /// # Errors
    /// If a file is missing, or is another one than is known.
    pub fn load(folder: &Path, min_face: usize) -> Result<Self, WeightError> {
        let files = read_weights(folder)?;
        Self::from_safetensors(files.each_ref().map(Vec::as_slice), min_face)
    }

    /// The detector with weights of the P-, R- and O-Net as safetensors files, whatever they are.
    ///
    /// # Errors
    /// If a file does not hold the tensors that its network needs, and no others.
    pub fn from_safetensors(weights: [&[u8]; 3], min_face: usize) -> Result<Self, WeightError> {
        let weights_sha256 = weights.map(facegrad_files::sha256);
        let [first, second, third] = weights;
        Ok(Self {
            first: PNet::new(first)?,
            second: RNet::new(second)?,
            third: ONet::new(third)?,
            weights_sha256,
            min_face: min_face.max(Self::SMALLEST_FACE),
        })
    }

    /// The smallest face that is looked for, in pixels.
    pub fn min_face(&self) -> usize {
        self.min_face
    }

    /// SHA-256 of the weights of the three networks, in hexadecimal.
    pub fn weights_sha256(&self) -> &[String; 3] {
        &self.weights_sha256
    }

    /// The faces on `picture`, the surest first.
    ///
    /// The result depends on the picture and the weights only, not on threads or on pictures before.
    pub fn detect(&self, picture: &Picture) -> Vec<Face> {
        let size = [picture.height(), picture.width()];
        let levels = pyramid::levels(size, self.min_face, FACTOR);
        if levels.is_empty() {
            return Vec::new();
        }
        // Nothing is shrunk more, since a level has a cell at least a side, and a square is at most four pictures wide.
        let halves = Halves::of(picture, size[0].max(size[1]) as f32 / (CELL / 2) as f32);
        let proposals = levels.iter().flat_map(|&level| self.propose(&halves, size, level)).collect();
        let squares = next(proposals, size);

        let network = |x, batch| self.second.forward(x, batch);
        let passed = look(&halves, &squares, (RNet::SIDE, BATCHES[0], RNet::OUTPUTS), THRESHOLDS[1], network);
        let passed = passed.into_iter().map(|(square, verdict)| Proposal::of(square, &verdict)).collect();
        let squares = next(passed, size);

        let faces = self.inspect(&halves, &squares, THRESHOLDS[2]);
        let faces = faces.into_iter().filter_map(|(square, verdict)| {
            let bounds = corrected(&square, verdict.offsets);
            let landmarks = verdict.landmarks_on(&square)?;
            is_usable(&bounds, size).then_some(Face { score: verdict.score, bounds, landmarks })
        });
        let candidate = |face: &Face| Candidate { rect: face.bounds, score: face.score };
        let faces = suppress(faces.collect(), candidate, Overlap::Smaller, 0.7, MAX_CANDIDATES);
        self.look_again(&halves, faces)
    }

    /// Which of the squares the third network holds for faces.
    fn inspect(&self, halves: &Halves<'_>, squares: &[Rect], threshold: f32) -> Vec<(Rect, Verdict)> {
        let network = |x, batch| self.third.forward(x, batch);
        look(halves, squares, (ONet::SIDE, BATCHES[1], ONet::OUTPUTS), threshold, network)
    }

    /// Shows the third network the squares around the faces that it found, and takes the mean of the landmarks of both
    /// looks.
    fn look_again(&self, halves: &Halves<'_>, mut faces: Vec<Face>) -> Vec<Face> {
        let squares: Vec<Rect> = faces.iter().map(|face| squared(&face.bounds)).collect();
        let looked = self.inspect(halves, &squares, f32::NEG_INFINITY);
        // All are there, unless weights that are none made a score that is not a number.
        if looked.len() == faces.len() {
            for (face, (square, verdict)) in faces.iter_mut().zip(looked) {
                let Some(again) = verdict.landmarks_on(&square) else { continue };
                for (first, again) in face.landmarks.as_flattened_mut().iter_mut().zip(again.as_flattened()) {
                    *first = (*first + again) / 2.0;
                }
            }
        }
        faces
    }

    /// What the first network proposes on the level of `height` x `width` pixels.
    fn propose(
        &self,
        halves: &Halves<'_>,
        [full_height, full_width]: [usize; 2],
        [height, width]: [usize; 2],
    ) -> Vec<Proposal> {
        let scale = [full_width as f32 / width as f32, full_height as f32 / height as f32];
        let mut proposals = Vec::new();
        for (rows, pixel_rows) in pyramid::tiles(height) {
            for (columns, pixel_columns) in pyramid::tiles(width) {
                let (height, width) = (pixel_rows.len(), pixel_columns.len());
                let window = Rect {
                    left: pixel_columns.start as f32 * scale[0],
                    top: pixel_rows.start as f32 * scale[1],
                    right: pixel_columns.end as f32 * scale[0],
                    bottom: pixel_rows.end as f32 * scale[1],
                };
                let tile = halves.resample(&window, [height, width], Beyond::Nothing);
                let map = self.first.forward(normalised(tile), [height, width]);
                for (cell, outputs) in map.x.chunks_exact(map.dims.channels).enumerate() {
                    let Verdict { score, offsets, .. } = Verdict::of(outputs);
                    // NaN does not pass.
                    if score > THRESHOLDS[0] {
                        let row = rows.start + cell / columns.len();
                        let column = columns.start + cell % columns.len();
                        let edge = |index: usize, axis: usize, beyond: usize| {
                            (index * STRIDE + beyond) as f32 * scale[axis]
                        };
                        let rect = Rect {
                            left: edge(column, 0, 0),
                            top: edge(row, 1, 0),
                            right: edge(column, 0, CELL),
                            bottom: edge(row, 1, CELL),
                        };
                        proposals.push(Proposal { candidate: Candidate { rect, score }, offsets });
                    }
                }
                // No more would be looked at in the end.
                if proposals.len() > 2 * MAX_CANDIDATES {
                    keep_best(&mut proposals, |proposal| proposal.candidate, MAX_CANDIDATES);
                }
            }
        }
        suppress(proposals, |proposal| proposal.candidate, Overlap::Union, 0.5, MAX_CANDIDATES)
    }
}

/// Shows a network the squares of a photograph at its size, some at a time, and gives those that it holds for faces.
///
/// The network is described by the side of its pictures, how many it sees at a time, and how many numbers it gives for
/// each.
fn look(
    halves: &Halves<'_>,
    squares: &[Rect],
    (side, batch, outputs): (usize, usize, usize),
    threshold: f32,
    network: impl Fn(Vec<f32>, usize) -> Vec<f32>,
) -> Vec<(Rect, Verdict)> {
    let mut passed = Vec::new();
    for squares in squares.chunks(batch) {
        let crop = |square: &Rect| normalised(halves.resample(square, [side; 2], Beyond::Black));
        let found = network(squares.iter().flat_map(crop).collect(), squares.len());
        let verdicts = found.chunks_exact(outputs).map(Verdict::of);
        let verdicts = squares.iter().copied().zip(verdicts);
        passed.extend(verdicts.filter(|(_, verdict)| verdict.score > threshold));
    }
    passed
}

/// A rectangle, and how its edges should be moved.
#[derive(Debug, Clone, Copy)]
struct Proposal {
    candidate: Candidate,
    offsets: [f32; 4],
}

impl Proposal {
    fn of(rect: Rect, verdict: &Verdict) -> Self {
        Self { candidate: Candidate { rect, score: verdict.score }, offsets: verdict.offsets }
    }
}

/// The squares that the next network looks at.
fn next(proposals: Vec<Proposal>, size: [usize; 2]) -> Vec<Rect> {
    let kept = suppress(proposals, |proposal| proposal.candidate, Overlap::Union, 0.7, MAX_CANDIDATES);
    let corrected = kept.iter().map(|proposal| corrected(&proposal.candidate.rect, proposal.offsets));
    // A side of less than a pixel would be nothing once it is squared, too.
    corrected.filter(|rect| is_usable(rect, size)).map(|rect| squared(&rect)).collect()
}

/// Colour values as the networks take them: from about −1 to 1.
fn normalised(mut picture: Vec<f32>) -> Vec<f32> {
    picture.iter_mut().for_each(|value| *value = (*value - 127.5) / 128.0);
    picture
}

/// The second part of the softmax of two numbers.
fn probability(no_face: f32, face: f32) -> f32 {
    1.0 / (1.0 + (no_face - face).exp())
}

#[cfg(test)]
mod tests;
