//! What makes one picture of a person: pose, expression, light, occlusion, background and camera.

use facegrad_random::Stream;

use super::canvas::{Point, Rgb};

/// Everything that changes from picture to picture. Angles are in radians, lengths in template units.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub yaw: f32,
    pub pitch: f32,
    /// What a face detector gets wrong: rotation, log scale and shift of the aligned crop.
    pub roll: f32,
    pub zoom: f32,
    pub shift: Point,
    pub expression: Expression,
    pub light: Light,
    pub grooming: Grooming,
    pub background: Background,
    pub occlusion: Occlusion,
    pub camera: Camera,
}

#[derive(Debug, Clone)]
pub(super) struct Expression {
    /// -1 frowning to 1 smiling.
    pub smile: f32,
    /// How far the mouth is open, 0 to 1.
    pub open: f32,
    pub teeth: bool,
    /// -1 lowered to 1 raised.
    pub brows: f32,
    /// Slope added to the brows by anger or worry.
    pub worry: f32,
    /// Factor of the eyes' opening.
    pub lids: f32,
    pub gaze: Point,
}

#[derive(Debug, Clone)]
pub(super) struct Light {
    /// Unit vector towards the key light: right, down, to the viewer.
    pub towards: [f32; 3],
    pub key: Rgb,
    pub ambient: Rgb,
    /// A shadow's edge across the face: normal, offset, softness, darkness.
    pub shadow: Option<(Point, f32, f32, f32)>,
}

/// What a person changes from day to day.
#[derive(Debug, Clone)]
pub(super) struct Grooming {
    pub fringe: f32,
    pub volume: f32,
    pub beard: f32,
    /// Colour of lipstick and of eye shadow, with opacity.
    pub lipstick: Option<(Rgb, f32)>,
    pub eye_shadow: Option<(Rgb, f32)>,
    /// Shine on the skin, 0 to 1.
    pub gloss: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Background {
    pub colours: [Rgb; 2],
    pub direction: Point,
    pub blobs: Vec<(Point, f32, Rgb)>,
    pub texture: Texture,
    pub clothes: Rgb,
    pub seed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Texture {
    Plain,
    /// Stripes of a period along a direction.
    Stripes(Point, f32),
    /// Smooth noise of a size.
    Clouds(f32),
}

#[derive(Debug, Clone)]
pub(super) struct Occlusion {
    pub glasses: Option<Glasses>,
    pub hat: Option<Hat>,
    pub patch: Option<Patch>,
    pub bar: Option<Bar>,
    /// Ends of strands of hair across the face.
    pub strands: Vec<[Point; 3]>,
    /// Colour and upper edge of a scarf or mask over mouth and chin.
    pub mask: Option<(Rgb, f32)>,
}

#[derive(Debug, Clone)]
pub(super) struct Glasses {
    pub frame: Rgb,
    pub thickness: f32,
    pub radii: Point,
    /// 0 for clear glass, 1 for black.
    pub dark: f32,
    pub reflection: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Hat {
    pub colour: Rgb,
    pub edge: f32,
    pub band: f32,
}

#[derive(Debug, Clone)]
pub(super) struct Patch {
    pub centre: Point,
    pub half: Point,
    pub axis: Point,
    pub round: bool,
    pub colours: [Rgb; 2],
}

/// A finger, arm, microphone or branch: a thick line.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub ends: [Point; 2],
    pub radius: f32,
    /// `None` for the person's own skin.
    pub colour: Option<Rgb>,
}

#[derive(Debug, Clone)]
pub(super) struct Camera {
    pub exposure: f32,
    /// How far automatic exposure evens out the brightness of the face, 0 to 1.
    pub automatic: f32,
    pub white_balance: Rgb,
    /// Slope of the tone curve about mid grey.
    pub contrast: f32,
    /// Added to every value: haze and flare.
    pub haze: f32,
    /// 0 for a grey picture, 1 for natural colour.
    pub saturation: f32,
    pub vignette: f32,
    pub blur: Point,
    pub noise: f32,
    pub seed: u32,
}

/// About a standard normal deviate, bounded by 3.5: a sum of four uniform ones.
fn bell(r: &mut Stream) -> f32 {
    let sum: f32 = (0..4).map(|_| r.uniform()).sum();
    (sum - 2.0) * 1.732_050_8
}

/// A factor about 1, as likely to be `1 + spread` as its reciprocal.
fn factor(r: &mut Stream, spread: f32) -> f32 {
    let x = r.range(-spread, spread);
    if x < 0.0 { 1.0 / (1.0 - x) } else { 1.0 + x }
}

fn any_colour(r: &mut Stream) -> Rgb {
    let value = r.uniform();
    let grey = r.uniform() * 0.7;
    let hue: Rgb = std::array::from_fn(|_| r.uniform());
    // Squares, for the colours are linear in light.
    hue.map(|h| {
        let v = 0.1 + 0.9 * value * (h + (0.5 - h) * grey);
        v * v
    })
}

fn direction(r: &mut Stream) -> Point {
    let [x, y] = [r.range(-1.0, 1.0), r.range(-1.0, 1.0)];
    let length = (x * x + y * y).sqrt().max(0.05);
    [x / length, y / length]
}

/// How much of the deviations written below a picture of difficulty 1 takes. Chosen so that comparing pixels
/// (`pixel_baseline`) stays below 70 % while who it is stays plain to see, and so can be learnt in minutes.
const DIFFICULTY_ONE: f32 = 0.5;

impl Scene {
    /// A picture drawn at random; `difficulty` scales every deviation from a plain frontal one.
    pub fn draw(r: &mut Stream, difficulty: f32) -> Self {
        let d = DIFFICULTY_ONE * difficulty;
        // Rarer events get likelier, but never certain.
        let likely = |p: f64| (p * f64::from(d)).min(0.9);
        Self {
            yaw: (bell(r) * 0.27 * d).clamp(-0.75, 0.75),
            pitch: (bell(r) * 0.15 * d).clamp(-0.4, 0.4),
            roll: bell(r) * 0.05 * d,
            zoom: bell(r) * 0.035 * d,
            shift: [bell(r) * 1.5 * d, bell(r) * 1.5 * d],
            expression: Expression {
                smile: (bell(r) * 0.5 * d + 0.1).clamp(-0.8, 1.0),
                open: if r.chance(likely(0.35)) { r.uniform() } else { 0.0 },
                teeth: r.chance(0.7),
                brows: (bell(r) * 0.5 * d).clamp(-1.2, 1.2),
                worry: bell(r) * 0.07 * d,
                lids: (1.0 + bell(r) * 0.2 * d - if r.chance(likely(0.1)) { 0.5 } else { 0.0 })
                    .clamp(0.12, 1.4),
                gaze: [bell(r) * 0.4 * d, bell(r) * 0.25 * d].map(|g| g.clamp(-1.0, 1.0)),
            },
            light: Light::draw(r, d),
            grooming: Grooming {
                fringe: (1.0 + bell(r) * 0.35 * d).max(0.0),
                volume: factor(r, 0.5 * d),
                beard: (1.0 + bell(r) * 0.3 * d).clamp(0.2, 1.3),
                lipstick: r.chance(likely(0.2)).then(|| ([0.4, 0.03, 0.06], r.range(0.3, 0.8))),
                eye_shadow: r.chance(likely(0.15)).then(|| (any_colour(r), r.range(0.2, 0.5))),
                gloss: r.uniform(),
            },
            background: Background::draw(r),
            occlusion: Occlusion::draw(r, &likely),
            camera: Camera::draw(r, d, &likely),
        }
    }
}

impl Light {
    fn draw(r: &mut Stream, d: f32) -> Self {
        let [x, y, z] = [bell(r) * 0.75 * d, -0.35 + bell(r) * 0.45 * d, r.range(0.35, 1.1)];
        let length = (x * x + y * y + z * z).sqrt();
        let warmth = |r: &mut Stream| {
            let t = bell(r) * 0.3 * d;
            let green = bell(r) * 0.07 * d;
            [(1.0 + t).max(0.25), (1.0 + green).max(0.3), (1.0 - t).max(0.25)]
        };
        let key_share = (0.65 + bell(r) * 0.18 * d).clamp(0.2, 0.97);
        let shadow = r.chance((0.25 * f64::from(d)).min(0.9)).then(|| {
            let normal = direction(r);
            (normal, r.range(-24.0, 24.0), r.range(1.0, 12.0), r.range(0.4, 0.95))
        });
        Self {
            towards: [x / length, y / length, z / length],
            key: warmth(r).map(|c| c * key_share * 1.5),
            ambient: warmth(r).map(|c| c * (1.0 - key_share)),
            shadow,
        }
    }
}

impl Background {
    fn draw(r: &mut Stream) -> Self {
        let texture = match r.below(3) {
            0 => Texture::Plain,
            1 => Texture::Stripes(direction(r), r.range(6.0, 30.0)),
            _ => Texture::Clouds(r.range(4.0, 30.0)),
        };
        Self {
            colours: [any_colour(r), any_colour(r)],
            direction: direction(r),
            blobs: (0..r.below(4))
                .map(|_| ([r.range(0.0, 112.0), r.range(0.0, 112.0)], r.range(10.0, 45.0), any_colour(r)))
                .collect(),
            texture,
            clothes: any_colour(r),
            seed: r.bits(),
        }
    }
}

impl Occlusion {
    fn draw(r: &mut Stream, likely: &impl Fn(f64) -> f64) -> Self {
        Self {
            glasses: r.chance(likely(0.22)).then(|| Glasses {
                frame: if r.chance(0.6) { [0.02; 3] } else { any_colour(r) },
                thickness: r.range(0.6, 2.6),
                radii: [r.range(9.0, 14.0), r.range(6.5, 12.0)],
                dark: if r.chance(0.25) { r.range(0.7, 0.97) } else { r.range(0.0, 0.15) },
                reflection: if r.chance(0.4) { r.range(0.1, 0.5) } else { 0.0 },
            }),
            hat: r.chance(likely(0.13)).then(|| Hat {
                colour: any_colour(r),
                edge: r.range(-36.0, -17.0),
                band: r.range(2.0, 8.0),
            }),
            patch: r.chance(likely(0.16)).then(|| Patch {
                centre: [r.range(0.0, 112.0), r.range(0.0, 112.0)],
                half: [r.range(5.0, 22.0), r.range(5.0, 22.0)],
                axis: direction(r),
                round: r.chance(0.5),
                colours: [any_colour(r), any_colour(r)],
            }),
            bar: r.chance(likely(0.13)).then(|| {
                let inner = [r.range(25.0, 90.0), r.range(30.0, 105.0)];
                let away = direction(r);
                Bar {
                    ends: [inner, [inner[0] + away[0] * 120.0, inner[1] + away[1] * 120.0]],
                    radius: r.range(2.5, 8.0),
                    colour: if r.chance(0.5) { None } else { Some(any_colour(r)) },
                }
            }),
            strands: if r.chance(likely(0.15)) {
                let [x, bend] = [r.range(15.0, 95.0), r.range(-20.0, 20.0)];
                (0..2 + r.below(5))
                    .map(|_| {
                        let x = x + r.range(-12.0, 12.0);
                        let end = r.range(40.0, 100.0);
                        [[x, -5.0], [x + bend * 0.3, end * 0.5], [x + bend, end]]
                    })
                    .collect()
            } else {
                Vec::new()
            },
            mask: r.chance(likely(0.05)).then(|| (any_colour(r), r.range(16.0, 34.0))),
        }
    }
}

impl Camera {
    fn draw(r: &mut Stream, d: f32, likely: &impl Fn(f64) -> f64) -> Self {
        let blur = if r.chance(likely(0.45)) { r.uniform() * r.uniform() * 2.6 * d } else { 0.0 };
        let motion = if r.chance(likely(0.12)) { r.uniform() * 2.4 * d } else { 0.0 };
        let sideways = r.chance(0.6);
        Self {
            exposure: factor(r, 0.75 * d),
            automatic: r.range(0.3, 0.9),
            white_balance: std::array::from_fn(|c| factor(r, if c == 1 { 0.08 } else { 0.22 } * d)),
            contrast: factor(r, 0.35 * d),
            haze: if r.chance(likely(0.3)) { r.range(0.0, 0.25) } else { 0.0 },
            saturation: if r.chance(likely(0.1)) { 0.0 } else { 1.0 + d * r.range(-0.5, 0.25) },
            vignette: r.uniform() * 0.4 * d,
            blur: if sideways { [blur + motion, blur] } else { [blur, blur + motion] },
            noise: r.uniform() * r.uniform() * 0.08 * d,
            seed: r.bits(),
        }
    }
}
