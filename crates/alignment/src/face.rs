//! A face on a photograph, and which of several is meant.

use facegrad_pictures::Picture;

/// A rectangle on a picture, by its edges in pixels: the first pixel reaches from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// The left edge.
    pub left: f32,
    /// The upper edge.
    pub top: f32,
    /// The right edge.
    pub right: f32,
    /// The lower edge.
    pub bottom: f32,
}

impl Rect {
    /// From the left to the right edge.
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    /// From the upper to the lower edge.
    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    /// Width times height.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// (x, y) of the middle.
    pub fn centre(&self) -> [f32; 2] {
        [(self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0]
    }
}

/// A face that a detector found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// How sure the detector is that this is a face, 0 to 1.
    pub score: f32,
    /// Where the face is.
    pub bounds: Rect,
    /// Left eye, right eye, nose, left and right corner of the mouth as one sees them; (x, y) in pixels from the
    /// centre of the first.
    pub landmarks: [[f32; 2]; 5],
}

impl Face {
    /// The same face in the pixels of the image that `picture` was decoded from.
    pub(crate) fn on_original(&self, picture: &Picture) -> Self {
        let Rect { left, top, right, bottom } = self.bounds;
        let [left, top, right, bottom] =
            [left, top, right, bottom].map(|edge| edge * picture.reduction() as f32);
        Self {
            score: self.score,
            bounds: Rect { left, top, right, bottom },
            landmarks: self.landmarks.map(|point| picture.place_in_original(point)),
        }
    }
}

/// Which of `faces` a photograph of `size` (height, width) was taken of: the one with the largest
/// `area − 2·distance²`, where the distance is that of its middle from the middle of the photograph; among equals
/// the first.
///
/// Source: davidsandberg/facenet, `align_dataset_mtcnn.py`, which insightface's `align_lfw.py` took over.
pub fn choose_face(faces: &[Face], [height, width]: [usize; 2]) -> Option<&Face> {
    let middle = [width as f32 / 2.0, height as f32 / 2.0];
    let worth = |face: &Face| {
        let [x, y] = face.bounds.centre();
        face.bounds.area() - 2.0 * ((x - middle[0]).powi(2) + (y - middle[1]).powi(2))
    };
    // `max_by` would give the last of equals.
    faces.iter().rev().max_by(|a, b| worth(a).total_cmp(&worth(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(left: f32, top: f32, side: f32) -> Face {
        let bounds = Rect { left, top, right: left + side, bottom: top + side };
        Face { score: 0.9, bounds, landmarks: [[0.0; 2]; 5] }
    }

    #[test]
    fn a_large_face_in_the_middle_is_the_one() {
        let size = [200, 300];
        let middle = face(130.0, 80.0, 40.0);
        // 1600 − 0 against 2500 − 2·(100² + 50²).
        let corner = face(25.0, 25.0, 50.0);
        assert_eq!(choose_face(&[corner, middle], size), Some(&middle));
        // 6400 − 2·(40² + 0²) is more than 1600.
        let large = face(70.0, 60.0, 80.0);
        assert_eq!(choose_face(&[middle, corner, large], size), Some(&large));
        assert_eq!(choose_face(&[], size), None);
        // Mirror images of each other are worth the same.
        let (left, right) = (face(50.0, 80.0, 40.0), face(210.0, 80.0, 40.0));
        assert_eq!(choose_face(&[left, right], size), Some(&left));
        assert_eq!(choose_face(&[right, left], size), Some(&right));
    }
}
