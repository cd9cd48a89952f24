//! A small software rasteriser: shapes given by signed distance, anti-aliased per pixel.
//!
//! Every operation here and in the modules beside it is one that IEEE 754 rounds exactly (`+ - * /`, square
//! root, floor, comparison), so a picture has the same bytes on every machine; the system's sine, exponential
//! and power are not used.

use facegrad_pictures::Picture;

/// A colour, linear in light, red green blue, 1 for a white surface.
pub(super) type Rgb = [f32; 3];

/// A point or direction, x to the right and y downwards.
pub(super) type Point = [f32; 2];

/// What is known of one pixel: the albedo (red, green, blue) and how much of the key light falls on it.
pub(super) type Texel = [f32; 4];

/// Side of the square in which faces are described, the ArcFace template's.
pub(super) const TEMPLATE_SIZE: f32 = 112.0;

/// A plane affine frame: local (u, v) lies at `origin + u * self.u + v * self.v`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub origin: Point,
    pub u: Point,
    pub v: Point,
}

impl Frame {
    /// The frame of template coordinates themselves, moved to `origin`.
    pub fn at(origin: Point) -> Self {
        Self { origin, u: [1.0, 0.0], v: [0.0, 1.0] }
    }

    /// A frame whose v axis runs from `from` to `to`, with unit axes at right angles.
    pub fn along(from: Point, to: Point) -> Self {
        let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
        let length = (dx * dx + dy * dy).sqrt().max(1e-3);
        let v = [dx / length, dy / length];
        Self { origin: from, u: [v[1], -v[0]], v }
    }

    /// The same frame with its u axis reversed where `side` is negative.
    pub fn mirrored(self, side: f32) -> Self {
        Self { u: [self.u[0] * side, self.u[1] * side], ..self }
    }

    /// Template coordinates of local (u, v).
    pub fn point(&self, u: f32, v: f32) -> Point {
        [self.origin[0] + u * self.u[0] + v * self.v[0], self.origin[1] + u * self.u[1] + v * self.v[1]]
    }

    /// The map from template coordinates to local ones.
    pub fn inverse(&self) -> Inverse {
        let determinant = self.determinant();
        Inverse {
            origin: self.origin,
            u: [self.v[1] / determinant, -self.v[0] / determinant],
            v: [-self.u[1] / determinant, self.u[0] / determinant],
        }
    }

    /// Local coordinates of a point of the template.
    pub fn local(&self, point: Point) -> Point {
        self.inverse().local(point)
    }

    fn determinant(&self) -> f32 {
        let d = self.u[0] * self.v[1] - self.u[1] * self.v[0];
        if d.abs() < 1e-4 { 1e-4 } else { d }
    }
}

/// The inverse of a [`Frame`]: its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inverse {
    origin: Point,
    u: Point,
    v: Point,
}

impl Inverse {
    /// Local coordinates of a point of the template.
    pub fn local(&self, [x, y]: Point) -> Point {
        let [x, y] = [x - self.origin[0], y - self.origin[1]];
        [x * self.u[0] + y * self.u[1], x * self.v[0] + y * self.v[1]]
    }
}

/// A square image of [`Texel`]s.
#[derive(Debug)]
pub(super) struct Canvas {
    pub side: usize,
    /// Pixels per template unit.
    scale: f32,
    pub texels: Vec<Texel>,
}

impl Canvas {
    /// A black canvas of `side` x `side` pixels that shows the whole template.
    pub fn new(side: usize) -> Self {
        Self { side, scale: side as f32 / TEMPLATE_SIZE, texels: vec![[0.0; 4]; side * side] }
    }

    /// Side of a pixel in template units.
    pub fn pixel(&self) -> f32 {
        1.0 / self.scale
    }

    /// The template coordinate of the centre of the pixels of row or column `i`.
    pub fn coordinate(&self, i: usize) -> f32 {
        (i as f32 + 0.5) / self.scale - 0.5
    }

    /// Calls `paint(u, v, pixel, texel)` for every pixel whose centre lies within `low..high` of `frame`;
    /// `pixel` is about the side of a pixel in local units.
    pub fn stamp(
        &mut self,
        frame: &Frame,
        low: Point,
        high: Point,
        mut paint: impl FnMut(f32, f32, f32, &mut Texel),
    ) {
        let corners = [
            frame.point(low[0], low[1]),
            frame.point(low[0], high[1]),
            frame.point(high[0], low[1]),
            frame.point(high[0], high[1]),
        ];
        let bounds = |axis: usize| {
            let low = corners.iter().map(|c| c[axis]).fold(f32::INFINITY, f32::min);
            let high = corners.iter().map(|c| c[axis]).fold(f32::NEG_INFINITY, f32::max);
            // A negative or too large float saturates in the conversion.
            let first = ((low + 0.5) * self.scale - 0.5).floor() as usize;
            let last = ((high + 0.5) * self.scale + 0.5).floor().max(0.0) as usize;
            first..last.min(self.side)
        };
        let (columns, rows) = (bounds(0), bounds(1));
        let inverse = frame.inverse();
        let pixel = self.pixel() / frame.determinant().abs().sqrt();
        let [du, dv] = [inverse.u[0] * self.pixel(), inverse.v[0] * self.pixel()];
        for row in rows {
            let [u0, v0] = inverse.local([self.coordinate(0), self.coordinate(row)]);
            let texels = &mut self.texels[row * self.side..][..self.side];
            for column in columns.clone() {
                let [u, v] = [u0 + column as f32 * du, v0 + column as f32 * dv];
                if u >= low[0] && u <= high[0] && v >= low[1] && v <= high[1] {
                    paint(u, v, pixel, &mut texels[column]);
                }
            }
        }
    }

    /// Blurs everything with standard deviations `sigma` (x, y) in template units.
    pub fn blur(&mut self, sigma: Point) {
        for (axis, sigma) in sigma.into_iter().enumerate() {
            let variance = (sigma * self.scale) * (sigma * self.scale);
            // A pass of the kernel [a, 1 - 2a, a] adds a variance of 2a, at most a half.
            let passes = (variance * 2.0).ceil() as usize;
            let a = variance / (2.0 * passes.max(1) as f32);
            for _ in 0..passes {
                self.blur_once(axis, a);
            }
        }
    }

    fn blur_once(&mut self, axis: usize, a: f32) {
        let side = self.side;
        let (step, line) = if axis == 0 { (1, side) } else { (side, 1) };
        // Along x the outer loop runs over rows; along y the inner one runs over columns, for the cache.
        if axis == 0 {
            for row in 0..side {
                let mut before = self.texels[row * line];
                for column in 0..side {
                    let at = row * line + column * step;
                    let here = self.texels[at];
                    let after = self.texels[if column + 1 < side { at + 1 } else { at }];
                    self.texels[at] = kernel(before, here, after, a);
                    before = here;
                }
            }
        } else {
            let mut before = self.texels[..side].to_vec();
            for row in 0..side {
                for (column, before) in before.iter_mut().enumerate() {
                    let at = row * side + column;
                    let here = self.texels[at];
                    let after = self.texels[if row + 1 < side { at + side } else { at }];
                    self.texels[at] = kernel(*before, here, after, a);
                    *before = here;
                }
            }
        }
    }

    /// The 8-bit picture that `develop(x, y, texel)` makes of each texel; its channels run from 0 to 1.
    pub fn develop(&self, mut develop: impl FnMut(usize, usize, &Texel) -> Rgb) -> Picture {
        let mut bytes = vec![0; self.texels.len() * 3];
        let side = self.side.max(1);
        for (row, (texels, bytes)) in
            self.texels.chunks_exact(side).zip(bytes.chunks_exact_mut(side * 3)).enumerate()
        {
            for (column, (texel, bytes)) in texels.iter().zip(bytes.chunks_exact_mut(3)).enumerate() {
                let colour = develop(column, row, texel);
                for (byte, c) in bytes.iter_mut().zip(colour) {
                    // Through i32, which is faster than a saturating conversion to u8.
                    *byte = (c * 255.0 + 0.5).clamp(0.0, 255.0) as i32 as u8;
                }
            }
        }
        Picture::new(self.side, self.side, bytes)
    }
}

fn kernel(before: Texel, here: Texel, after: Texel, a: f32) -> Texel {
    std::array::from_fn(|c| here[c] + a * (before[c] + after[c] - 2.0 * here[c]))
}

/// Lays `colour` over the albedo with opacity `alpha`.
pub(super) fn lay(texel: &mut Texel, colour: Rgb, alpha: f32) {
    for (c, target) in colour.into_iter().enumerate() {
        texel[c] += (target - texel[c]) * alpha;
    }
}

/// Darkens (factor below 1) or tints the albedo with opacity `alpha`.
pub(super) fn tint(texel: &mut Texel, factor: Rgb, alpha: f32) {
    for (c, factor) in factor.into_iter().enumerate() {
        texel[c] *= 1.0 + (factor - 1.0) * alpha;
    }
}

/// Scales the light that falls on the texel.
pub(super) fn shade(texel: &mut Texel, factor: f32) {
    texel[3] *= factor.max(0.0);
}

/// The part of a pixel of side `pixel` inside a shape, from the signed distance of its centre (inside < 0).
pub(super) fn cover(distance: f32, pixel: f32) -> f32 {
    (0.5 - distance / pixel).clamp(0.0, 1.0)
}

/// 0 below `low`, 1 above `high`, smooth between.
pub(super) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    ease(t)
}

/// `a` at t = 0, `b` at t = 1.
pub(super) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// The colour `a` at t = 0, `b` at t = 1.
pub(super) fn mix_rgb(a: Rgb, b: Rgb, t: f32) -> Rgb {
    std::array::from_fn(|c| mix(a[c], b[c], t))
}

/// The colour times `factor`.
pub(super) fn dim(colour: Rgb, factor: f32) -> Rgb {
    colour.map(|c| c * factor)
}

/// About the distance to an ellipse of radii `[a, b]` at the origin (inside < 0).
pub(super) fn ellipse(u: f32, v: f32, [a, b]: Point) -> f32 {
    let [x, y] = [u / a, v / b];
    let [gx, gy] = [x / a, y / b];
    let k0 = (x * x + y * y).sqrt();
    let k1 = (gx * gx + gy * gy).sqrt();
    if k1 < 1e-6 { -a.min(b) } else { k0 * (k0 - 1.0) / k1 }
}

/// 1 at the origin, falling smoothly to 0 on the ellipse of radii `[a, b]`.
pub(super) fn glow(u: f32, v: f32, [a, b]: Point) -> f32 {
    let [x, y] = [u / a, v / b];
    let inside = (1.0 - x * x - y * y).max(0.0);
    inside * inside
}

/// Distance to the segment from `a` to `b`.
pub(super) fn segment([x, y]: Point, a: Point, b: Point) -> f32 {
    let [px, py] = [x - a[0], y - a[1]];
    let [bx, by] = [b[0] - a[0], b[1] - a[1]];
    let t = ((px * bx + py * by) / (bx * bx + by * by).max(1e-6)).clamp(0.0, 1.0);
    let [dx, dy] = [px - t * bx, py - t * by];
    (dx * dx + dy * dy).sqrt()
}

/// 32 well-mixed bits of two coordinates and a seed.
pub(super) fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = seed ^ (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

/// The integer below `x` and the rest; much faster than the library's floor on baseline x86-64, where that is
/// a call.
pub(super) fn split(x: f32) -> (i32, f32) {
    let towards_zero = x as i32;
    let below = towards_zero - i32::from(x < towards_zero as f32);
    (below, x - below as f32)
}

/// 0 to 1 with no slope at either end.
fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// Smooth noise in [0, 1) with features of unit size.
pub(super) fn value_noise(x: f32, y: f32, seed: u32) -> f32 {
    let ((x0, tx), (y0, ty)) = (split(x), split(y));
    let (tx, ty) = (ease(tx), ease(ty));
    let at = |dx, dy| (hash(x0 + dx, y0 + dy, seed) >> 8) as f32 * (1.0 / (1 << 24) as f32);
    mix(mix(at(0, 0), at(1, 0), tx), mix(at(0, 1), at(1, 1), tx), ty)
}

/// Smooth noise in [0, 1) along a line.
pub(super) fn line_noise(x: f32, seed: u32) -> f32 {
    let (x0, t) = split(x);
    let at = |dx| (hash(x0 + dx, 0, seed) >> 8) as f32 * (1.0 / (1 << 24) as f32);
    mix(at(0), at(1), ease(t))
}

/// Sine and cosine of an angle in radians, for |angle| up to 2, to about 1e-6.
pub(super) fn sine_cosine(angle: f32) -> (f32, f32) {
    // The Taylor series of half the angle, then the double-angle formulas.
    let h = angle * 0.5;
    let h2 = h * h;
    let sine = h * (1.0 - h2 / 6.0 * (1.0 - h2 / 20.0 * (1.0 - h2 / 42.0 * (1.0 - h2 / 72.0))));
    let cosine = 1.0 - h2 / 2.0 * (1.0 - h2 / 12.0 * (1.0 - h2 / 30.0 * (1.0 - h2 / 56.0)));
    (2.0 * sine * cosine, 1.0 - 2.0 * sine * sine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_keeps_the_sum_and_widens_a_point_by_its_variance() {
        let mut canvas = Canvas::new(112);
        canvas.texels[56 * 112 + 56] = [1.0; 4];
        canvas.blur([2.0, 1.0]);
        let mut moments = [0.0f64; 3];
        for (i, texel) in canvas.texels.iter().enumerate() {
            let [x, y] = [(i % 112) as f64 - 56.0, (i / 112) as f64 - 56.0];
            moments[0] += f64::from(texel[0]);
            moments[1] += f64::from(texel[0]) * x * x;
            moments[2] += f64::from(texel[0]) * y * y;
        }
        for (found, expected) in moments.into_iter().zip([1.0, 4.0, 1.0]) {
            assert!((found - expected).abs() < 1e-3, "{moments:?}");
        }
    }

    #[test]
    fn a_stamp_covers_the_area_of_its_shape() {
        let mut canvas = Canvas::new(224);
        let frame = Frame { origin: [50.0, 60.0], u: [0.8, 0.3], v: [-0.2, 1.1] };
        let radii = [20.0, 12.0];
        canvas.stamp(&frame, [-22.0, -14.0], [22.0, 14.0], |u, v, pixel, texel| {
            texel[0] = cover(ellipse(u, v, radii), pixel);
        });
        let area = canvas.texels.iter().map(|t| t[0]).sum::<f32>() / 4.0;
        let expected = std::f32::consts::PI * 20.0 * 12.0 * (0.8 * 1.1 + 0.3 * 0.2);
        assert!((area / expected - 1.0).abs() < 0.01, "{area} {expected}");
    }

    #[test]
    fn frames_and_their_inverses_agree() {
        let frame = Frame { origin: [5.0, 6.0], u: [0.8, 0.3], v: [-0.2, 1.1] };
        let [u, v] = frame.local(frame.point(3.0, -4.0));
        assert!((u - 3.0).abs() < 1e-4 && (v + 4.0).abs() < 1e-4, "{u} {v}");
    }

    #[test]
    fn sines_and_cosines_are_those_of_the_library() {
        for i in -20..=20 {
            let angle = i as f32 * 0.1;
            let (sine, cosine) = sine_cosine(angle);
            assert!((sine - angle.sin()).abs() < 1e-5 && (cosine - angle.cos()).abs() < 1e-5, "{angle}");
        }
    }
}
