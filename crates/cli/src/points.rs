//! Operating points as verbs use them: which one, and for which images it holds.

use std::path::Path;

use facegrad::recognition::{Images, NamedPoint, operating_points::ThresholdTarget};

use crate::failure::Failure;

/// Exit code for different people, or for nobody, where it is asked for.
pub const DIFFERENT: u8 = 3;

/// The point `at` for a decision about two images, or the only one there is.
pub fn choose_for_pairs<'a>(
    points: &'a [NamedPoint],
    at: Option<ThresholdTarget>,
    path: &Path,
) -> Result<&'a NamedPoint, Failure> {
    if let Some(at) = at.filter(|at| at.is_of_searches()) {
        return Err(Failure::input(format!(
            "{at} is for a search in a gallery, facegrad identify; two images are compared at far=<rate>, eer or accuracy"
        )));
    }
    choose(points.iter().filter(|point| !point.target.is_of_searches()), at, path)
}

/// The point `at` of `points`, or the only one there is.
pub fn choose<'a>(
    points: impl IntoIterator<Item = &'a NamedPoint>,
    at: Option<ThresholdTarget>,
    path: &Path,
) -> Result<&'a NamedPoint, Failure> {
    let model = path.display();
    let points: Vec<&NamedPoint> = points.into_iter().collect();
    let names: Vec<String> = points.iter().map(|point| point.target.to_string()).collect();
    let there_are = names.join(", ");
    match (at, &points[..]) {
        (_, []) => Err(Failure::input(format!(
            "{model} has no operating point, so no score means same or different; measure some with facegrad calibrate"
        ))),
        (Some(at), _) => points.iter().find(|point| point.target == at).copied().ok_or_else(|| {
            Failure::input(format!(
                "{model} has no operating point {at}, only {there_are}; take one of these, or measure it with facegrad calibrate --at {at}"
            ))
        }),
        (None, [point]) => Ok(point),
        (None, _) => Err(Failure::input(format!(
            "{model} has several operating points, {there_are}; choose one with --at"
        ))),
    }
}

/// Refuses images of another size than `point` was measured on: they are hardly aligned in the same way.
pub fn check_sizes(images: &dyn Images, point: &NamedPoint, size: [usize; 2]) -> Result<(), Failure> {
    let Some([height, width]) = point.image_size else { return Ok(()) };
    for index in 0..images.len() {
        let picture = images.load(index, size).map_err(unreadable)?;
        let [own_height, own_width] = picture.original_size();
        if [own_height, own_width] != [height, width] {
            return Err(Failure::input(format!(
                "{} has {own_height}x{own_width} pixels and {} was measured on images of {height}x{width}; align and crop it like those, or pass --any-size if it is",
                images.name(index),
                point.target
            )));
        }
    }
    Ok(())
}

/// An image that cannot be used.
pub fn unreadable(error: facegrad::faces::FaceError) -> Failure {
    Failure::input(format!("the image {error}"))
}
