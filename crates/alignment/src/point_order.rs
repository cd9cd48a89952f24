//! Landmarks of other makes: five points that are a face only in another order than ours.

use facegrad_pictures::{ARCFACE_LANDMARKS, Similarity2d};

/// Landmarks are odd if they miss the template by more than this, root mean square in pixels of a face of 112 x 112 ...
const MOST_OFF: f64 = 8.0;
/// ... and in another order by less than that, and than this share of it. Faces in profile fit no other order so much better.
const MUCH_LESS: f64 = 0.5;
/// Faces are rather upright: an order by which one is turned by more degrees is believed if no other fits.
const UPRIGHT: f64 = 60.0;
/// A face that is turned by more degrees stands on its head.
const ON_ITS_HEAD: f64 = 120.0;
/// All of a face within so many pixels is no face: its coordinates are shares of the picture.
const SHARES: f32 = 2.0;

/// How the ten numbers of a line make a face, other than as x and y of left eye, right eye, nose, left and right corner
/// of the mouth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointOrder {
    /// The right eye first.
    EyesExchanged,
    /// The right corner of the mouth first.
    MouthExchanged,
    /// Left and right as the person has them.
    SidesExchanged,
    /// Five x, then five y.
    AxesApart,
    /// y before x.
    AxesExchanged,
    /// The mouth before the eyes, or y from below.
    UpsideDown,
    /// From the mouth to the eyes, and from right to left: our order of a face on its head.
    Backwards,
    /// Shares of width and height in place of pixels.
    Shares,
}

impl std::fmt::Display for PointOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::EyesExchanged => "right eye, left eye, nose, left and right corner of the mouth",
            Self::MouthExchanged => "left eye, right eye, nose, right and left corner of the mouth",
            Self::SidesExchanged => "right eye, left eye, nose, right and left corner of the mouth",
            Self::AxesApart => "all x, then all y",
            Self::AxesExchanged => "y before x",
            Self::UpsideDown => "the corners of the mouth before the eyes, or with y counted from below",
            Self::Backwards => "right and left corner of the mouth, nose, right eye, left eye",
            Self::Shares => "shares of width and height, from 0 to 1, in place of pixels",
        })
    }
}

impl PointOrder {
    /// Those that only say which number is which.
    const ORDERS: [Self; 6] = [
        Self::EyesExchanged,
        Self::MouthExchanged,
        Self::SidesExchanged,
        Self::AxesApart,
        Self::AxesExchanged,
        Self::UpsideDown,
    ];

    /// The order in which the numbers of a line are a face if they are none, or hardly, as x and y of our points.
    pub(crate) fn of_odd(numbers: [f32; 10]) -> Option<Self> {
        if numbers.iter().all(|number| (-SHARES..=SHARES).contains(number)) {
            return Some(Self::Shares);
        }
        let own = fit(points(numbers)).map_or(f64::INFINITY, |[off, _]| off);
        if own <= MOST_OFF {
            return None;
        }
        let fits = Self::ORDERS.iter().filter_map(|&order| Some((order, fit(order.read(numbers))?)));
        let better = fits.filter(|(_, [off, _])| *off < MOST_OFF && *off < MUCH_LESS * own);
        let worth = |[off, turned]: [f64; 2]| (turned > UPRIGHT, off);
        let best = better.min_by(|(_, a), (_, b)| {
            let (a, b) = (worth(*a), worth(*b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        best.map(|(order, _)| order)
    }

    /// Our points from numbers in this order.
    fn read(self, n: [f32; 10]) -> [[f32; 2]; 5] {
        let at = |order: [usize; 5]| order.map(|i| points(n)[i]);
        match self {
            Self::EyesExchanged => at([1, 0, 2, 3, 4]),
            Self::MouthExchanged => at([0, 1, 2, 4, 3]),
            Self::SidesExchanged => at([1, 0, 2, 4, 3]),
            Self::AxesApart => std::array::from_fn(|i| [n[i], n[i + 5]]),
            Self::AxesExchanged => points(n).map(|[y, x]| [x, y]),
            Self::UpsideDown => at([3, 4, 2, 0, 1]),
            Self::Backwards => at([4, 3, 2, 1, 0]),
            Self::Shares => points(n),
        }
    }
}

fn points(numbers: [f32; 10]) -> [[f32; 2]; 5] {
    std::array::from_fn(|i| [numbers[2 * i], numbers[2 * i + 1]])
}

/// Whether points are a face on its head, or one in the order [`PointOrder::Backwards`]: a single one does not tell.
pub(crate) fn is_on_its_head(points: [[f32; 2]; 5]) -> bool {
    fit(points).is_some_and(|[off, turned]| off <= MOST_OFF && turned > ON_ITS_HEAD)
}

/// By how much points miss the template, root mean square, and how many degrees they are turned.
fn fit(points: [[f32; 2]; 5]) -> Option<[f64; 2]> {
    let transform = Similarity2d::estimate(points, ARCFACE_LANDMARKS).ok()?;
    let squares = points.iter().zip(ARCFACE_LANDMARKS).map(|(point, to)| {
        let [x, y] = transform.apply(point.map(f64::from));
        (x - f64::from(to[0])).powi(2) + (y - f64::from(to[1])).powi(2)
    });
    let [[cos, ..], [sin, ..]] = transform.matrix();
    Some([(squares.sum::<f64>() / 5.0).sqrt(), sin.atan2(cos).to_degrees().abs()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The template turned by `degrees`, twice as large, with points pushed by up to some pixels.
    fn face(degrees: f32, noise: f32) -> [[f32; 2]; 5] {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let mut i: f32 = 0.0;
        ARCFACE_LANDMARKS.map(|[x, y]| {
            i += 1.0;
            let (x, y) = ((x - 56.0) * 2.0, (y - 56.0) * 2.0);
            let [push_x, push_y] = [(i * 7.3).sin() * noise, (i * 3.1).cos() * noise];
            [300.0 + x * cos - y * sin + push_x, 400.0 + x * sin + y * cos + push_y]
        })
    }

    fn flat(points: [[f32; 2]; 5]) -> [f32; 10] {
        std::array::from_fn(|i| points[i / 2][i % 2])
    }

    #[test]
    fn faces_in_our_order_are_not_odd() {
        for degrees in [0.0, 20.0, -45.0, 90.0, 180.0] {
            for noise in [0.0, 6.0, 15.0] {
                assert_eq!(PointOrder::of_odd(flat(face(degrees, noise))), None, "{degrees} {noise}");
            }
        }
        // In profile the eyes are one above the other, or exchanged by a little; half of the mouth is not seen.
        for crossed in [-6.0, 0.0, 6.0] {
            let profile =
                [[60.0, 52.0], [60.0 + crossed, 51.0], [85.0, 72.0], [66.0, 92.0], [66.0 + crossed, 91.0]];
            assert_eq!(PointOrder::of_odd(flat(profile)), None, "{crossed}");
        }
    }

    #[test]
    fn the_mouth_above_the_eyes_is_a_face_on_its_head() {
        for (degrees, expected) in
            [(0.0, false), (-100.0, false), (150.0, true), (180.0, true), (-170.0, true)]
        {
            let points @ [eye, other_eye, nose, mouth, other_mouth] = face(degrees, 6.0);
            assert_eq!(is_on_its_head(points), expected, "{degrees}");
            let backwards = [other_mouth, mouth, nose, other_eye, eye];
            assert_eq!(is_on_its_head(backwards), !expected && degrees == 0.0, "{degrees}");
            assert_eq!(PointOrder::of_odd(flat(backwards)), None);
            assert_eq!(PointOrder::Backwards.read(flat(backwards)), points);
        }
        assert!(!is_on_its_head([[7.0; 2]; 5]));
    }

    #[test]
    fn faces_of_other_makes_are_known_by_their_order() {
        for (degrees, noise) in [(0.0, 0.0), (0.0, 6.0), (20.0, 4.0), (-30.0, 4.0)] {
            let points @ [eye, other_eye, nose, mouth, other_mouth] = face(degrees, noise);
            let numbers = flat(points);
            let [x, y] = [0, 1].map(|axis| points.map(|point| point[axis]));
            let apart: [f32; 10] = std::array::from_fn(|i| if i < 5 { x[i] } else { y[i - 5] });
            for (numbers, order) in [
                (flat([other_eye, eye, nose, mouth, other_mouth]), PointOrder::EyesExchanged),
                (flat([eye, other_eye, nose, other_mouth, mouth]), PointOrder::MouthExchanged),
                (flat([other_eye, eye, nose, other_mouth, mouth]), PointOrder::SidesExchanged),
                (apart, PointOrder::AxesApart),
                (flat(points.map(|[x, y]| [y, x])), PointOrder::AxesExchanged),
                (flat([mouth, other_mouth, nose, eye, other_eye]), PointOrder::UpsideDown),
                (flat(points.map(|[x, y]| [x, 800.0 - y])), PointOrder::UpsideDown),
                (numbers.map(|number| number / 800.0), PointOrder::Shares),
            ] {
                assert_eq!(PointOrder::of_odd(numbers), Some(order), "{degrees} {noise}");
            }
        }
    }
}
